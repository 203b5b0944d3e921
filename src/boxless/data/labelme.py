"""labelme's layout (https://github.com/wkentaro/labelme): a json beside each image -> half-open boxes.

Its coordinates are places in the upright picture, 0 at the left edge and the width at the right one, so that they are
half-open already. A rectangle is two opposite corners, a circle its centre and a point on it, a mask the first and the
last pixel of its rectangle; of polygons and lines the box is read, and single points have none.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from boxless.data.annotated_images import (
    AnnotatedImage,
    Layout,
    dataset_of,
    ordered_splits,
    parsed_json,
    split_folder,
    stated_size,
)
from boxless.data.annotations import numbers
from boxless.data.dataset import Dataset, WrittenBox
from boxless.data.file_names import is_image
from boxless.data.sources import Source
from boxless.runtime.errors import BoxlessError, brief


def recognise(source: Source, names: Sequence[str]) -> Layout | None:
    """The layout of labelme, if an image has a json of its name beside it that lists shapes."""
    there = set(names)
    beside = {name: f"{name.rpartition('.')[0]}.json" for name in names if is_image(name)}
    first = next((file for file in beside.values() if file in there), None)
    if first is None or not isinstance(parsed_json(source, first).get("shapes"), list):
        return None
    files = {image: file if file in there else None for image, file in beside.items()}
    return Layout("labelme", ordered_splits(map(split_folder, beside)), partial(_read, source, files))


def _read(source: Source, files: dict[str, str | None], split: str | None) -> Dataset:
    return dataset_of(source, [_image(source, image, file) for image, file in files.items()], split)


def _image(source: Source, name: str, file: str | None) -> AnnotatedImage:
    if file is None:
        return AnnotatedImage(name, split=split_folder(name))
    content, where = parsed_json(source, file), f"{file} in {source.root}"
    size = stated_size(content.get("imageWidth"), content.get("imageHeight"), where)
    shapes = content.get("shapes")
    if not isinstance(shapes, list):
        raise BoxlessError(f"{where} has no list of shapes. Expected what labelme writes beside an image.")
    return AnnotatedImage(name, list(_objects(shapes, where)), size, split=split_folder(name))


def _objects(shapes: list[Any], where: str) -> Iterator[tuple[str, WrittenBox]]:
    for number, shape in enumerate(shapes, 1):
        place = f"{where}, shape {number}"
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(label, str) or not label:
            raise BoxlessError(f"{place}: expected a shape with a label, found {brief(shape)}.")
        points = shape.get("points")
        if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
            raise BoxlessError(f"{place}: expected points [x, y], found {brief(points)}.")
        places = [numbers(point, place) for point in points]
        if shape.get("shape_type") == "circle" and len(places) == 2:
            (x, y), edge = places
            radius = math.dist((x, y), edge)
            places = [[x - radius, y - radius], [x + radius, y + radius]]
        if shape.get("shape_type") == "mask" and len(places) == 2:
            places[1] = [side + 1 for side in places[1]]
        if len(places) > 1:
            across, down = zip(*places, strict=True)
            yield label, WrittenBox((min(across), min(down), max(across), max(down)), place)
