"""True boxes without the images: a boxes.csv, a COCO json or a folder of wsolevaluation's lists.

`data.folder` reads the same formats together with the images. Scoring maps that are there already needs names, sizes
and boxes only.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from boxless.data import coco, wsol_lists
from boxless.data.annotations import Box, Size, checked_box, numbers, rows_of, stacked, whole
from boxless.data.dataset import Boxes
from boxless.data.sources import FolderSource
from boxless.runtime.errors import BoxlessError, brief

COLUMNS = ("image", "class", "width", "height", "x0", "y0", "x1", "y1")


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of each image, in the order of the file."""

    names: list[str]
    sizes: list[Size]
    boxes: list[Boxes | None]
    labels: list[int | None]
    classes: list[str]


def read_truth(path: Path) -> Truth:
    """Names, sizes, boxes (half-open, cut off at the image's edges) and labels from one of the three formats.

    Raises BoxlessError with the file and the line for what cannot be: no size, a box that is empty or outside, the same
    box twice, two sizes or two classes of one image.
    """
    if path.is_dir() and (path / wsol_lists.IDS).is_file():
        return _from_lists(path)
    if path.suffix.lower() == ".json" and path.is_file():
        return _from_coco(path)
    if path.suffix.lower() == ".csv" and path.is_file():
        return _from_csv(path)
    raise BoxlessError(f"{path} is no truth. Expected a boxes.csv, a COCO .json or a folder with {wsol_lists.IDS}.")


@dataclass(slots=True)
class _Image:
    size: Size
    label: str
    boxes: dict[Box, int]
    """Each box and its line."""


def _from_csv(path: Path) -> Truth:
    images: dict[str, _Image] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, restval="")
            lacking = [column for column in COLUMNS if column not in (rows.fieldnames or [])]
            if lacking:
                raise BoxlessError(f"{path} has no column {', '.join(lacking)}. Expected {','.join(COLUMNS)}.")
            for row in rows:
                _add_row(row, images, path, rows.line_num)
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise BoxlessError(f"{path} cannot be read as csv ({error}). Save it as UTF-8 text.") from error
    if not images:
        raise BoxlessError(f"{path} has no rows. Expected a row for each box.")
    classes = sorted({image.label for image in images.values() if image.label})
    return Truth(
        list(images),
        [image.size for image in images.values()],
        [stacked(image.boxes) for image in images.values()],
        [classes.index(image.label) if image.label else None for image in images.values()],
        classes,
    )


def _add_row(row: dict[str, str], images: dict[str, _Image], path: Path, line: int) -> None:
    where = f"{path}, line {line}"
    width, height = whole([row["width"], row["height"]], where)
    if not width or not height:
        raise BoxlessError(f"{where}: the image has {width} x {height} pixels. Expected its width and height.")
    image = images.setdefault(row["image"], _Image((width, height), row["class"], {}))
    if image.size != (width, height) or image.label != row["class"]:
        raise BoxlessError(
            f"{where}: {row['image']} is {width} x {height} of class {row['class']!r} here, and "
            f"{image.size[0]} x {image.size[1]} of class {image.label!r} before."
        )
    sides = [row[side] for side in ("x0", "y0", "x1", "y1")]
    if any(sides):  # a row without coordinates is an image without an object
        x0, y0, x1, y1 = numbers(sides, where)
        box = checked_box(x0, y0, x1, y1, image.size, where)
        if box in image.boxes:
            raise BoxlessError(f"{where} repeats the box of line {image.boxes[box]}. Remove one of them.")
        image.boxes[box] = line


def _from_coco(path: Path) -> Truth:
    listed, classes = coco.read_listed(path)
    return _complete([(one.name, one.size, one.boxes, one.label) for one in listed], classes, path)


def _from_lists(folder: Path) -> Truth:
    lists = FolderSource(folder)
    names = {values[0]: where for where, values in rows_of(lists, wsol_lists.IDS, 1, ",")}
    sizes = wsol_lists._sizes(lists, names)
    boxes = wsol_lists._boxes(lists, names, sizes)
    labels = wsol_lists.read_labels(lists, names)
    rows = [(name, sizes.get(name), stacked(boxes[name]), labels.get(name)) for name in names]
    return _complete(rows, wsol_lists._class_names(labels), folder)


def _complete(rows: list[tuple[str, Size | None, Boxes | None, int | None]], classes: list[str], path: Path) -> Truth:
    sizes: list[Size] = []
    for name, size, _, _ in rows:
        if size is None:
            raise BoxlessError(
                f"{path} does not say how large {brief(name, 200)} is. Expected the width and height of every image."
            )
        sizes.append(size)
    return Truth([r[0] for r in rows], sizes, [r[2] for r in rows], [r[3] for r in rows], classes)
