"""The one currency of the data rooms: a sample, and the data set it belongs to."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from boxless.data.sources import Source

NO_CLASS = "object"
"""The category of images that have none, or of whose objects several are."""

Boxes = Float32[np.ndarray, "_box 4"]
"""Boxes as float32 x0 y0 x1 y1 in pixels of the original, upright image; half-open: x1 is one past the last pixel."""


class WrittenBox(NamedTuple):
    """A box x0 y0 x1 y1 (half-open pixels) as an annotation file has it, and what that says of it."""

    box: tuple[float, float, float, float]
    where: str
    """The file and the place in it, for error messages."""
    source: str = ""
    """Who found it."""
    score: float | None = None
    label: str = ""
    """Its class, where an image may have objects of several."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: its name in the source, and what is known of it (None = not known)."""

    name: str
    label: int | None = None
    boxes: Boxes | None = None
    size: tuple[int, int] | None = None
    """Width and height in pixels as people see the picture, where an annotation states it."""
    crowds: Boxes | None = None
    """Where there are too many to box, which no found box is judged by (COCO's iscrowd)."""
    written: tuple[WrittenBox, ...] = ()
    """The boxes as they were written, until they are checked."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples of one split, the names of their classes, and the source that their bytes come from."""

    source: Source
    samples: list[Sample]
    classes: list[str] = field(default_factory=list)
    split: str | None = None
    faults: tuple[str, ...] = ()
    """What in the annotations contradicts itself, in sentences; data that was checked has none."""
    bad_rows: tuple[str, ...] = ()
    """The same for single rows that cannot be, and that were left out."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Images that the annotations name and that are not there, with a sentence that says where they are named."""
    unread: tuple[str, ...] = ()
    """Files beside the images that look like annotations, and that nothing read."""
    depth: str = ""
    """How pictures of more than 8 bits are read, in a sentence."""
    value_range: str = ""
    """What they are all stretched from, if it is one range; part of the hash, as their pixels depend on it."""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labelled(self) -> bool:
        """Whether every sample has a class label."""
        return bool(self.samples) and all(sample.label is not None for sample in self.samples)

    @property
    def boxed(self) -> bool:
        """Whether at least one sample has boxes, so that something can be measured."""
        return any(sample.boxes is not None for sample in self.samples)


def data_hash(dataset: Dataset) -> str:
    """Sixteen hex digits of the names, labels and boxes of a data set, and of the range of deep pictures.

    They are the same for the same images and annotations.
    """
    digest = hashlib.sha256(dataset.value_range.encode())
    for sample in sorted(dataset.samples, key=lambda sample: sample.name):
        boxes = "" if sample.boxes is None else np.asarray(sample.boxes, np.float32).tolist()
        label = "" if sample.label is None else dataset.classes[sample.label]
        digest.update(f"{sample.name}\0{label}\0{boxes}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]
