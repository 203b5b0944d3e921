"""What the layouts of other programs have in common: images with named objects, in splits, inside a folder or a zip."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from boxless.data.annotations import Size, annotated, numbers, text_of, whole
from boxless.data.dataset import Dataset, WrittenBox
from boxless.data.file_names import SPLITS
from boxless.data.rows import Rows
from boxless.data.sources import Source, place_of
from boxless.runtime.errors import BoxlessError


class Layout(NamedTuple):
    """How a data set is laid out: what it is called, its splits, and what reads one of them, or for None everything."""

    name: str
    splits: tuple[str, ...]
    read: Callable[[str | None], Dataset]


@dataclass(slots=True)
class AnnotatedImage:
    """One image of a source, the class and the box of each of its objects, and its own class where one is given."""

    name: str
    objects: list[tuple[str, WrittenBox]] = field(default_factory=list)
    size: Size | None = None
    label: str = ""
    split: str = ""

    @property
    def class_name(self) -> str:
        """The image's own class, else the one that all of its objects have; empty if there is none."""
        named = {name for name, _ in self.objects}
        return self.label or (named.pop() if len(named) == 1 else "")


def dataset_of(
    source: Source,
    images: Iterable[AnnotatedImage],
    split: str | None,
    rows: Rows,
    *,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """The images of one split, None for all, sorted by name; without `classes` those that occur, in order.

    An image whose objects are of several classes has all its boxes and no label. `rows` were set aside.
    """
    listed = sorted(images, key=lambda image: image.name)
    occurring = {name for image in listed for name in (image.label, *(name for name, _ in image.objects)) if name}
    names = list(classes) if classes is not None else in_order(occurring)
    label_of = {name: label for label, name in enumerate(names)}
    samples = [
        annotated(
            image.name,
            label_of.get(image.class_name),
            [box._replace(label=name) for name, box in image.objects],
            image.size,
        )
        for image in listed
        if split is None or image.split == split
    ]
    return rows.noted_in(Dataset(source, samples, names, split))


def coco_box(values: Sequence[object], where: str) -> WrittenBox:
    """COCO's x y width height, which is half-open."""
    x, y, width, height = numbers(values, where)
    return WrittenBox((x, y, x + width, y + height), where)


def stated_size(width: object, height: object, where: str) -> Size | None:
    """Width and height where both are stated and neither is 0."""
    across, down = whole([width or 0, height or 0], where)
    return (across, down) if across and down else None


def in_order(names: Iterable[str]) -> list[str]:
    """Class names in alphabetical order, or counted if all are numbers."""
    unique = set(names)
    return sorted(unique, key=int) if all(name.isdecimal() for name in unique) else sorted(unique)


def split_folder(name: str) -> str:
    """The first folder of a path if its name means a split, else nothing."""
    first, slash, _ = name.partition("/")
    return first if slash and first.lower() in SPLITS else ""


def ordered_splits(found: Iterable[str]) -> tuple[str, ...]:
    """Splits, each once, in the order train, val, test; the empty one is none."""
    places = {split: place for place, split in enumerate(SPLITS)}
    return tuple(sorted({split for split in found if split}, key=lambda split: (places.get(split.lower(), 9), split)))


def parsed_json(source: Source, name: str, text: str | None = None, where: str = "") -> dict[str, Any]:
    """The object in a json file, or in one line of it; raises BoxlessError that names the file and the line."""
    place = where or place_of(name, source)
    try:
        content = json.loads(text_of(source, name) if text is None else text)
    except json.JSONDecodeError as error:
        line = "" if where else f", line {error.lineno}"
        raise BoxlessError(f"{place}{line}: not JSON ({error.msg}).") from error
    except (RecursionError, ValueError) as error:
        raise BoxlessError(f"{place} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise BoxlessError(f"{place}: expected a JSON object, found {type(content).__name__}.")
    return content
