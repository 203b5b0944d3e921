"""COCO json -> samples: boxes are [x, y, width, height] in pixels there, which is half-open already.

The images lie under a given root, or beside the json, or in `data/` (FiftyOne), `images/` or a folder called like the
json. An image whose objects are of several categories has all its boxes and no label.
"""

import json
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from boxless.data.annotations import (
    Box,
    Size,
    annotated,
    numbers,
    plain_name,
    score_of,
    source_holding,
    stacked,
    whole,
)
from boxless.data.dataset import Dataset, WrittenBox
from boxless.data.rows import Rows, present
from boxless.data.sources import FolderSource, Source
from boxless.runtime.errors import BoxlessError, brief


def read_coco(path: Path, images: Path | None = None) -> Dataset:
    """What `parse_coco` gives, with the images, which lie in the folder `images` or beside the json.

    Raises BoxlessError for a malformed file, and where none of the images is there.
    """
    dataset = parse_coco(path)
    places = [images] if images else [path.parent, *(path.parent / part for part in ("data", "images", path.stem))]
    return present(dataset, source_holding([sample.name for sample in dataset.samples], places, str(path)), str(path))


def parse_coco(path: Path) -> Dataset:
    """What `parse_coco_text` gives for a file; raises BoxlessError for one that is malformed or cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise BoxlessError(f"{path} cannot be read: {error}.") from error
    return parse_coco_text(text, str(path), FolderSource(path.parent))


def parse_coco_text(text: str, path: str, source: Source) -> Dataset:
    """The images of a COCO json without looking for them, all boxes but those without area, as written, and the crowds.

    Classes are the categories in the order of their ids. Raises BoxlessError that begins with `path`.
    """
    content = _parse(text, path)
    entries = _by_id(content["images"], f"{path}, an image")
    if not entries:
        raise BoxlessError(f"{path} lists no images. Expected a COCO json with at least one.")
    rows, names, sizes = Rows(), dict[Any, str](), dict[Any, Size | None]()
    for key, entry in entries.items():
        with rows.row():
            names[key] = _name(entry, f"{path}, image {brief(key)}")
            with rows.row():
                sizes[key] = _size(entry, f"{path}, image {brief(key)}")
    if not names:
        raise rows.wrong[0][1]
    if twice := next((name for name, count in Counter(names.values()).items() if count > 1), None):
        raise BoxlessError(f"{path} lists the image {brief(twice, 200)} under two ids. Expected one entry per image.")
    categories = _by_id(content.get("categories", []), f"{path}, a category")
    ids = sorted(categories, key=lambda key: whole([key], f"{path}, categories"))
    label_of = {key: label for label, key in enumerate(ids)}
    labels, boxes, crowds = _annotations(content, path, names, label_of, rows)
    samples = [
        replace(
            annotated(
                name,
                next(iter(labels[key])) if len(labels[key]) == 1 else None,
                boxes[key],
                sizes.get(key),
            ),
            crowds=stacked(crowds[key]),
        )
        for key, name in names.items()
    ]
    classes = [str(_field(categories[key], "name", f"{path}, a category")) for key in ids]
    return rows.noted_in(Dataset(source, samples, classes))


def _by_id(entries: list[dict[str, Any]], where: str) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for entry in entries:
        key = _field(entry, "id", where)
        if key in found:
            raise BoxlessError(f"{where} has the id {brief(key)} of another one. Expected an id of its own for each.")
        found[key] = entry
    return found


def _parse(text: str, path: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise BoxlessError(f"{path}, line {error.lineno}: not JSON ({error.msg}).") from error
    except RecursionError as error:
        raise BoxlessError(f"{path} is not a COCO json: it is nested too deeply.") from error
    except ValueError as error:  # a number of thousands of digits
        raise BoxlessError(f"{path} cannot be read: {error}.") from error
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or "images" not in content:
        raise BoxlessError(f"{path} is not a COCO json: it has no list of images.")
    for key in lists:
        entries = content.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise BoxlessError(f"{path} is not a COCO json: {key} is not a list of objects.")
    return content


def _annotations(
    content: dict[str, Any], path: str, names: dict[Any, str], label_of: dict[Any, int], rows: Rows
) -> tuple[dict[Any, set[int]], dict[Any, list[WrittenBox]], dict[Any, list[Box]]]:
    """The labels, the boxes and the crowds of every image id."""
    labels: dict[Any, set[int]] = defaultdict(set)
    crowds: dict[Any, list[Box]] = defaultdict(list)
    boxes: dict[Any, list[WrittenBox]] = defaultdict(list)
    for entry in content.get("annotations", []):
        where = f"{path}, annotation {brief(entry.get('id'))}"
        with rows.row():
            image, category = _field(entry, "image_id", where), _field(entry, "category_id", where)
            if image not in names:
                raise BoxlessError(f"{where}: there is no image with the id {brief(image)}.")
            if category not in label_of:
                raise BoxlessError(f"{where}: there is no category with the id {brief(category)}.")
            labels[image].add(label_of[category])
            box = _box(entry, where)
            if box is not None and entry.get("iscrowd"):
                crowds[image].append(box)
            elif box is not None:
                boxes[image].append(WrittenBox(box, where, score=score_of(entry.get("score")), label=str(category)))
    return labels, boxes, crowds


def _box(entry: dict[str, Any], where: str) -> Box | None:
    values = entry.get("bbox")
    if not values:
        return None
    if not isinstance(values, list) or len(values) != 4:
        raise BoxlessError(f"{where}: expected bbox = [x, y, width, height], found {brief(values)}.")
    x, y, width, height = numbers(values, where)
    return (x, y, x + width, y + height) if width and height else None


def _field(entry: dict[str, Any], key: str, where: str) -> Any:
    value = entry.get(key)
    if not isinstance(value, str | int):
        raise BoxlessError(f"{where}: expected {key!r}, found {brief(value)}.")
    return value


def _name(entry: dict[str, Any], where: str) -> str:
    return plain_name(str(_field(entry, "file_name", where)))


def _size(entry: dict[str, Any], where: str) -> Size | None:
    if not entry.get("width") or not entry.get("height"):
        return None
    width, height = whole([entry["width"], entry["height"]], where)
    return width, height
