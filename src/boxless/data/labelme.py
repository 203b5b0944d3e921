"""labelme's layout (https://github.com/wkentaro/labelme): a json beside each image -> half-open boxes.

Its coordinates are places in the upright picture, 0 at the left edge and the width at the right one, so that they are
half-open already. A rectangle is two opposite corners, a circle its centre and a point on it, a mask the first and the
last pixel of its rectangle; of polygons and lines the box is read, and single points have none.
"""

import math
from collections.abc import Sequence
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
from boxless.data.rows import AbsentImageError, Rows
from boxless.data.sources import Source, place_of
from boxless.runtime.errors import BoxlessError, brief


def recognise(source: Source, names: Sequence[str]) -> Layout | None:
    """The layout of labelme, if an image has a json of its name beside it that lists shapes."""
    there = set(names)
    beside = {name: f"{name.rpartition('.')[0]}.json" for name in names if is_image(name)}
    if not _any_shapes(source, [file for file in beside.values() if file in there]):
        return None
    files = {image: file if file in there else None for image, file in beside.items()}
    return Layout("labelme", ordered_splits(map(split_folder, beside)), partial(_read, source, names, files))


def _any_shapes(source: Source, files: Sequence[str]) -> bool:
    """Whether the first file that is a json object lists shapes; raises BoxlessError where none is one."""
    rows = Rows()
    for file in files:
        with rows.row():
            return isinstance(parsed_json(source, file).get("shapes"), list)
    if rows.wrong:
        raise rows.wrong[0][1]
    return False


def _read(source: Source, names: Sequence[str], files: dict[str, str | None], split: str | None) -> Dataset:
    rows = Rows()
    images = [_image(source, image, file, rows) for image, file in files.items()]
    for name in _without_images(source, [name for name in names if name.endswith(".json")], files):
        with rows.row(split_folder(name)):
            raise AbsentImageError(place_of(name, source), parsed_json(source, name).get("imagePath"))
    return dataset_of(source, images, split, rows)


def _without_images(source: Source, texts: Sequence[str], files: dict[str, str | None]) -> list[str]:
    """Those of some jsons that list shapes of images that are not there; what is no json is another program's."""
    rows, found = Rows(), list[str]()
    for name in sorted({*texts} - {*files.values()}):
        with rows.row():
            found += [name] if _any_shapes(source, [name]) else []
    return found


def _image(source: Source, name: str, file: str | None, rows: Rows) -> AnnotatedImage:
    image = AnnotatedImage(name, split=split_folder(name))
    if file is None:
        return image
    with rows.row(image.split):
        content, where = parsed_json(source, file), place_of(file, source)
        shapes = content.get("shapes")
        if not isinstance(shapes, list):
            raise BoxlessError(f"{where} has no list of shapes. Expected what labelme writes beside an image.")
        with rows.row(image.split):
            image.size = stated_size(content.get("imageWidth"), content.get("imageHeight"), where)
        for number, shape in enumerate(shapes, 1):
            with rows.row(image.split):
                image.objects += _object(shape, f"{where}, shape {number}")
    return image


def _object(shape: Any, where: str) -> list[tuple[str, WrittenBox]]:
    """The class and the box of a shape; none of a single point."""
    label = shape.get("label") if isinstance(shape, dict) else None
    if not isinstance(label, str) or not label:
        raise BoxlessError(f"{where}: expected a shape with a label, found {brief(shape)}.")
    points = shape.get("points")
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise BoxlessError(f"{where}: expected points [x, y], found {brief(points)}.")
    places = [numbers(point, where) for point in points]
    if shape.get("shape_type") == "circle" and len(places) == 2:
        (x, y), edge = places
        radius = math.dist((x, y), edge)
        places = [[x - radius, y - radius], [x + radius, y + radius]]
    if shape.get("shape_type") == "mask" and len(places) == 2:
        places[1] = [side + 1 for side in places[1]]
    if len(places) < 2:
        return []
    across, down = zip(*places, strict=True)
    return [(label, WrittenBox((min(across), min(down), max(across), max(down)), where))]
