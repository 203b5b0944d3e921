"""CVAT's own xml (https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/, for images) -> half-open boxes.

    annotations.xml             <image name="a/b.jpg" width height subset> with <box xtl ytl xbr ybr rotation>, ...
    images/a/b.jpg              or images/SUBSET/a/b.jpg, or a/b.jpg

Coordinates are places in the upright picture, half-open already. Of a turned box, a polygon, an ellipse and a mask the
box around it is read; points and skeletons have none.
"""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from functools import partial

from boxless.data.annotated_images import AnnotatedImage, Layout, dataset_of, ordered_splits, stated_size
from boxless.data.annotations import Box, numbers
from boxless.data.dataset import Dataset, WrittenBox
from boxless.data.file_names import is_image
from boxless.data.rows import AbsentImageError, Rows
from boxless.data.sources import Source, place_of
from boxless.data.voc import parsed_xml

SIDES = {
    "box": ("xtl", "ytl", "xbr", "ybr"),
    "ellipse": ("cx", "cy", "rx", "ry"),
    "mask": ("left", "top", "width", "height"),
}


def recognise(source: Source, names: Sequence[str]) -> Layout | None:
    """CVAT's layout, if an xml at the top is <annotations> with an <image> in it."""
    for name in names:
        if "/" in name or not name.endswith(".xml"):
            continue
        tree = parsed_xml(source, name)
        if tree.tag == "annotations" and (images := tree.findall("image")):
            parts = _subsets(images)
            splits = ordered_splits(parts) if all(parts) else ()
            return Layout("CVAT", splits, partial(_read, source, names, images, name))
    return None


def _read(
    source: Source, names: Sequence[str], images: list[ElementTree.Element], file: str, split: str | None
) -> Dataset:
    there = {name for name in names if is_image(name)}
    read, rows = list[AnnotatedImage](), Rows()
    for number, (image, part) in enumerate(zip(images, _subsets(images), strict=True), 1):
        where = f"{place_of(file, source)}, image {number}"
        with rows.row(part):
            read.append(one := AnnotatedImage(_place(image, there, where), split=part))
            with rows.row(part):
                one.size = stated_size(image.get("width"), image.get("height"), where)
            for shape in image:
                with rows.row(part):
                    box = _box(shape, where)
                    one.objects += [(shape.get("label", ""), WrittenBox(box, where))] if box else []
    return dataset_of(source, read, split, rows)


def _subsets(images: list[ElementTree.Element]) -> list[str]:
    """The split of each image; data that is all in what CVAT calls default has none."""
    parts = [image.get("subset", "") for image in images]
    return [""] * len(parts) if set(parts) == {"default"} else parts


def _place(image: ElementTree.Element, there: set[str], where: str) -> str:
    """The name of the image in the source; raises AbsentImageError where it is not there."""
    stated, part = image.get("name", ""), image.get("subset", "")
    for place in (f"images/{part}/{stated}", f"images/{stated}", stated):
        if place in there:
            return place
    raise AbsentImageError(where, stated)


def _box(shape: ElementTree.Element, where: str) -> Box | None:
    """The box around a shape; points, skeletons and tags have none."""
    if shape.tag in ("polygon", "polyline"):
        sides = numbers(shape.get("points", "").replace(";", ",").split(","), where)
        return min(sides[::2]), min(sides[1::2]), max(sides[::2]), max(sides[1::2])
    if shape.tag not in SIDES:
        return None
    a, b, c, d = numbers([shape.get(side) for side in SIDES[shape.tag]], where)
    box = {"box": (a, b, c, d), "ellipse": (a - c, b - d, a + c, b + d), "mask": (a, b, a + c, b + d)}[shape.tag]
    (angle,) = numbers([shape.get("rotation", 0)], where)
    return _turned(box, math.radians(angle), round=shape.tag == "ellipse") if angle else box


def _turned(box: Box, angle: float, *, round: bool) -> Box:
    """The box around one that is turned about its centre, or around the ellipse in it."""
    x0, y0, x1, y1 = box
    across, down = (x1 - x0) / 2, (y1 - y0) / 2
    sine, cosine = abs(math.sin(angle)), abs(math.cos(angle))
    parts = (across * cosine, down * sine), (across * sine, down * cosine)
    width, height = (math.hypot(*pair) if round else sum(pair) for pair in parts)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - width, y - height, x + width, y + height
