"""YOLO's layout (https://docs.ultralytics.com/datasets/detect) -> half-open boxes in pixels of the upright picture.

    data.yaml                   names, and for train, val and test a folder, a list of images, or several of them; or
                                only names (supervision): no splits
    images/train/a/b.jpg        its label is labels/train/a/b.txt: the last /images/ becomes /labels/
    classes.txt                 in the place of data.yaml (Label Studio): a class a line; no splits
    obj.data                    in the place of data.yaml (Darknet, CVAT): `names`, `train` and `valid` name lists

A line of a label is `class cx cy w h` in fractions of width and height, a polygon `class x y x y x y ...`, whose box is
read, or with `kpt_shape` in data.yaml a box and key points. Fractions have six digits: a side that is nearer to a whole
pixel than they can tell is that pixel.
"""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import yaml

from boxless.data.annotated_images import AnnotatedImage, Layout, dataset_of
from boxless.data.annotations import Box, Size, class_number, numbers, text_of
from boxless.data.dataset import Dataset, WrittenBox
from boxless.data.file_names import is_image
from boxless.data.images import read_size
from boxless.data.rows import AbsentImageError, Rows
from boxless.data.sources import Source, place_of
from boxless.runtime.errors import BoxlessError, BrokenImageError, brief

SPLIT_KEYS = ("train", "val", "test")
DARKNET = "obj.data"
CLASSES = "classes.txt"
ROUNDED = 1.1e-6
"""What a side of two rounded fractions is off at most, in widths of the picture: one millionth."""


def label_file(image: str) -> str:
    """The path of an image -> that of its label, as ultralytics derives it (`img2label_paths`)."""
    folders, images, rest = f"/{image}".rpartition("/images/")
    path = f"{folders}/labels/{rest}" if images else rest
    return str(PurePosixPath(path.lstrip("/")).with_suffix(".txt"))


LabelRow = tuple[str, Box, str]
"""The class of a line of a label, its box in fractions, and the place for error messages."""


class _Listed(NamedTuple):
    """What a data set in this layout says before its labels are read."""

    there: set[str]
    parts: dict[str, list[str]]
    classes: list[str]
    points: bool
    rows: Rows


def recognise(source: Source, names: Sequence[str]) -> Layout | None:
    """YOLO's layout, if a yaml file at the top has `names`, and a split or labels/; or classes.txt beside labels/."""
    found = _config(source, names)
    there, rows = set(names), Rows()
    undivided = {"": [name for name in names if name.startswith("images/") and is_image(name)]}
    if found is None:
        if CLASSES not in there or not any(name.startswith("labels/") for name in names):
            return None
        classes = [line.strip() for line in text_of(source, CLASSES).splitlines() if line.strip()]
        return Layout("YOLO", (), partial(_read, source, _Listed(there, undivided, classes, False, rows)))
    file, config = found
    parts = {key: list(_images_of(source, file, config, key, names, rows)) for key in SPLIT_KEYS if config.get(key)}
    parts = {key: images for key, images in parts.items() if images} if parts else undivided
    if not parts:
        raise (
            rows.wrong[0][1]
            if rows.wrong
            else BoxlessError(f"{place_of(file, source)} names no folder that has images. Put the images there.")
        )
    if len(parts) > 1 and len({frozenset(images) for images in parts.values()}) == 1:  # as in boxless's own exports
        parts = {"": next(iter(parts.values()))}
    listed = _Listed(there, parts, _classes(config, file, source), "kpt_shape" in config, rows)
    return Layout("YOLO", tuple(part for part in parts if part), partial(_read, source, listed))


def parse_export(source: Source, names: Sequence[str], photos: Source | None) -> Dataset:
    """What an export of boxless's says of the images under the names that they had where they were found.

    They lie under images/ as links; where there are none, `photos` has them. Raises BoxlessError when neither does.
    """
    there, found = set(names), _config(source, names)
    if found is None:
        raise BoxlessError(f"{source.root} has no data.yaml with the names of the classes. Export the boxes again.")
    file, config = found
    linked = {_original(source, name): name for name in names if name.startswith("images/") and is_image(name)}
    pictures = linked or {name: f"images/{name}" for name in (photos.names() if photos else []) if is_image(name)}
    if not pictures:
        raise BoxlessError(f"{source.root} has no images/, and YOLO's fractions say nothing without. Put them there.")
    classes, images, rows = _classes(config, file, source), [], Rows()
    labels = {name for name in names if name.startswith("labels/")}
    for name, place in pictures.items():
        own = label_file(f"{place}{PurePosixPath(place).suffix}")  # where a.jpg came before, a.png has a.png.txt
        label = own if own in there else label_file(place)
        if label in there:
            holder, path = (source, place) if linked or photos is None else (photos, name)
            read = _rows(source, label, classes, False, rows, "")
            images.append(replace(_image(holder, path, "", read), name=name))
            labels -= {label}
    _without_images(source, labels, {}, rows)
    return dataset_of(source, images, None, rows, classes=classes)


def _original(source: Source, name: str) -> str:
    """The name that a linked image has elsewhere: it is called a.png.png here where it would share its label."""
    path = source.root / name
    link = PurePosixPath(name.removeprefix("images/"))
    return str(link.with_name(path.readlink().name) if path.is_symlink() else link)


def _config(source: Source, names: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    labelled = any(name.startswith("labels/") for name in names)
    for name in names:
        if "/" in name or not name.endswith((".yaml", ".yml")):
            continue
        try:
            content = yaml.load(text_of(source, name), yaml.BaseLoader)  # every scalar stays text: a class may be `no`
        except yaml.YAMLError as error:
            raise BoxlessError(f"{place_of(name, source)} is not YAML: {' '.join(str(error).split())}.") from error
        named = isinstance(content, dict) and content.get("names")
        if named and (labelled or any(content.get(key) for key in SPLIT_KEYS)):
            return name, content
    return _darknet(source, names) if DARKNET in names else None


def _darknet(source: Source, names: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    pairs = (line.partition("=") for line in text_of(source, DARKNET).splitlines())
    config: dict[str, Any] = {key.strip(): value.strip() for key, _, value in pairs}
    listed = _inside(config.get("names", ""), set(names))
    if listed is None:
        return None
    classes = [line.strip() for line in text_of(source, listed).splitlines() if line.strip()]
    return DARKNET, {"names": classes, "train": config.get("train"), "val": config.get("valid")}


def _classes(config: dict[str, Any], file: str, source: Source) -> list[str]:
    names = config["names"]
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    where = f"{place_of(file, source)}, names"
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise BoxlessError(f"{where}: expected a list, or a number for each name, found {brief(names)}.")
    numbered = {class_number(number, where): name for number, name in names.items()}
    return [numbered.get(number, str(number)) for number in range(max(numbered) + 1)]


def _images_of(
    source: Source, file: str, config: dict[str, Any], key: str, names: Sequence[str], rows: Rows
) -> Iterator[str]:
    """The images of one split: those below its folders, or on its lists."""
    entries = config[key] if isinstance(config[key], list) else [config[key]]
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    for entry in entries:
        if not isinstance(entry, str):
            raise BoxlessError(f"{place_of(file, source)}, {key}: expected a path, found {brief(entry)}.")
        joined = posixpath.join(str(config.get("path") or ""), entry.replace("\\", "/"))
        if entry.endswith(".txt"):
            listed = _inside(joined, set(names)) or _inside(entry, set(names))
            if listed is None:
                continue
            yield from _on_list(source, listed, {name for name in names if is_image(name)}, rows, key)
        elif (folder := _inside(joined, folders) or _inside(entry, folders)) is not None:
            below = "" if folder == "." else f"{folder}/"
            yield from (name for name in names if name.startswith(below) and is_image(name))


def _on_list(source: Source, listed: str, known: set[str], rows: Rows, key: str) -> list[str]:
    images = []
    for number, line in enumerate(text_of(source, listed).splitlines(), 1):
        with rows.row(key):
            image = _inside(posixpath.join(posixpath.dirname(listed), line.strip()), known)
            if line.strip() and image is None:
                raise AbsentImageError(f"{place_of(listed, source)}, line {number}", line.strip())
            images += [image] if image else []
    return images


def _inside(path: str, known: set[str]) -> str | None:
    """The longest end of a path that is known: it may be absolute on another machine, or begin with a wrong `../`."""
    parts = [part for part in posixpath.normpath(path).split("/") if part not in ("", "..")]
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if end in known), None)


def _read(source: Source, listed: _Listed, split: str | None) -> Dataset:
    chosen = {name: part for part, images in listed.parts.items() for name in images if split in (None, part)}
    images, rows = [], Rows()
    for name, part in chosen.items():
        label = label_file(name)
        if label in listed.there:
            read = _rows(source, label, listed.classes, listed.points, rows, part)
            images.append(_image(source, name, part, read))
        else:
            images.append(AnnotatedImage(name, split=part))
    labels = {name for name in listed.there if "labels" in PurePosixPath(name).parts and name.endswith(".txt")}
    used = {label_file(name) for name in listed.there if is_image(name)}
    parts = {posixpath.dirname(label_file(name)): part for part, names in listed.parts.items() for name in names}
    _without_images(source, {name for name in labels - used if PurePosixPath(name).name != CLASSES}, parts, rows)
    return listed.rows.noted_in(dataset_of(source, images, split, rows, classes=listed.classes))


def _without_images(source: Source, labels: set[str], parts: dict[str, str], rows: Rows) -> None:
    """Note labels whose images are not there, in the split whose labels lie in the same folder."""
    for label in sorted(labels):
        with rows.row(parts.get(posixpath.dirname(label), "")):
            raise AbsentImageError(place_of(label, source), label.rpartition("labels/")[2].removesuffix(".txt"))


def _image(source: Source, name: str, split: str, rows: list[LabelRow]) -> AnnotatedImage:
    try:
        size = read_size(source.read(name), name)
    except BrokenImageError:  # whoever needs the picture says so
        named = {label for label, *_ in rows}
        return AnnotatedImage(name, label=named.pop() if len(named) == 1 else "", split=split)
    return AnnotatedImage(name, [(label, _pixels(box, size, where)) for label, box, where in rows], size, split=split)


def _rows(source: Source, file: str, classes: list[str], points: bool, rows: Rows, split: str) -> list[LabelRow]:
    """The lines of a label that can be."""
    read = list[LabelRow]()
    with rows.row(split):
        for number, line in enumerate(text_of(source, file).splitlines(), 1):
            if line.strip():
                with rows.row(split):
                    read.append(_row(line, classes, points, f"{place_of(file, source)}, line {number}"))
    return read


def _row(line: str, classes: list[str], points: bool, where: str) -> LabelRow:
    words = line.split()
    label, values = class_number(words[0], where), numbers(words[1:], where)
    if label >= len(classes):
        raise BoxlessError(f"{where}: the class {label}, and there are {len(classes)} names, counted from 0.")
    if not all(-0.5 <= value <= 1.5 for value in values[:4]):
        raise BoxlessError(f"{where}: expected fractions of width and height, found {brief(line.strip())}.")
    if len(values) in (4, 5) or (points and len(values) > 5):  # the fifth is a score
        x, y, width, height = values[:4]
        box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    elif len(values) >= 6 and len(values) % 2 == 0:
        box = min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    else:
        raise BoxlessError(f"{where}: expected `class cx cy w h` or a polygon, found {brief(line.strip())}.")
    return classes[label], box, where


def _pixels(box: Box, size: Size, where: str) -> WrittenBox:
    sides = []
    for value, length in zip(box, (*size, *size), strict=True):
        side = value * length
        sides.append(float(round(side)) if abs(side - round(side)) <= ROUNDED * length else side)
    x0, y0, x1, y1 = sides
    return WrittenBox((x0, y0, x1, y1), where)
