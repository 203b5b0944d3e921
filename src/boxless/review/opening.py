"""Boxes, photos and an output folder -> a review that can begin, or go on where the person stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from boxless.data.folder import read_data
from boxless.data.marks import marks
from boxless.data.one_range import folder_of
from boxless.export import write_boxes
from boxless.review.decisions import Review
from boxless.review.journal import Journal
from boxless.review.pictures import Pictures, lies_inside
from boxless.review.proposals import boxes_file, proposals
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.files import folder_lock

Export = Literal["coco", "voc", "yolo"]
"""Formats to write; the fourth, csv, is there all the time."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A review with its pictures, and where both come from."""

    review: Review
    pictures: Pictures
    boxes: Path
    photos: Path
    links: int
    """Images that are left out, because they are links that lead out of the photos."""

    def export(self, format: Export) -> Path:
        """Write all decided and not rejected images as a detector reads them; returns the folder, OUT/format.

        Raises BoxlessError when nothing is decided, and what `write_boxes` raises.
        """
        if all(not made.accepted for made in self.review.made()):
            raise BoxlessError("Nothing is accepted yet. Accept or correct an image first.")
        out = self.review.out / format
        pictures = folder_of(self.pictures.source)
        write_boxes(self.review.found(), out, format, self.review.classes, pictures=pictures, overwrite=True)
        return out


@contextmanager
def opened(target: Path, photos: Path, out: Path, *, strict: bool = False) -> Iterator[Opened]:
    """Open the boxes of `target` over `photos` for review in the folder `out`, for this process alone.

    With `strict` one box that cannot be refuses them all.

    Raises UsageError for boxes that are not there, and for an `out` that another process has open, that holds other
    boxes, or that the boxes themselves are from.
    """
    boxes = boxes_file(target)
    if boxes.resolve() == (out / "boxes.csv").resolve():
        raise UsageError(
            f"{boxes} is what the review itself writes. Give the boxes that it was begun with, or choose another --out."
        )
    if (out / "boxes.csv").exists() and not (out / "review.jsonl").exists():
        raise UsageError(f"{out / 'boxes.csv'} was not written by a review and is kept. Choose another --out.")
    data = read_data(photos, "all")
    listed = proposals(boxes, data, strict=strict)
    kept = [one for one in listed if lies_inside(data.source, one.name)]
    if not kept:
        raise BoxlessError(
            f"All {len(listed)} images of {photos} are links that lead out of it. Give their own folder."
        )
    with folder_lock(out), Journal(out / "review.jsonl") as journal:
        review = Review(
            kept, out, journal, lambda found: proposals(boxes_file(found), data), partial(marks, data.source)
        )
        pictures = Pictures(data.source, [one.name for one in kept])
        yield Opened(review, pictures, boxes, photos, len(listed) - len(kept))
