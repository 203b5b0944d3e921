"""The folder of one training run: settings.toml, metrics.csv, last.pt to go on from, best.pt to use.

best.pt holds what prediction needs; last.pt holds the settings and the trainer's state beside it.
"""

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from boxless.runtime import checkpoint
from boxless.runtime.device_options import current_names
from boxless.runtime.errors import UsageError
from boxless.runtime.files import write_text_atomic

FILES = ("best.pt", "samples.png", "criteria.csv", "metrics.csv", "settings.toml", "last.pt")
"""What a run leaves; last.pt, by which a run is known, is the last one to go."""


def check_run_folder(out: Path, *, resume: bool, overwrite: bool = False) -> None:
    """Raise UsageError for a folder that holds a run, unless it is to be overwritten; with `resume` for one that holds
    none, and for both wishes at once. The folder's lock is to be held.
    """
    there = (out / "last.pt").exists()
    if resume and overwrite:
        raise UsageError("--resume goes on with the run in --out and --overwrite replaces it. Give one of the two.")
    if there and not (resume or overwrite):
        raise UsageError(
            f"{out} already holds a run. Resume it with --resume, replace it with --overwrite, or choose another --out."
        )
    if resume and not there:
        raise UsageError(f"There is no last.pt in {out} to resume. Expected the folder of an earlier run.")


def remove_run(out: Path) -> None:
    """Remove the run that the folder holds, if it holds one, and nothing else."""
    if (out / "last.pt").exists():
        for name in FILES:
            (out / name).unlink(missing_ok=True)


class RunFolder:
    """Where a run is written to, and what it is a run of.

    `described` is what its checkpoints say beside their weights, `settings` how it is trained, both in plain values;
    `toml` is the text of settings.toml. A resumed run may differ in the settings of `may_change` alone.
    """

    def __init__(
        self,
        out: Path,
        described: Mapping[str, Any],
        settings: Mapping[str, Any],
        *,
        toml: str,
        may_change: Collection[str],
    ) -> None:
        self.out, self.described, self.settings = out, dict(described), dict(settings)
        self.toml, self.may_change = toml, may_change
        self.loaded = False

    def begin(self) -> None:
        """Make the folder, remove the run in it unless that one was loaded, and write settings.toml."""
        self.out.mkdir(parents=True, exist_ok=True)
        if not self.loaded:
            remove_run(self.out)
        write_text_atomic(self.out / "settings.toml", [self.toml], "the settings")

    def save_best(self, content: Mapping[str, Any]) -> None:
        """Write best.pt."""
        checkpoint.save(self.out / "best.pt", {**self.described, **content})

    def save_last(self, content: Mapping[str, Any], trainer: Mapping[str, Any]) -> None:
        """Write last.pt: `content` as in best.pt, the settings, and what the trainer needs to go on."""
        whole = {**self.described, **content, "settings": self.settings, "trainer": dict(trainer)}
        checkpoint.save(self.out / "last.pt", whole)

    def load(self) -> dict[str, Any]:
        """What last.pt holds; raises UsageError when it is of another method, of other data or of other settings."""
        content = checkpoint.read(self.out / "last.pt")
        kind = self.described["kind"]
        if content.get("kind") != kind or "trainer" not in content:
            raise UsageError(f"{self.out} is not the run of a {kind}. Expected the folder of an earlier run.")
        theirs = {**content, **current_names(content["settings"])}
        for name, value in {**self.described, **self.settings}.items():
            # What the checkpoint of an older version does not say cannot be compared.
            if name in theirs and name not in self.may_change and _plain(name, theirs[name]) != _plain(name, value):
                whole = f"{name} (a hash of its images)" if name == "data" else name
                raise UsageError(
                    f"The run in {self.out} has {whole} = {theirs[name]!r}, not {value!r}. Resume it with its own "
                    "images and options, or choose another --out."
                )
        self.loaded = True
        return content

    def refuse_less(self, name: str, done: int, asked: int) -> None:
        """Raise UsageError when fewer `name` (epochs, iterations) are asked for than the resumed run has done."""
        if asked < done:
            raise UsageError(
                f"The run in {self.out} has done {done} {name}, and {asked} are asked for. Resume it with --{name} "
                f"{done} or more, or choose another --out."
            )


def _plain(name: str, value: Any) -> Any:
    """`value` of the setting `name` without words: where a readout is from may be said better in a later version."""
    return {key: part for key, part in value.items() if key != "origin"} if name == "readout" else value


class MetricsTable:
    """A csv file of numbers: written whole with the rows there are, then one row at a time."""

    def __init__(self, path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, float]] = ()) -> None:
        self.path, self.columns, self.rows = path, columns, list(rows)
        write_text_atomic(path, [",".join(columns) + "\n", *map(self._line, self.rows)], "the table")

    @classmethod
    def resumed(cls, path: Path, columns: Sequence[str], step: int) -> "MetricsTable":
        """The table in `path` with the rows up to `step`, which stands in the first column."""
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1].splitlines()  # a kill may have left half a line
        rows = [{name: float(row[name]) for name in columns} for row in csv.DictReader(whole)]
        return cls(path, columns, [row for row in rows if row[columns[0]] <= step])

    def append(self, row: Mapping[str, float]) -> None:
        """Add one row to the file."""
        self.rows.append(row)
        with self.path.open("a", newline="") as file:
            file.write(self._line(row))

    def _line(self, row: Mapping[str, float]) -> str:
        # Nine digits bring a float32 back exactly; a column that an earlier row did not have stays empty.
        return ",".join(f"{row[name]:.9g}" if name in row else "" for name in self.columns) + "\n"
