"""What a search has found so far, on disk: taken up after a kill, shared by several processes, merged at the end.

The work is cut into pieces that depend on nothing but their own images. Every process appends to a file of its own in
a hidden folder of the output: a line of JSON for each image, then one that closes the piece. A piece without that last
line was not finished and is done anew; what is closed is never done twice. The merge reads the pieces in their order,
so that it does not matter who did which, or when.
"""

import json
import shutil
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from boxless.boxes.from_heatmap import Detections
from boxless.report.html import Card
from boxless.runtime.errors import BoxlessError, UsageError

FOLDER = ".boxless-shards"
CLOSES = b'{"piece":'


class _Place(NamedTuple):
    file: Path
    start: int
    end: int


class OtherSearchError(UsageError):
    """What lies in the output folder is another search's."""

    def __init__(self, differs: frozenset[str], sentence: str) -> None:
        super().__init__(sentence)
        self.differs = differs
        """What of the jobs differs."""


class Shards:
    """The shards in `out` of one job, which is described by plain values and is not to be mixed with another."""

    def __init__(self, out: Path, job: Mapping[str, Any]) -> None:
        self.out, self.folder = out, out / FOLDER
        self.job: dict[str, Any] = json.loads(json.dumps(job))
        self._places: dict[int, _Place] = {}
        self.notes: list[Mapping[str, Any]] = []
        """What was noticed about each piece, as plain values."""
        self.broken: dict[str, str] = {}
        """The images that could not be read, with the reason; as the last `scan` found them."""
        self.marks: dict[int, str] = {}
        """The marks that the photographs of each closed piece had when they were searched."""

    def begin(self, *, resume: bool, overwrite: bool) -> set[int]:
        """Make the folder, or with `resume` take it up; the pieces that are done. The lock on `out` is to be held.

        Raises UsageError for shards of another job, and without `resume` and `overwrite` for any that hold something.
        """
        there = self._job_there()
        self.scan()
        if there is not None and resume:
            self.refuse_other(there, "unfinished")
            return set(self._places)
        if there is not None and self._places and not overwrite:
            raise UsageError(
                f"{self.out} holds a search that was not finished. Go on with --resume, begin anew with --overwrite, "
                "or choose another --out."
            )
        self.remove()
        self.folder.mkdir()
        (self.folder / "job.json").write_text(json.dumps(self.job))
        return set()

    @contextmanager
    def writing(self, rank: int) -> Iterator["ShardWriter"]:
        """A new shard of the process `rank`; raises BoxlessError when it cannot be written."""
        number = 1 + max((int(path.name[:5]) for path in self.folder.glob("*.jsonl")), default=-1)
        try:  # a later search has a higher number, so that what it does again counts
            file = (self.folder / f"{number:05d}-{rank:05d}.jsonl").open("xb")
        except OSError as error:
            raise BoxlessError(
                f"Process {rank} could not write to {self.folder}: {error}. Expected an --out on storage that all "
                "processes share."
            ) from error
        try:
            yield ShardWriter(file)
        finally:
            with suppress(OSError):  # every closed piece is flushed; what follows it is nobody's
                file.close()

    def scan(self) -> None:
        """Learn which pieces are closed, and where they lie."""
        broken, notes = dict[int, dict[str, str]](), dict[int, Mapping[str, Any]]()
        self._places, self.marks = {}, {}
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open("rb") as file:
                start = end = 0
                for line in file:
                    end += len(line)
                    if line.startswith(CLOSES) and (closed := _parsed(line)):
                        self._places[closed["piece"]] = _Place(path, start, end - len(line))
                        broken[closed["piece"]] = closed["broken"]
                        notes[closed["piece"]] = closed.get("notes", {})
                        self.marks[closed["piece"]] = closed.get("marks", "")
                        start = end
        self.notes = [notes[piece] for piece in sorted(notes)]
        self.broken = {name: reason for piece in sorted(broken) for name, reason in broken[piece].items()}

    def found(self, pieces: int) -> Iterator[tuple[Detections, Card | None]]:
        """Every image of the pieces 0 to `pieces` - 1 in order, one in memory at a time."""
        for piece in range(pieces):
            place = self._places[piece]
            with place.file.open("rb") as file:
                file.seek(place.start)
                while file.tell() < place.end:
                    yield _read(json.loads(file.readline()))

    def all_marks(self) -> str:
        """Those of all pieces, in order."""
        return "".join(self.marks[piece] for piece in sorted(self.marks))

    def remove(self) -> None:
        """Away with the shards, at once: a process that is killed meanwhile leaves none that look unfinished."""
        for stale in self.out.glob(f"{FOLDER}-done*"):
            shutil.rmtree(stale)
        if self.folder.exists():
            shutil.rmtree(self.folder.rename(self.out / f"{FOLDER}-done"))

    def _job_there(self) -> dict[str, Any] | None:
        try:
            job = json.loads((self.folder / "job.json").read_text())
        except (OSError, ValueError):  # none, or not even begun
            return None
        return job if isinstance(job, dict) else None

    def refuse_other(self, there: Mapping[str, Any], state: str) -> None:
        """Raise OtherSearchError, naming what differs, when `there` is not this job; `state` is a word for the search.

        Where a threshold is from may be said better in a later version; the number is what counts.
        """
        names = dict.fromkeys([*self.job, *there])
        differs = [name for name in names if name != "origin" and self.job.get(name) != there.get(name)]
        if differs:
            name = differs[0]
            has = f"{name} {there.get(name)}, not {self.job.get(name)}"
            if name == "images":
                has = "other images than there are now, or other classes, boxes or ranges of them"
            raise OtherSearchError(
                frozenset(differs),
                f"The {state} search in {self.out} has {has}. "
                "Resume it with its own options and images, or begin anew with --overwrite.",
            )


class ShardWriter:
    """One process's shard, growing."""

    def __init__(self, file: BufferedWriter) -> None:
        self._file = file

    def add(self, found: Detections, card: Card | None) -> None:
        """An image of the piece that is being done."""
        self._line(
            {
                "name": found.name,
                "size": found.size,
                "boxes": found.boxes.tolist(),  # float32 survives JSON's decimal digits exactly
                "scores": found.scores.tolist(),
                "label": found.label,
                "note": found.note,
                "card": card and [card.known, _text(card.picture), _text(card.heat)],
            }
        )

    def close(self, piece: int, broken: Mapping[str, str], marks: str, notes: Mapping[str, Any] | None = None) -> None:
        """The piece is done: from here on it outlives this process."""
        self._line({"piece": piece, "broken": broken, "notes": notes or {}, "marks": marks})

    def _line(self, content: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(content).encode() + b"\n")
            if "piece" in content:
                self._file.flush()
        except OSError as error:
            raise BoxlessError(
                f"Could not write {self._file.name}: {error}. Free space and go on with --resume."
            ) from error


def _read(line: dict[str, Any]) -> tuple[Detections, Card | None]:
    boxes = np.array(line["boxes"], np.float32).reshape(-1, 4)
    scores = np.array(line["scores"], np.float32)
    width, height = line["size"]
    found = Detections(line["name"], (width, height), boxes, scores, line["label"], line["note"])
    if line["card"] is None:
        return found, None
    known, picture, heat = line["card"]
    return found, Card(known, b64decode(picture), heat and b64decode(heat))


def _text(picture: bytes | None) -> str | None:
    return None if picture is None else b64encode(picture).decode()


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line that was written whole; the last one of a killed process may not be."""
    try:
        content: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return content if line.endswith(b"\n") else None
