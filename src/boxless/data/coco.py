"""COCO json -> samples: boxes are [x, y, width, height] in pixels there, which is half-open already.

The images lie under a given root, or beside the json, or in `data/` (FiftyOne), `images/` or a folder called like the
json. An image whose objects are of several categories has all its boxes and no label.
"""

import json
import posixpath
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from boxless.data.annotations import Box, Size, checked_box, numbers, require_images, source_holding, stacked, whole
from boxless.data.dataset import Boxes, Dataset, Sample
from boxless.runtime.errors import BoxlessError, brief


class Listed(NamedTuple):
    """What a COCO json says of one image."""

    name: str
    size: Size | None
    label: int | None
    boxes: Boxes | None


def read_coco(path: Path, images: Path | None = None) -> Dataset:
    """The images of a COCO json with the labels and boxes of its annotations, but crowds and boxes without area.

    Classes are the categories in the order of their ids. Raises BoxlessError for a malformed file or missing images.
    """
    listed, classes = read_listed(path)
    places = [images] if images else [path.parent, *(path.parent / part for part in ("data", "images", path.stem))]
    source = source_holding(listed[0].name, places, str(path))
    require_images({one.name: str(path) for one in listed}, source)
    return Dataset(source, [Sample(one.name, one.label, one.boxes, one.size) for one in listed], classes)


def read_listed(path: Path) -> tuple[list[Listed], list[str]]:
    """The images of a COCO json without looking for them, and its classes; raises BoxlessError for a malformed file."""
    content = _parse(path)
    if not content["images"]:
        raise BoxlessError(f"{path} lists no images. Expected a COCO json with at least one.")
    entries: dict[Any, dict[str, Any]] = {}
    for entry in content["images"]:
        key = _field(entry, "id", f"{path}, an image")
        if key in entries:
            raise BoxlessError(f"{path} has two images with the id {brief(key)}. Expected an id of its own for each.")
        entries[key] = entry
    names = {key: _name(entry, f"{path}, image {brief(key)}") for key, entry in entries.items()}
    sizes = {key: _size(entry, f"{path}, image {brief(key)}") for key, entry in entries.items()}
    categories = sorted(
        content.get("categories", []), key=lambda entry: whole([entry.get("id")], f"{path}, categories")
    )
    label_of = {category["id"]: label for label, category in enumerate(categories)}
    labels, boxes = _annotations(content, path, sizes, label_of)
    listed = [
        Listed(name, sizes[key], next(iter(labels[key])) if len(labels[key]) == 1 else None, stacked(boxes[key]))
        for key, name in names.items()
    ]
    return listed, [str(_field(entry, "name", f"{path}, a category")) for entry in categories]


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise BoxlessError(f"{path}, line {error.lineno}: not JSON ({error.msg}).") from error
    except RecursionError as error:
        raise BoxlessError(f"{path} is not a COCO json: it is nested too deeply.") from error
    except (OSError, ValueError) as error:  # not UTF-8, or a number of thousands of digits
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
    content: dict[str, Any], path: Path, sizes: dict[Any, Size | None], label_of: dict[Any, int]
) -> tuple[dict[Any, set[int]], dict[Any, list[Box]]]:
    """The labels and the boxes of every image id."""
    labels: dict[Any, set[int]] = defaultdict(set)
    boxes: dict[Any, list[Box]] = defaultdict(list)
    for entry in content.get("annotations", []):
        where = f"{path}, annotation {brief(entry.get('id'))}"
        image, category = _field(entry, "image_id", where), _field(entry, "category_id", where)
        if image not in sizes:
            raise BoxlessError(f"{where}: there is no image with the id {brief(image)}.")
        if category not in label_of:
            raise BoxlessError(f"{where}: there is no category with the id {brief(category)}.")
        labels[image].add(label_of[category])
        values = entry.get("bbox")
        if entry.get("iscrowd") or not values:
            continue
        if not isinstance(values, list) or len(values) != 4:
            raise BoxlessError(f"{where}: expected bbox = [x, y, width, height], found {brief(values)}.")
        x, y, width, height = numbers(values, where)
        if width and height:
            boxes[image].append(checked_box(x, y, x + width, y + height, sizes[image], where))
    return labels, boxes


def _field(entry: dict[str, Any], key: str, where: str) -> Any:
    value = entry.get(key)
    if not isinstance(value, str | int):
        raise BoxlessError(f"{where}: expected {key!r}, found {brief(value)}.")
    return value


def _name(entry: dict[str, Any], where: str) -> str:
    return posixpath.normpath(str(_field(entry, "file_name", where)).replace("\\", "/"))


def _size(entry: dict[str, Any], where: str) -> Size | None:
    if not entry.get("width") or not entry.get("height"):
        return None
    width, height = whole([entry["width"], entry["height"]], where)
    return width, height
