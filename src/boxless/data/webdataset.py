"""Tar shards in webdataset's layout -> samples: key.jpg with key.cls, or with key.json, or in class folders.

    key.cls         a number, counted from 0, or the name of a class
    key.json        {"class": number or name, "boxes": [[x0, y0, x1, y1], ...], "width": w, "height": h}, all optional
    classes.txt     beside the shards, optional: the name of every class, one a line, for those that are numbers

Boxes are half-open pixels of the upright picture. The size is read where boxes are, which it must fit.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from boxless.data.annotated_images import split_folder, stated_size
from boxless.data.annotations import Size, annotated, class_number, numbers
from boxless.data.dataset import Dataset, WrittenBox
from boxless.data.file_names import class_folder, is_image, split_folders
from boxless.data.rows import Rows
from boxless.data.sources import warn_once
from boxless.data.tar_source import TarSource, key_of
from boxless.runtime.errors import BoxlessError, brief

CLASSES = "classes.txt"


@dataclass(slots=True)
class _Said:
    label: int | str | None = None
    boxes: list[WrittenBox] = field(default_factory=list)
    size: Size | None = None


def read_webdataset(source: TarSource, split: str | None) -> Dataset:
    """The images of one split, sorted by name, with the classes of all splits.

    Raises BoxlessError for shards without images, for annotations that cannot be read, and for a class that is a
    number in one place and a name in another.
    """
    images = [name for name in source.names() if is_image(name)]
    pictures = [name for name in images if key_of(name) == name.rpartition(".")[0]]
    if others := sorted({*images} - {*pictures}):
        warn_once(
            f"{len(others)} of {len(images)} images in the shards of {source.root} are left out, such as {others[0]}: "
            "a name ends at its first dot there, so that this is an image beside another one."
        )
    if not pictures:
        raise BoxlessError(f"There are no images in the shards of {source.root}. Expected files such as KEY.jpg.")
    rows = Rows()
    divided = split_folders(pictures)
    entries = {name: _read(source, key_of(name), rows, split_folder(name) if divided else "") for name in pictures}
    label_of = {
        name: class_folder(name, divided) if (known := entries[name].label) is None else known for name in pictures
    }
    classes = _classes(source, {label for label in label_of.values() if label != ""})
    index = {name: number for number, name in enumerate(classes)}
    samples = []
    for name in pictures:
        if split is None or name.startswith(f"{split}/"):
            label = label_of[name]
            number = label if isinstance(label, int) else index.get(label)
            samples.append(annotated(name, number, entries[name].boxes, entries[name].size))
    return rows.noted_in(Dataset(source, samples, classes, split))


def _classes(source: TarSource, labels: set[int | str]) -> list[str]:
    """The name of every class: in alphabetical order, or for numbers as classes.txt has them, or as themselves."""
    named = sorted(label for label in labels if isinstance(label, str))
    counted = sorted(label for label in labels if isinstance(label, int))
    if named and counted:
        raise BoxlessError(
            f"In the shards of {source.root} a class is the number {counted[0]} in one place and {named[0]!r} in "
            "another. Expected numbers everywhere, or names everywhere."
        )
    if named or not counted:
        return named
    places = [source.root / CLASSES, source.root.parent / CLASSES]
    file = next((place for place in places[: 2 if source.root.is_file() else 1] if place.is_file()), None)
    if file is None:
        return [str(number) for number in range(counted[-1] + 1)]
    names = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if counted[-1] >= len(names):
        raise BoxlessError(f"{file} has {len(names)} names, and an image is of class {counted[-1]}, counted from 0.")
    return names


def _read(source: TarSource, key: str, rows: Rows, split: str) -> _Said:
    where, said = f"{key} in the shards of {source.root}", _Said()
    with rows.row(split):
        content = _parsed(source.texts[".json"][key], where) if key in source.texts[".json"] else {}
        said.label = _label(source, key, content, where)
        boxes = content.get("boxes") or []
        if not isinstance(boxes, list):
            raise BoxlessError(f"{where}: boxes is {brief(boxes)}. Expected a list of [x0, y0, x1, y1].")
        if boxes:
            said.size = stated_size(content.get("width"), content.get("height"), where)
        for box in boxes:
            with rows.row(split):
                said.boxes.append(_box(box, where))
    return said


def _label(source: TarSource, key: str, content: dict[str, Any], where: str) -> int | str | None:
    label = content.get("class")
    if key in source.texts[".cls"]:
        word = source.texts[".cls"][key].decode(errors="replace").strip()
        label = class_number(word, where) if word.isascii() and word.isdecimal() else word
    if isinstance(label, bool) or not isinstance(label, int | str | None) or label == "":
        raise BoxlessError(f"{where}: the class is {brief(label)}. Expected a number, counted from 0, or a name.")
    return class_number(label, where) if isinstance(label, int) else label


def _box(box: Any, where: str) -> WrittenBox:
    if not isinstance(box, list) or len(box) != 4:
        raise BoxlessError(f"{where}: a box is {brief(box)}. Expected [x0, y0, x1, y1].")
    x0, y0, x1, y1 = numbers(box, where)
    return WrittenBox((x0, y0, x1, y1), where)


def _parsed(text: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BoxlessError(f"{where}: the .json is not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise BoxlessError(f"{where}: the .json is {brief(content)}. Expected an object.")
    return content
