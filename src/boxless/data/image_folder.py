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
from boxless.data.sources import Source
from boxless.runtime.errors import BoxlessError, brief

FILES = ("metadata.jsonl", "metadata.csv")
CATEGORIES = ("categories", "category", "labels", "label", "category_id")

MetadataRow = tuple[str, dict[str, Any]]


def recognise(source: Source, names: Sequence[str]) -> Layout | None:
    """The layout of imagefolder, if there is a metadata file that names a file in its first row."""
    files = [name for name in names if name.rpartition("/")[2] in FILES]
    images = {name for name in names if is_image(name)}
    if not images or not any("file_name" in row for _, row in (row for file in files for row in _first(source, file))):
        return None
    return Layout("Hugging Face imagefolder", tuple(split_folders(images)), partial(_read, source, files, images))


def _first(source: Source, file: str) -> list[MetadataRow]:
    return [row for row in [next(_rows(source, file), None)] if row is not None]


def _rows(source: Source, file: str) -> Iterator[MetadataRow]:
    """The place and the columns of each row."""
    text, name = text_of(source, file), f"{file} in {source.root}"
    if file.endswith(".jsonl"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                where = f"{name}, line {number}"
                yield where, parsed_json(source, file, line, where)
        return
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for row in rows:
            yield f"{name}, line {rows.line_num}", {key: value for key, value in row.items() if key}
    except csv.Error as error:
        raise BoxlessError(f"{name}, line {rows.line_num}: not csv ({error}).") from error


def _read(source: Source, files: Sequence[str], images: set[str], split: str | None) -> Dataset:
    there = split_folders(images)
    read = {
        name: AnnotatedImage(name, label=class_folder(name, there), split=split_folder(name) if there else "")
        for name in images
    }
    for file in files:
        folder = file.rpartition("/")[0]
        for where, row in _rows(source, file):
            stated = row.get("file_name")
            name = f"{folder}/{stated}".removeprefix("/")
            if not isinstance(stated, str) or name not in images:
                raise BoxlessError(f"{where} names the image {brief(stated, 200)}, which is not in the data.")
            image = read[name]
            image.size = stated_size(row.get("width"), row.get("height"), where)
            image.objects = list(_objects(row.get("objects"), where))
            label = row.get("label")
            image.label = "" if image.objects else image.label
            if isinstance(label, str | int) and label != "":
                image.label = str(label)
    return dataset_of(source, read.values(), split)


def _objects(objects: Any, where: str) -> Iterator[tuple[str, WrittenBox]]:
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
    for number, (box, name) in enumerate(zip(boxes, named or ["object"] * len(boxes), strict=True), 1):
        place = f"{where}, object {number}"
        if not isinstance(box, list) or len(box) != 4 or not isinstance(name, str | int):
            raise BoxlessError(f"{place}: expected bbox [x, y, width, height] and a category, found {brief(box)}.")
        yield str(name), coco_box(box, place)


def _field(objects: Any, keys: tuple[str, ...]) -> Any:
    return next((objects[key] for key in keys if key in objects), None) if isinstance(objects, dict) else None
