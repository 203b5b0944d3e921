"""What a search did, in numbers and in words."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from boxless.boxes import MOST
from boxless.boxes.from_heatmap import Detections
from boxless.data.dataset import NO_CLASS
from boxless.runtime.errors import number_of
from boxless.runtime.provenance import package_version

CHOICES = 20
"""Categories whose choice stands in the summary in words; the rest are in summary.json."""


@dataclass(slots=True)
class Summary:
    """What a search did: counts, what was found nowhere, what could not be read, and how the boxes were drawn."""

    method: str
    images: int
    threshold: dict[str, Any]
    boxes: int = 0
    nothing: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    unlabelled: int = 0
    """Images without a class among others that have one; their boxes are of `category`."""
    category: str = NO_CLASS
    seconds: float = 0.0
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Category -> all that a method without labels noticed about it, as plain values."""
    choices: dict[str, str] = field(default_factory=dict)
    """Category -> the method that was chosen for it and why; empty for a method that chooses nothing."""
    numbers: str = ""
    """What the network computed in: fp32, or bf16, whose boxes differ by a few pixels; and by what, if not by torch."""
    taken_over: int = 0
    """Images that an earlier process had done before it was stopped."""
    changed: list[str] = field(default_factory=list)
    """Images whose files were replaced after an earlier process had done them."""
    depth: str = ""
    """How pictures of more than 8 bits were read, in a sentence."""
    crowded: list[str] = field(default_factory=list)
    """Images with as many boxes as are kept of one."""
    finished_before: bool = False
    """An earlier process had done all of it, and this one nothing."""

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Summary":
        """What an earlier process wrote into summary.json."""
        written = {one.name: "nothing_found" if one.name == "nothing" else one.name for one in fields(cls)}
        kept = {name: content[key] for name, key in written.items() if key in content}
        return cls(**kept, finished_before=True)  # earlier versions did not say or count all of it

    def counted(self, found: Iterable[Detections]) -> Iterator[Detections]:
        """Pass `found` on, counted."""
        for one in found:
            self.boxes += len(one.boxes)
            if not len(one.boxes):
                self.nothing.append(one.name)
            if len(one.boxes) == MOST:
                self.crowded.append(one.name)
            yield one

    def to_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        return {
            "boxless": package_version(),
            "method": self.method,
            "images": self.images,
            "boxes": self.boxes,
            "nothing_found": self.nothing,
            "broken": self.broken,
            "unlabelled": self.unlabelled,
            "category": self.category,
            "threshold": self.threshold,
            "choices": self.choices,
            "notes": self.notes,
            "seconds": round(self.seconds, 2),
            "numbers": self.numbers,
            "taken_over": self.taken_over,
            "changed": self.changed,
            "crowded": self.crowded,
            "depth": self.depth,
        }

    def words(self) -> list[str]:
        """The same, for people: a sentence each."""
        done = self.images - len(self.broken)
        rate = f" ({(self.images - self.taken_over) / self.seconds:.0f} per second)" if self.seconds else ""
        hit = done - len(self.nothing)
        lines = ["Finished before; nothing was done again."] if self.finished_before else []
        boxes, images = number_of(self.boxes, "box", "boxes"), number_of(self.images, "image")
        lines += [f"{boxes} in {hit} of {images}, {self.seconds:.1f} s{rate}."]
        if self.taken_over:
            lines.append(f"{self.taken_over} of the images had been done before the search was stopped and taken up.")
        if self.changed:
            lines.append(f"Replaced since then, and done again: {len(self.changed)}: {_some(self.changed)}.")
        if self.nothing:
            lines.append(f"Nothing found in {len(self.nothing)}: {_some(self.nothing)}.")
        if self.crowded:
            many = f"{len(self.crowded)}: {_some(self.crowded)}"
            lines.append(f"More than {MOST} boxes, of which the best were kept (noise?), in {many}.")
        if self.unlabelled:
            lines.append(f"Without a class of their own: {self.unlabelled}; their boxes are of {self.category}.")
        if self.depth:
            lines.append(self.depth)
        if self.broken:
            lines.append(f"Not readable, skipped: {len(self.broken)}: {_some(list(self.broken))}.")
        method = f"{self.method}, computed in {self.numbers}" if self.numbers else self.method
        lines.append(f"Method {method}; threshold {self.threshold['threshold']:g}, {self.threshold['origin']}.")
        lines += [f"{category}: {choice}." for category, choice in list(self.choices.items())[:CHOICES]]
        for said in ("alike", "mixture", "tiles", "size", "closer"):
            lines += [f"{name}: {one[said]}." for name, one in self.notes.items() if one.get(said)][:CHOICES]
        if len(self.choices) > CHOICES:
            lines.append(f"Choices for {len(self.choices) - CHOICES} more categories are in summary.json.")
        return lines


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more (all in summary.json)"
