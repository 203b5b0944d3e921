"""boxes.csv -> what it says of each image, as it is written; the one reader, with the images beside it or without.

    image,class,width,height,x0,y0,x1,y1[,score][,source]      half-open pixels; a row without sides: no object

Only image and the four sides are required. Columns may be in any order and in capitals, and separated by semicolons or
tabs; names may have back slashes or begin with ./, as those in COCO json.
"""

import codecs
import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from boxless.data.annotations import Box, Size, annotated, numbers, plain_name, score_of, whole
from boxless.data.dataset import Dataset, Sample, WrittenBox
from boxless.data.rows import AbsentImageError, ContradictionError, Rows
from boxless.data.sources import FolderSource, Source, place_of
from boxless.runtime.errors import BoxlessError

COLUMNS = ("image", "class", "width", "height", "x0", "y0", "x1", "y1")
FOREIGN = re.compile("[\udc80-\udcff]")
"""Bytes that are no UTF-8, as Python has them in the names of files."""
REQUIRED = ("image", "x0", "y0", "x1", "y1")


@dataclass(slots=True)
class Annotation:
    """What is written of one image; the class and the size each with their place."""

    label: tuple[str, str] = ("", "")
    size: tuple[Size | None, str] = (None, "")
    boxes: list[WrittenBox] = field(default_factory=list)

    def sample(self, name: str, label: int | None) -> Sample:
        """The image of this name, with the number of its class."""
        return annotated(name, label, self.boxes, self.size[0])


def parse_boxes_csv(path: Path) -> Dataset:
    """The images of a boxes.csv in its order, without looking for them; raises BoxlessError for another file."""
    source = FolderSource(path.parent)
    known, rows = read_rows(source, [path.name], None)
    classes = sorted({one.label[0] for one in known.values()} - {""})
    index = {name: label for label, name in enumerate(classes)}
    samples = [one.sample(name, index.get(one.label[0])) for name, one in known.items()]
    return rows.noted_in(Dataset(source, samples, classes))


def read_rows(
    source: Source, files: Iterable[str], pictures: Collection[str] | None
) -> tuple[defaultdict[str, Annotation], Rows]:
    """What csv files say of each image, and the rows that contradict others or cannot be.

    `pictures` are the images there.

    What one file says and an earlier one, too, counts once. Raises BoxlessError for a file that is not csv.
    """
    known: defaultdict[str, Annotation] = defaultdict(Annotation)
    kept = Rows()
    for file in files:
        where, before = place_of(file, source), {(name, one.box) for name in known for one in known[name].boxes}
        content = source.read(file)
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise BoxlessError(f"{where} is UTF-16, as spreadsheets save it. Save it as UTF-8.")
        text = content.decode("utf-8-sig", "surrogateescape")  # a name has the bytes that its file has
        foreign = FOREIGN.search(text) is not None
        head = text.partition("\n")[0]
        separator = next((mark for mark in ";\t" if mark in head and "," not in head), ",")
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        try:
            columns = [name.strip().lower() for name in next(rows, [])]
            if lacking := [name for name in REQUIRED if name not in columns]:
                raise BoxlessError(f"{where} has no column {', '.join(lacking)}. Expected {','.join(COLUMNS)}.")
            for values in rows:
                if values:
                    if foreign and not _readable(values, pictures):
                        raise BoxlessError(f"{where}, line {rows.line_num} is not UTF-8 text. Save it as UTF-8.")
                    row = dict.fromkeys((*COLUMNS, "score", "source"), "") | dict(zip(columns, values, strict=False))
                    with kept.row():
                        _add(row, f"{where}, line {rows.line_num}", known, before, pictures)
        except csv.Error as error:
            raise BoxlessError(f"{where}, line {rows.line_num}: not csv ({error}).") from error
    return known, kept


def _readable(values: list[str], pictures: Collection[str] | None) -> bool:
    """Whether a row is UTF-8, but for the name of an image that has such bytes itself, and a class out of that."""
    foreign = [cell for cell in values if FOREIGN.search(cell)]
    names = [cell for cell in foreign if pictures is None or cell in pictures]
    return all(any(cell in name for name in names) for cell in foreign)


def _add(
    row: dict[str, str],
    where: str,
    known: defaultdict[str, Annotation],
    before: Collection[tuple[str, Box]],
    pictures: Collection[str] | None,
) -> None:
    """Add one row to what is known; raises BoxlessError for one that cannot be or says something else than before."""
    name = row["image"]
    if pictures is None or name not in pictures:
        name = plain_name(name)
    if pictures is not None and name not in pictures:
        raise AbsentImageError(where, name)
    sides, size = [row[side] for side in ("x0", "y0", "x1", "y1")], _size(row, where)
    x0, y0, x1, y1 = numbers(sides, where) if any(sides) else [math.nan] * 4
    one = known[name]
    if row["class"] and one.label[0] not in ("", row["class"]):
        raise ContradictionError(
            f"{where}: {name} is of class {row['class']!r} here, and of {one.label[0]!r} in {one.label[1]}. "
            "Expected one class per image."
        )
    if size and one.size[0] not in (None, size):
        raise ContradictionError(
            f"{where}: {name} is {size[0]} x {size[1]} here, and of another size in {one.size[1]}. "
            "Expected one size per image."
        )
    one.label = one.label if one.label[0] or not row["class"] else (row["class"], where)
    one.size = one.size if one.size[0] or not size else (size, where)
    if any(sides):
        box = x0, y0, x1, y1
        if (name, box) not in before:
            one.boxes.append(WrittenBox(box, where, row["source"], score_of(row["score"])))


def _size(row: dict[str, str], where: str) -> Size | None:
    if not row["width"] and not row["height"]:
        return None
    width, height = whole([row["width"], row["height"]], where)
    if not width or not height:
        raise BoxlessError(f"{where}: the image has {width} x {height} pixels. Expected its width and height.")
    return width, height
