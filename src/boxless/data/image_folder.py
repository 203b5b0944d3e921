"""Hugging Face's imagefolder (https://huggingface.co/docs/datasets/image_dataset) -> samples with half-open boxes.

    train/metadata.jsonl        a line for each image: {"file_name": "a.jpg", "objects": {"bbox": [[x, y, w, h], ...],
                                "categories": [0, ...]}}; metadata.csv holds the same object as text in its column
    train/a.jpg

Boxes are COCO's, x y width height, half-open already. Objects may be a list of {"bbox": ..., "category": ...} too. A
column `label` is the class of the whole image. Classes that are numbers stay numbers: their names stand nowhere.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from boxless.data.annotated_images import (
    AnnotatedImage,
    Layout,
    coco_box,
    dataset_of,
    parsed_json,
    split_folder,
    stated_size,
)
from boxless.data.annotations import text_of
from boxless.data.dataset import Dataset, WrittenBox
from boxless.data.file_names import class_folder, is_image, split_folders
from boxless.data.rows import AbsentImageError, Rows
from boxless.data.sources import Source, place_of
from boxless.runtime.errors import BoxlessError, brief

FILES = ("metadata.jsonl", "metadata.csv")
CATEGORIES = ("categories", "category", "labels", "label", "category_id")


def recognise(source: Source, names: Sequence[str]) -> Layout | None:
    """The layout of imagefolder, if there is a metadata file that names a file in its first row."""
    files = [name for name in names if name.rpartition("/")[2] in FILES]
    images = {name for name in names if is_image(name)}
    if not images or not any("file_name" in (_first(source, file) or {}) for file in files):
        return None
    return Layout("Hugging Face imagefolder", tuple(split_folders(images)), partial(_read, source, files, images))


def _first(source: Source, file: str) -> dict[str, Any] | None:
    """The first row that can be read; raises BoxlessError where there are rows and none can be."""
    rows, read = Rows(), list[dict[str, Any]]()
    for where, line in _lines(source, file):
        with rows.row():
            read.append(_columns(source, file, line, where))
            break
    if rows.wrong and not read:
        raise rows.wrong[0][1]
    return read[0] if read else None


def _lines(source: Source, file: str) -> Iterator[tuple[str, str | dict[str, Any]]]:
    """The place of each row, and its text or its columns."""
    text, name = text_of(source, file), place_of(file, source)
    if file.endswith(".jsonl"):
        lines = ((f"{name}, line {number}", line) for number, line in enumerate(text.splitlines(), 1))
        yield from ((where, line) for where, line in lines if line.strip())
        return
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for row in rows:
            yield f"{name}, line {rows.line_num}", {key: value for key, value in row.items() if key}
    except csv.Error as error:
        raise BoxlessError(f"{name}, line {rows.line_num}: not csv ({error}).") from error


def _columns(source: Source, file: str, line: str | dict[str, Any], where: str) -> dict[str, Any]:
    return parsed_json(source, file, line, where) if isinstance(line, str) else line


def _read(source: Source, files: Sequence[str], images: set[str], split: str | None) -> Dataset:
    there = split_folders(images)
    read = {
        name: AnnotatedImage(name, label=class_folder(name, there), split=split_folder(name) if there else "")
        for name in images
    }
    rows = Rows()
    for file in files:
        part = split_folder(file) if there else ""
        for where, line in _lines(source, file):
            with rows.row(part):
                row = _columns(source, file, line, where)
                stated = row.get("file_name")
                name = f"{file.rpartition('/')[0]}/{stated}".removeprefix("/")
                if not isinstance(stated, str) or name not in images:
                    raise AbsentImageError(where, stated)
                _fill(read[name], row, where, rows)
    return dataset_of(source, read.values(), split, rows)


def _fill(image: AnnotatedImage, row: dict[str, Any], where: str, rows: Rows) -> None:
    """What a row says of its image."""
    with rows.row(image.split):
        image.size = stated_size(row.get("width"), row.get("height"), where)
    objects = list(_objects(row.get("objects"), where))
    for number, (box, name) in enumerate(objects, 1):
        with rows.row(image.split):
            image.objects.append(_object(box, name, f"{where}, object {number}"))
    label = row.get("label")
    image.label = "" if objects else image.label
    if isinstance(label, str | int) and label != "":
        image.label = str(label)


def _objects(objects: Any, where: str) -> Iterator[tuple[Any, Any]]:
    """The box and the category of each object, as they are written."""
    if isinstance(objects, str):
        try:
            objects = json.loads(objects) if objects.strip() else None
        except (ValueError, RecursionError) as error:
            raise BoxlessError(f"{where}: objects is not JSON ({error}).") from error
    if isinstance(objects, list):
        objects = {
            "bbox": [_field(one, ("bbox",)) for one in objects],
            "categories": [_field(one, CATEGORIES) for one in objects],
        }
    if not objects:
        return
    boxes, named = _field(objects, ("bbox",)), _field(objects, CATEGORIES)
    if not isinstance(boxes, list) or (named is not None and (not isinstance(named, list) or len(named) != len(boxes))):
        raise BoxlessError(f"{where}: expected objects with bbox and as many categories, found {brief(objects)}.")
    yield from zip(boxes, named or ["object"] * len(boxes), strict=True)


def _object(box: Any, name: Any, where: str) -> tuple[str, WrittenBox]:
    if not isinstance(box, list) or len(box) != 4 or not isinstance(name, str | int):
        raise BoxlessError(f"{where}: expected bbox [x, y, width, height] and a category, found {brief(box)}.")
    return str(name), coco_box(box, where)


def _field(objects: Any, keys: tuple[str, ...]) -> Any:
    return next((objects[key] for key in keys if key in objects), None) if isinstance(objects, dict) else None
