"""The state of a review: what a person has decided about each image, saved at once, undone step by step.

review.jsonl holds every decision; boxes.csv is made from it each time, so that the two never tell different stories. In
boxes.csv stands only what a person has decided: images that nobody has looked at, and rejected ones, are not in it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from boxless.boxes.from_heatmap import Detections
from boxless.export import boxes_csv
from boxless.review.journal import Journal
from boxless.review.proposals import Proposal, SourcedBox
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.files import write_text_atomic

PERSON = "reviewed"
"""Who found a box that a person has drawn or changed."""

WAITING, ACCEPTED, CORRECTED, EMPTY, REJECTED = "to review", "accepted", "corrected", "no object", "rejected"
SAME = 0.01
"""Pixels by which a box may differ and still be the method's."""

Place = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about an image: its boxes (none where it shows no object), or that it is left out."""

    accepted: bool
    boxes: tuple[SourcedBox, ...]
    size: tuple[int, int]
    proposed: tuple[SourcedBox, ...]
    """What the method had proposed when it was made."""
    mark: str = ""
    """What the photograph's file was by then, as `data.marks` says it."""


Reader = Callable[[Path], Sequence[Proposal]]
Marks = Callable[[Sequence[str]], str]


class Review:
    """Proposals and the decisions on them, in the folder `out`.

    `read` gives the proposals of a folder of boxes, `mark` what tells a photograph from one that takes its place.
    """

    def __init__(self, found: Sequence[Proposal], out: Path, journal: Journal, read: Reader, mark: Marks) -> None:
        self.proposals, self.out, self._journal, self._read = list(found), out, journal, read
        self._mark = mark
        self._marks = [mark([one.name]) for one in self.proposals]
        self.turns = [0] * len(self.proposals)
        """When each image was changed last, counted in changes: by it a page knows what it has not seen."""
        self._index = {one.name: index for index, one in enumerate(self.proposals)}
        self._decisions: dict[int, Decision] = {}
        self._undo: list[tuple[int, Decision | None]] = []
        self._lines: dict[int, str] = {}
        self._turn = 0
        for number, entry in enumerate(journal.read(), 1):
            self._replay(entry, f"{journal.path}, line {number}")
        self.replaced = [index for index, made in self._decisions.items() if made.mark not in ("", self._marks[index])]
        """Images that were decided on and whose photographs are others now: they wait again."""
        for index in self.replaced:
            self._journal.append({"replaced": self.proposals[index].name, "time": _now()})
            self._forget(index)
        self._save()

    def decision(self, index: int) -> Decision | None:
        """What was decided about an image; None while it waits."""
        return self._decisions.get(index)

    def status(self, index: int) -> str:
        """The same in a word."""
        made = self._decisions.get(index)
        if made is None:
            return WAITING
        if not made.accepted:
            return REJECTED
        if not made.boxes:
            return EMPTY
        return ACCEPTED if made.boxes == made.proposed else CORRECTED

    @property
    def boxed(self) -> int:
        """Images whose boxes a person has accepted or corrected."""
        return sum(made.accepted and bool(made.boxes) for made in self._decisions.values())

    @property
    def iou(self) -> float:
        """Mean IoU of the first proposed box with what a person then decided, 0 where none was proposed."""
        boxed = [made for made in list(self._decisions.values()) if made.accepted and made.boxes]
        ious = [max(_iou(made.proposed[0].place, box.place) for box in made.boxes) for made in boxed if made.proposed]
        return sum(ious) / max(len(boxed), 1)

    def counts(self) -> dict[str, int]:
        """Images of each status."""
        return dict(Counter(map(self.status, range(len(self.proposals)))))

    def decide(self, index: int, accepted: bool, places: Sequence[Place], size: tuple[int, int]) -> None:
        """Save a decision; boxes that are where a method put them stay that method's, with their score.

        Raises BoxlessError for a photograph that was replaced since the review was opened.
        """
        name = self.proposals[index].name
        if self._mark([name]) != self._marks[index]:
            raise BoxlessError(f"{name} was replaced while the review was open. Start the review again to see it.")
        theirs, before = self.proposals[index].boxes, self._decisions.get(index)
        known = theirs if before is None else (*theirs, *before.boxes)
        made = Decision(accepted, tuple(_sourced(place, known) for place in places), size, theirs, self._marks[index])
        self._journal.append({"image": name, **_entry(made), "time": _now()})
        self._set(index, made)
        self._save()

    def undo(self) -> int | None:
        """Take back the last decision and return its image; None when there is nothing left to take back."""
        if not self._undo:
            return None
        index = self._undo[-1][0]
        self._journal.append({"undo": self.proposals[index].name, "time": _now()})
        self._take_back()
        self._save()
        return index

    def renew(self, found: Path) -> None:
        """Propose the boxes of a folder in `out` from now on; what is decided stays. Saved, as decisions are."""
        fresh = self._read(found)
        self._journal.append({"proposals": found.relative_to(self.out).as_posix(), "time": _now()})
        self._propose(fresh)

    def made(self) -> list[Decision]:
        """All decisions, in the order of the images."""
        return [made for _, made in sorted(self._decisions.items())]

    def found(self) -> Iterator[Detections]:
        """The boxes of all images that are decided and not rejected; a box drawn by a person has no score (nan)."""
        for index, made in sorted(self._decisions.items()):
            if made.accepted:
                boxes = np.array([box.place for box in made.boxes], np.float32).reshape(-1, 4)
                scores = np.array([math.nan if box.score is None else box.score for box in made.boxes], np.float32)
                yield Detections(self.proposals[index].name, made.size, boxes, scores, self.proposals[index].label)

    @property
    def classes(self) -> list[str]:
        """The classes of all images, in order."""
        return sorted({one.label for one in self.proposals})

    def _propose(self, fresh: Sequence[Proposal]) -> None:
        for one in fresh:
            if (index := self._index.get(one.name)) is not None:
                before = self.proposals[index]
                self.proposals[index] = replace(before, boxes=one.boxes, size=one.size or before.size)
                if index not in self._decisions:
                    self._change(index)

    def _set(self, index: int, made: Decision) -> None:
        self._undo.append((index, self._decisions.get(index)))
        self._decisions[index] = made
        self._change(index)

    def _change(self, index: int) -> None:
        self._lines.pop(index, None)
        self._turn += 1
        self.turns[index] = self._turn

    def _forget(self, index: int) -> None:
        self._decisions.pop(index, None)
        self._undo = [done for done in self._undo if done[0] != index]
        self._change(index)

    def _take_back(self) -> None:
        index, before = self._undo.pop()
        self._change(index)
        if before is None:
            del self._decisions[index]
        else:
            self._decisions[index] = before

    def _replay(self, entry: dict[str, Any], where: str) -> None:
        if "proposals" in entry:
            self._propose(self._read(self.out / str(entry["proposals"])))
            return
        name = entry.get("image", entry.get("undo", entry.get("replaced")))
        if name not in self._index:
            raise UsageError(
                f"{where} is about the image {name!r}, which is not in these photos. Give the photos that the review "
                "was begun with, or choose another --out."
            )
        if "undo" in entry and self._undo and self._undo[-1][0] == self._index[name]:
            self._take_back()
        elif "replaced" in entry:
            self._forget(self._index[name])
        elif "image" in entry:
            index = self._index[name]
            self._set(index, _decision(entry, self.proposals[index].boxes, where))
        else:
            raise BoxlessError(f"{where} takes back what was not decided. Choose another --out.")

    def _save(self) -> None:
        for index, made in self._decisions.items():
            if index not in self._lines:
                self._lines[index] = "".join(_lines(self.proposals[index], made))
        lines = (line for _, line in sorted(self._lines.items()))
        write_text_atomic(self.out / "boxes.csv", [f"{boxes_csv.COLUMNS},source\n", *lines], "the boxes")


def _lines(one: Proposal, made: Decision) -> Iterator[str]:
    if not made.accepted:
        return
    start = boxes_csv.start(one.name, one.label, made.size)
    for box in made.boxes:
        score = "" if box.score is None else boxes_csv.number(np.float32(box.score))
        place = ",".join(boxes_csv.number(np.float32(value)) for value in box.place)
        yield f"{start},{place},{score},{boxes_csv.cell(box.source)}\n"
    if not made.boxes:
        yield f"{start},,,,,,{PERSON}\n"


def _iou(one: Place, other: Place) -> float:
    width, height = (max(0.0, min(one[end], other[end]) - max(one[end - 2], other[end - 2])) for end in (2, 3))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def _entry(made: Decision) -> dict[str, Any]:
    boxes = [{"box": box.place, "source": box.source, "score": box.score} for box in made.boxes]
    return {"accepted": made.accepted, "size": made.size, "boxes": boxes, "mark": made.mark}


def _decision(entry: dict[str, Any], proposed: tuple[SourcedBox, ...], where: str) -> Decision:
    try:
        boxes = []
        for box in entry["boxes"]:
            x0, y0, x1, y1 = map(float, box["box"])
            boxes.append(SourcedBox((x0, y0, x1, y1), str(box["source"]), box["score"]))
        width, height = map(int, entry["size"])
        return Decision(bool(entry["accepted"]), tuple(boxes), (width, height), proposed, str(entry.get("mark", "")))
    except (KeyError, TypeError, ValueError) as error:
        raise BoxlessError(f"{where}: expected a decision with accepted, size and boxes. Remove the line.") from error


def _sourced(place: Place, theirs: Sequence[SourcedBox]) -> SourcedBox:
    for box in theirs:
        if all(abs(a - b) < SAME for a, b in zip(box.place, place, strict=True)):
            return box
    return SourcedBox(place, PERSON)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
