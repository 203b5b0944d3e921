"""One range of values for the pictures of more than 8 bits that are one sensor's, so that a dim one stays dim.

They are taken for one sensor's where all that are looked at have the same file format, kind of values and sides. Then
their range is that of a sample of them together, in which each counts alike; the sample depends on the names in the
folder alone, so that every split, process and order of reading has the same. Pictures that differ from those, and all
where they are not one sensor's, are stretched each by itself, as deep_pictures.py says.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from PIL import TiffImagePlugin

from boxless.data.dataset import Dataset
from boxless.data.deep_pictures import (
    BITS_PER_SAMPLE,
    Range,
    deep_grey,
    grid_step,
    has_16_bits,
    no_data_of,
    read_colours,
    value_range,
)
from boxless.data.images import open_picture, read_picture
from boxless.data.sources import FolderSource, Source
from boxless.runtime.errors import BrokenImageError

SUFFIXES = (".png", ".tif", ".tiff", ".pgm", ".ppm", ".pnm", ".jp2")
"""Files that may hold more than 8 bits; a folder without any is not looked at."""

PEEKED = 8
"""Pictures that are looked at first; where none of them is deep, the others are not looked at."""

SAMPLED = 32
"""Pictures, at most, that the common range is taken from."""

Values = tuple[Shaped[np.ndarray, "..."], list[float]]


class OneRange:
    """A source whose deep pictures of one kind are given as pictures of 8 bits, upright, stretched from one range."""

    def __init__(self, source: Source, kind: str, bounds: Range) -> None:
        self.source, self.kind, self.bounds = source, kind, bounds

    @property
    def root(self) -> Path:
        """That of the source."""
        return self.source.root

    def names(self) -> list[str]:
        """Those of the source."""
        return self.source.names()

    def state(self, name: str) -> str:
        """What the source says of the file."""
        return self.source.state(name)

    def read(self, name: str) -> bytes:
        """The content of one file, a PPM for a deep picture of the kind; raises BrokenImageError as the source does."""
        data = self.source.read(name)
        if kind_of(data) != self.kind:
            return data
        picture = read_picture(data, name, self.bounds)
        height, width = picture.shape[:2]
        return b"P6 %d %d 255\n" % (width, height) + picture.tobytes()


def folder_of(source: Source) -> Path | None:
    """The folder that the files of a source lie in; None for an archive."""
    held = source.source if isinstance(source, OneRange) else source
    return held.root if isinstance(held, FolderSource) else None


def in_one_range(dataset: Dataset) -> Dataset:
    """The data set with the deep pictures of its whole folder in one range, if they are one sensor's; it says which."""
    source, kinds = dataset.source, dict[str, list[Values]]()
    if not any(map(kind_of, _contents(source, [sample.name for sample in dataset.samples], PEEKED))):
        return dataset
    for data in _contents(source, source.names(), SAMPLED):
        if kind := kind_of(data):
            kinds.setdefault(kind, []).extend(_values(data))
        if len(kinds) > 1:
            said = f"not of one sensor (such as {'; '.join(kinds)}), each stretched from its own range."
            return replace(dataset, depth=f"Pictures of more than 8 bits: {said}")
    kind, sampled = next(iter(kinds.items()), ("", []))
    if len(sampled) < 2:
        return dataset
    low, high = value_range([values for values, _ in sampled], {mark for _, marks in sampled for mark in marks})
    bounds = f"{low:g} to {high:g}"
    said = f"Pictures of more than 8 bits: taken for one sensor's ({kind}), all stretched from {bounds}."
    return replace(dataset, source=OneRange(source, kind, (low, high)), depth=said, value_range=bounds)


def kind_of(data: bytes) -> str:
    """What picture of more than 8 bits a file holds: format, values and sides; "" for every other file."""
    try:
        image = open_picture(data)
        if not (deep_grey(image) or has_16_bits(image, data)):
            return ""
        bits = image.tag_v2[BITS_PER_SAMPLE][0] if isinstance(image, TiffImagePlugin.TiffImageFile) else 16
    except Exception:  # whoever reads the picture says what is wrong with it
        return ""
    values = {"F": "floats", "I": "integers"}.get(image.mode[0], image.mode)
    return f"{image.format}, {values} of {bits} bits, {max(image.size)} x {min(image.size)}"


def _contents(source: Source, names: Sequence[str], most: int) -> Iterator[bytes]:
    """The files, at most so many and evenly spread, of those that may hold more than 8 bits."""
    asked = [name for name in names if name.lower().endswith(SUFFIXES)]
    for place in range(min(most, len(asked))):
        with suppress(BrokenImageError):
            yield source.read(asked[place * len(asked) // min(most, len(asked))])


def _values(data: bytes) -> Iterator[Values]:
    """Some values of a picture, and what it declares to be none; nothing of one that is broken."""
    with suppress(Exception):  # as above
        image = open_picture(data)
        image.load()
        step, colours = grid_step(*image.size, SAMPLED), read_colours(image, data)
        whole = np.asarray(image) if colours is None else colours[..., :3]
        yield whole[::step, ::step].copy(), no_data_of(image)
