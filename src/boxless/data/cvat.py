"""CVAT's own xml (https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/, for images) -> half-open boxes.

    annotations.xml             <image name="a/b.jpg" width height subset> with <box xtl ytl xbr ybr rotation>, ...
    images/a/b.jpg              or images/SUBSET/a/b.jpg, or a/b.jpg

Coordinates are places in the upright picture, half-open already. Of a turned box, a polygon, an ellipse and a mask the
box around it is read; points and skeletons have none.
"""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from functools import partial

from boxless.data.annotated_images import AnnotatedImage, Layout, dataset_of, ordered_splits, stated_size
from boxless.data.annotations import Box, numbers
from boxless.data.dataset import Dataset, WrittenBox
from boxless.data.file_names import is_image
from boxless.data.sources import Source
from boxless.data.voc import parsed_xml
from boxless.runtime.errors import BoxlessError, brief

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
            parts = [image.get("subset", "") for image in images]
            splits = ordered_splits(parts) if all(parts) else ()
            return Layout("CVAT", splits, partial(_read, source, names, images, name))
    return None


def _read(
    source: Source, names: Sequence[str], images: list[ElementTree.Element], file: str, split: str | None
) -> Dataset:
    there = {name for name in names if is_image(name)}
    read = []
    for number, image in enumerate(images, 1):
        where = f"{file} in {source.root}, image {number}"
        stated, part = image.get("name", ""), image.get("subset", "")
        places = (f"images/{part}/{stated}", f"images/{stated}", stated)
        name = next((place for place in places if place in there), None)
        if name is None:
            raise BoxlessError(f"{where} names the image {brief(stated, 200)}, which is not in the data.")
        size = stated_size(image.get("width"), image.get("height"), where)
        objects = [(label, WrittenBox(box, where)) for label, box in _objects(image, where)]
        read.append(AnnotatedImage(name, objects, size, split=part))
    return dataset_of(source, read, split)


def _objects(image: ElementTree.Element, where: str) -> Iterator[tuple[str, Box]]:
    for shape in image:
        label = shape.get("label", "")
        if shape.tag in ("polygon", "polyline"):
            sides = numbers(shape.get("points", "").replace(";", ",").split(","), where)
            yield label, (min(sides[::2]), min(sides[1::2]), max(sides[::2]), max(sides[1::2]))
        elif shape.tag in SIDES:
            a, b, c, d = numbers([shape.get(side) for side in SIDES[shape.tag]], where)
            box = {"box": (a, b, c, d), "ellipse": (a - c, b - d, a + c, b + d), "mask": (a, b, a + c, b + d)}[
                shape.tag
            ]
            (angle,) = numbers([shape.get("rotation", 0)], where)
            yield label, _turned(box, math.radians(angle)) if angle else box


def _turned(box: Box, angle: float) -> Box:
    """The box around one that is turned about its centre."""
    x0, y0, x1, y1 = box
    across, down = (x1 - x0) / 2, (y1 - y0) / 2
    sine, cosine = abs(math.sin(angle)), abs(math.cos(angle))
    width, height = across * cosine + down * sine, across * sine + down * cosine
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - width, y - height, x + width, y + height
