"""The folder of one trained classifier: settings.toml, metrics.csv, last.pt to go on from, best.pt to use.

best.pt holds what prediction needs; last.pt holds the trainer's state beside it. metrics.csv is made from the history
in last.pt each time, so that the two never tell different stories.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from boxless.methods.settings import RunSettings, Training, plain, write_settings
from boxless.runtime import checkpoint
from boxless.runtime.errors import UsageError
from boxless.runtime.files import write_text_atomic

MAY_CHANGE = {"epochs", "workers", "memory", "save_minutes", "weights", "devices", "nodes"}
"""Settings that a resumed run may have other values for; all others make it another run."""


def check_run_folder(out: Path, *, resume: bool) -> None:
    """Raise UsageError for a folder that holds a run, with `resume` for one that does not; it is to be held by then."""
    there = (out / "last.pt").exists()
    if there and not resume:
        raise UsageError(f"{out} already holds a run. Resume it with --resume, or choose another --out.")
    if resume and not there:
        raise UsageError(f"There is no last.pt in {out} to resume. Expected the folder of an earlier run.")


class RunFolder:
    """Where a run is written to, and what it is a run of."""

    def __init__(self, out: Path, description: Mapping[str, Any], settings: Training) -> None:
        self.out, self.description, self.settings = out, dict(description), settings

    def begin(self) -> None:
        """Make the folder and write settings.toml."""
        self.out.mkdir(parents=True, exist_ok=True)
        resolved = RunSettings(self.description["method"], self.description["options"], self.settings)
        write_settings(self.out / "settings.toml", resolved)

    def save(self, model: Mapping[str, Any], trainer: Mapping[str, Any], *, best: bool) -> None:
        """Write last.pt, with `best` best.pt before it, and metrics.csv; each of them whole or not at all."""
        content = {**self.description, "model": dict(model)}
        if best:
            checkpoint.save(self.out / "best.pt", content)
        checkpoint.save(self.out / "last.pt", {**content, "settings": plain(self.settings), "trainer": dict(trainer)})
        self._write_metrics(trainer["history"])

    def load(self) -> dict[str, Any]:
        """What last.pt holds; raises UsageError when it is of another method, of other classes or of other settings."""
        content = checkpoint.read(self.out / "last.pt")
        kind = self.description["kind"]
        if content.get("kind") != kind or "trainer" not in content:
            raise UsageError(f"{self.out} is not the run of a {kind}. Expected the folder of an earlier run.")
        ours = {**self.description, **_compared(plain(self.settings))}
        theirs = {**content, **_compared(content["settings"])}
        for name, value in ours.items():
            if name not in MAY_CHANGE and theirs.get(name) != value:
                raise UsageError(
                    f"The run in {self.out} has {name} = {theirs.get(name)!r}, not {value!r}. Resume it with its own "
                    "options, or choose another --out."
                )
        return content

    def _write_metrics(self, history: Sequence[Mapping[str, float]]) -> None:
        if not history:
            return
        rows = io.StringIO()
        writer = csv.DictWriter(rows, fieldnames=list(history[-1]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_text_atomic(self.out / "metrics.csv", [rows.getvalue()], "the table")


def _compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the number of all processes; on how many machines these are makes no other run of it."""
    return {**settings, "devices x nodes": settings["devices"] * settings.get("nodes", 1)}


class Table:
    """A csv file of numbers, one row at a time; a resumed run goes on after the rows it had."""

    def __init__(self, path: Path, columns: Sequence[str], step: int) -> None:
        self.path, self.columns = path, columns
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1].splitlines()  # a kill may have left half a line
        rows = [{name: float(row[name]) for name in columns} for row in csv.DictReader(whole)]
        self.rows = [row for row in rows if row["step"] <= step]
        write_text_atomic(path, [",".join(columns) + "\n", *map(self._line, self.rows)], "the table")

    def append(self, row: dict[str, float]) -> None:
        """Add one row to the file."""
        self.rows.append(row)
        with self.path.open("a", newline="") as file:
            file.write(self._line(row))

    def _line(self, row: Mapping[str, float]) -> str:
        return ",".join(_short(name, row[name]) for name in self.columns) + "\n"


def _short(name: str, value: float) -> str:
    return str(int(value)) if name == "step" else f"{value:.9g}"  # nine digits bring a float32 back exactly
