"""What every reader of annotations shares: numbers and boxes that are what they should be, and images that are there.

Reading has two steps. A parser gives a data set as it is written, with the place of each box; `checked` judges it.
Annotation files are written by other programs and by hand. Whatever is wrong with one is said in one sentence that
names the file and the place in it.
"""

import logging
import math
import posixpath
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from boxless.data.dataset import Boxes, Dataset, Sample, WrittenBox
from boxless.data.file_names import hint_at_json
from boxless.data.images import read_size
from boxless.data.rows import Rows
from boxless.data.sources import Source, open_source, place_of
from boxless.runtime.errors import BoxlessError, BrokenImageError, brief, number_of

log = logging.getLogger(__name__)

Box = tuple[float, float, float, float]
Size = tuple[int, int]

MOST_CLASSES = 1_000_000
"""A class with a higher number is damage; a list of so many names would fill the memory."""

FEW_BAD, NAMED = 10, 3
"""Rows of which one may be bad; bad ones, or images that are not there, that are named."""

LARGEST = 1e9
"""No pixel, side or label of a picture is beyond this; float32, in which boxes are kept, has no place for it either."""


def numbers(values: Sequence[object], where: str) -> list[float]:
    """The values as floats within LARGEST; raises BoxlessError that begins with `where`, the place in a file."""
    found = [_number(value) for value in values]
    if not found or not all(abs(value) <= LARGEST for value in found):  # which nan is not, either
        raise BoxlessError(f"{where}: expected numbers, found {', '.join(map(brief, values))}.")
    return found


def whole(values: Sequence[object], where: str) -> list[int]:
    """The values as whole numbers of at least 0 (labels, pixels); raises BoxlessError that begins with `where`."""
    found = numbers(values, where)
    if any(value < 0 or value != int(value) for value in found):
        raise BoxlessError(f"{where}: expected whole numbers, found {', '.join(map(brief, values))}.")
    return [int(value) for value in found]


def class_number(value: object, where: str) -> int:
    """The value as the number of a class, from 0; raises BoxlessError that begins with `where`."""
    (label,) = whole([value], where)
    if label >= MOST_CLASSES:
        raise BoxlessError(f"{where}: the class {label}. Expected numbers that count the classes from 0.")
    return label


def _number(value: object) -> float:
    """The value as a float, nan for what is none; Python's own 1_0 and digits of other scripts are none in a file."""
    if isinstance(value, bool) or (isinstance(value, str) and ("_" in value or not value.isascii())):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]  # whatever is no number is caught below
    except (TypeError, ValueError, OverflowError):
        return math.nan


def score_of(value: object) -> float | None:
    """The score that a method gave a box; whatever is no number is none."""
    score = _number(value)
    return score if math.isfinite(score) else None


def plain_name(name: str) -> str:
    """The name of an image with /, and without ./ and its like, however another program wrote it."""
    return posixpath.normpath(name.replace("\\", "/"))


def fault(box: Box, size: Size | None) -> str:
    """What is wrong with a box: "empty", "outside" of a picture of this (width, height), or ""."""
    x0, y0, x1, y1 = box
    if x1 <= x0 or y1 <= y0:
        return "empty"
    return "outside" if size and (x0 >= size[0] or y0 >= size[1] or x1 <= 0 or y1 <= 0) else ""


def _reaches_out(box: Box, size: Size | None) -> bool:
    """Whether more of a box is beyond its picture than a pixel, which rounding explains."""
    return size is not None and (min(box[:2]) < -1 or box[2] > size[0] + 1 or box[3] > size[1] + 1)


def checked_box(x0: float, y0: float, x1: float, y1: float, size: Size | None, where: str) -> Box:
    """A half-open box in pixels, cut off at the edges of the picture where its (width, height) is known.

    Raises BoxlessError that begins with `where` when the box is empty or lies beyond the picture.
    """
    wrong = fault((x0, y0, x1, y1), size)
    if wrong == "empty":
        raise BoxlessError(f"{where}: the box {x0:g},{y0:g},{x1:g},{y1:g} is empty. Expected x0 < x1 and y0 < y1.")
    if size is None:
        return x0, y0, x1, y1
    width, height = size
    if wrong:
        raise BoxlessError(
            f"{where}: the box {x0:g},{y0:g},{x1:g},{y1:g} lies outside of the picture of {width} x {height} pixels."
        )
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))


def annotated(name: str, label: int | None, written: Sequence[WrittenBox], size: Size | None = None) -> Sample:
    """A sample with its boxes as they are written; `checked` judges them."""
    return Sample(name, label, stacked(one.box for one in written), size, written=tuple(written))


def checked(dataset: Dataset, *, strict: bool = False) -> Dataset:
    """What a parser gave, with the boxes cut off at the edges of their pictures.

    A row that cannot be (no numbers, a box that is empty or outside of its picture), a box that is there twice and an
    image that is named and not there are left out, counted and logged with their place. Raises BoxlessError for the
    first contradiction of the annotations, for each of these with `strict`, and where the rows that cannot be are more
    than one in FEW_BAD: then the whole is not what it is taken for.
    """
    for sentence in contradictions(dataset):
        raise BoxlessError(sentence)
    bad, samples = list(dataset.bad_rows), []
    for sample in dataset.samples:
        samples.append(_checked(sample, dataset.source, bad) if sample.written else sample)
    rows = len(dataset.bad_rows) + sum(len(sample.written) for sample in dataset.samples)
    absent, twice = list(dataset.absent.values()), repeated(dataset)
    if bad and (strict or len(bad) * FEW_BAD > rows):
        raise BoxlessError(bad[0])
    if absent and strict:
        raise BoxlessError(absent[0] + (f" {len(absent)} images are missing." if len(absent) > 1 else ""))
    if twice and strict:
        raise BoxlessError(f"{twice[0]} Remove one of them.")
    if bad:
        log.warning("%d of %d boxes cannot be and are left out. %s", len(bad), rows, first_of(bad))
    if absent:
        log.warning("%s not there and left out. %s", number_of(len(absent), "image is", "images are"), first_of(absent))
    if twice:
        verbs = number_of(len(twice), "box is there twice and counts", "boxes are there twice and count")
        log.warning("%s once. %s", verbs, first_of(twice))
    if unread := dataset.unread:
        shown = ", ".join(unread[:NAMED]) + (", ..." if len(unread) > NAMED else "")
        files = number_of(len(unread), "file looks", "files look")
        hint = hint_at_json(unread, str(dataset.source.root))
        log.warning(
            "%s like annotations in a layout that is not known; no box in them is read: %s.%s", files, shown, hint
        )
    return replace(dataset, samples=samples, bad_rows=(), absent={}, unread=())


def first_of(sentences: Sequence[str]) -> str:
    """The first few sentences, and how many more there are."""
    more = f" Then {len(sentences) - NAMED} more." if len(sentences) > NAMED else ""
    return f"{' '.join(sentences[:NAMED])}{more}"


def contradictions(dataset: Dataset) -> list[str]:
    """What is wrong with the annotations as a whole."""
    written = [one for sample in dataset.samples for one in sample.written]
    if written and all(0 <= min(one.box) < max(one.box) <= 1 for one in written):
        within = next((one for one in written if any(side % 1 for side in one.box)), None)
        if within is not None:
            fault = f"{within.where}: this box and all others lie within 0 and 1, as fractions do. Expected pixels."
            return [fault, *dataset.faults]
    return list(dataset.faults)


def _checked(sample: Sample, source: Source, bad: list[str]) -> Sample:
    if far := next((one for one in sample.written if _reaches_out(one.box, sample.size)), None):
        try:  # it may be that the size is wrong and the box is right
            check_size(sample, read_size(source.read(sample.name), sample.name))
        except BrokenImageError:
            pass
        except BoxlessError as error:
            raise BoxlessError(f"{far.where}: {error}") from error
    boxes = []
    for one in _once(sample):
        try:
            boxes.append(checked_box(*one.box, sample.size, one.where))
        except BoxlessError as error:
            bad.append(str(error))
    return replace(sample, boxes=stacked(boxes), written=())


def sound_boxes(sample: Sample) -> list[WrittenBox]:
    """Those of the boxes as they are written that `checked` keeps."""
    return [one for one in _once(sample) if not fault(one.box, sample.size)]


def _once(sample: Sample) -> list[WrittenBox]:
    """The boxes of an image, each of a class once."""
    return list({(one.box, one.label): one for one in reversed(sample.written)}.values())[::-1]


def repeated(dataset: Dataset) -> list[str]:
    """A sentence for each box that an image has twice."""
    sentences = []
    for sample in dataset.samples:
        first = {(one.box, one.label): one for one in reversed(sample.written)}
        others = [(one, first[one.box, one.label]) for one in sample.written]
        sentences += [f"{one.where} repeats the box of {other.where}." for one, other in others if one is not other]
    return sentences


def check_size(sample: Sample, size: Size) -> None:
    """Raise BoxlessError for boxes that are stated for a picture of another size than the upright image's."""
    if sample.boxes is not None and sample.size not in (None, size):
        stated, turned = sample.size, " once it is turned upright" if sample.size == size[::-1] else ""
        raise BoxlessError(
            f"{brief(sample.name, 200)} has {size[0]} x {size[1]} pixels{turned}, "
            f"and its annotation says {stated[0]} x {stated[1]}. Expected boxes and sizes of the upright picture; "
            "`boxless check` lists all such images."
        )


def stacked(boxes: Iterable[Box]) -> Boxes | None:
    """The boxes of one image as one array (box, 4), None when there are none."""
    array = np.array(list(boxes), np.float32)
    return array if array.size else None


def text_of(source: Source, name: str) -> str:
    """A text file of the source, decoded; raises BoxlessError when it is not UTF-8."""
    try:
        return source.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BoxlessError(f"{place_of(name, source)} is not UTF-8 text. Save it as UTF-8.") from error


def rows_of(
    source: Source, name: str, columns: int, separator: str | None = None, *, most: int = 0, aside: Rows | None = None
) -> list[tuple[str, list[str]]]:
    """The non-empty lines of a list, split into `columns` values, each with "file, line n" for error messages.

    With `separator` None values are separated by white space; of `most` values the last one is the rest of the line.
    A line with fewer values is set aside in `aside`; without that, raises BoxlessError for it.
    """
    rows = []
    for number, line in enumerate(text_of(source, name).splitlines(), 1):
        if not line.strip():
            continue
        values = line.strip().split(separator, most - 1)
        where = f"{place_of(name, source)}, line {number}"
        with aside.row() if aside else nullcontext():
            if len(values) < columns:
                raise BoxlessError(f"{where}: expected {columns} values, found {brief(line.strip())}.")
            rows.append((where, values))
    return rows


def source_holding(names: Sequence[str], places: Sequence[Path], where: str) -> Source:
    """The first of `places` (folders or zips) that has one of the files; raises BoxlessError naming the places."""
    for place in places:
        if any(_is_file(place / name) for name in names):
            return open_source(place)
        if place.is_file() and not {*names}.isdisjoint(open_source(place).names()):
            return open_source(place)
    looked = ", ".join(str(place) for place in places)
    raise BoxlessError(
        f"{where} names the image {brief(names[0], 200)}, which is in none of {looked}. Say where the images are."
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long for the disk, or has a NUL in it
        return False
