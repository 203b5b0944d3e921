"""Any folder, zip or list of images -> samples of one split, with whatever labels and boxes it comes with.

    [train|val|test/]<class>/picture.jpg      a folder or a zip, with or without splits and classes
    boxes.csv, boxes_<split>.csv              at its top: image,class,width,height,x0,y0,x1,y1, half-open pixels
    annotations.json; [split/]labels.json     see coco.py
    [split/]image_ids.txt ...                 see wsol_lists.py
    [split/]name-000000.tar ...               see webdataset.py
    what its authors distribute               see published_datasets.py
    what other programs write                 see layouts.py

The class of a picture is the first folder below the split; without such a folder it is what the csv file says.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath

from boxless.data import wsol_lists
from boxless.data.annotations import checked
from boxless.data.boxes_csv import read_rows
from boxless.data.coco import read_coco
from boxless.data.dataset import Dataset
from boxless.data.file_names import (
    SPLITS,
    UNREAD,
    boxes_files,
    class_folder,
    hidden,
    in_order,
    is_image,
    split_folders,
    strange_annotations,
)
from boxless.data.joining import below, named_below, only_used, together
from boxless.data.layouts import OUR_OWN, recognise
from boxless.data.one_range import in_one_range
from boxless.data.sources import Source, open_source, warn_once, way_down, written_here
from boxless.data.tar_source import TarSource
from boxless.data.webdataset import read_webdataset
from boxless.runtime.errors import BoxlessError, UsageError

EVERYTHING = "all"
"""In the place of a split: the images of all of them."""

LABELS_JSON = "labels.json"
LISTS = (LABELS_JSON, wsol_lists.IDS)


def read_data(path: Path, split: str | None = None, *, images: Path | None = None, strict: bool = False) -> Dataset:
    """The samples of one split of a data set, sorted by name; the classes are those of all its splits, in order.

    `split` is one of `splits(path)`, "all", or None for data without splits; `images` says where the images of a json
    or of lists are, if not beside them. Raises UsageError for a split that is missing or must be chosen, BoxlessError
    for data that cannot be read. `strict` is as for `checked`.
    """
    return checked(parse_data(path, split, images=images), strict=strict)


def parse_data(path: Path, split: str | None = None, *, images: Path | None = None) -> Dataset:
    """What `read_data` reads, with the boxes as they are written: for who wants to say which are none."""
    return in_one_range(_parse(path, split, images))


def _parse(path: Path, split: str | None, images: Path | None) -> Dataset:
    path = top_of(path)
    chosen = _choose(path, splits(path), split)
    layout = recognise(path)
    if layout:
        return replace(layout.read(chosen), split=split)
    if path.is_dir():
        if listed := _listed(path, chosen, images):
            return replace(listed, split=chosen)
        if chosen is None and (parts := _all_listed(path, images)):
            return together(parts, path)
    elif path.suffix.lower() == ".json":
        return read_coco(path, images)
    source = open_source(path)
    return read_webdataset(source, chosen) if isinstance(source, TarSource) else _parse_tree(source, chosen)


def _listed(path: Path, split: str | None, images: Path | None) -> Dataset | None:
    """What the lists in the folder of a split say, or in the data's own, if there are any.

    Images below the folder of a split are called as they are for all splits together.
    """
    folder = path / split if split else path
    if (folder / LABELS_JSON).is_file():
        listed = read_coco(folder / LABELS_JSON, images)
    elif (folder / wsol_lists.IDS).is_file():
        listed = wsol_lists.read_wsol_lists(folder, images)
    else:
        return None
    return named_below(path, listed) if split and below(listed, folder) else listed


def _all_listed(path: Path, images: Path | None) -> list[Dataset]:
    """Every split, if any has lists; one that has none, or whose lists cannot be read, as the folder that it is."""
    found, failed, source = dict[str, Dataset | None](), list[BoxlessError](), open_source(path)
    for split in splits(path):
        try:
            found[split] = _listed(path, split, images)
        except BoxlessError as error:
            failed.append(error)
            found[split] = None
    if failed and not any(found.values()):
        raise failed[0]
    for reason in failed:
        warn_once(f"The lists of a split are left out: {reason}")
    parts = [part or only_used(_parse_tree(source, split)) for split, part in found.items()]
    return parts if any(found.values()) else []


def splits(path: Path) -> list[str]:
    """The splits of a data set in the order train, val, test; none for data that is not divided."""
    if path.suffix.lower() == ".json" and path.is_file():
        return []
    path = top_of(path)
    layout = recognise(path)
    if layout:
        return list(layout.splits)
    names = open_source(path).names()
    tops = {name.partition("/")[0] for name in names if is_image(name) or PurePosixPath(name).name in LISTS}
    found = in_order(top for top in tops if top.lower() in SPLITS)
    if not found or any(f"{top}/{name}" in names for top in found for name in LISTS) or split_folders(names):
        return found
    warn_once(f"{found[0]} in {path} is taken for a class, as it stands beside folders that are no splits.")
    return []


def top_of(path: Path) -> Path:
    """The folder in which the splits or classes of `path` are: below folders that hold nothing but another one."""
    if not path.is_dir():
        return path

    def listed(below: str) -> list[str]:
        try:
            entries = [entry for entry in islice(os.scandir(path / below), FEW) if not hidden(entry.name)]
        except OSError:  # whoever reads it says so
            return []
        folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        ours = [name for name in folders if written_here(path / below / name)] if len(folders) < FEW else []
        return [f"{one.name}{'/' * (one.name in folders)}" for one in entries if one.name not in ours]

    deeper = way_down(listed)
    if not deeper or (not any((path / deeper / name).is_file() for name in OUR_OWN) and recognise(path)):
        return path
    warn_once(f"Reading {path / deeper}: there is no other folder in {path}.")
    return path / deeper


FEW = 100
"""Entries of a folder that are looked at to tell whether it is the way to another one."""


def select(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """The samples of some classes, numbered in the given order; raises UsageError for an unknown class."""
    unknown = [name for name in classes if name not in dataset.classes]
    if unknown:
        there = f"{len(dataset.classes)} classes: {_some(dataset.classes)}" if dataset.classes else "no classes"
        raise UsageError(f"{dataset.source.root} has no class {unknown[0]!r}; it has {there}.")
    position = {dataset.classes.index(name): label for label, name in enumerate(classes)}
    samples = [
        replace(sample, label=position[sample.label])
        for sample in dataset.samples
        if sample.label is not None and sample.label in position
    ]
    return replace(dataset, samples=samples, classes=list(classes))


def _choose(path: Path, found: list[str], split: str | None) -> str | None:
    """The split to read, as it is spelt in the data; None for all of the data."""
    if split is None and found:
        raise UsageError(f"{path} has the splits {', '.join(found)}. Say which one to read, or {EVERYTHING} for all.")
    if split is None or split == EVERYTHING:
        return None
    for name in found:
        if name.lower() == split.lower():
            return name
    has = f"the splits {', '.join(found)}" if found else "no splits"
    raise UsageError(f"{path} has no split {split!r}; it has {has}.")


def _parse_tree(source: Source, split: str | None) -> Dataset:
    names = source.names()
    pictures = [name for name in names if is_image(name)]
    if others := [name for name in names if PurePosixPath(name).suffix.lower() in UNREAD]:
        warn_once(f"{len(others)} files of {source.root} are not read, such as {others[0]}. Save them as jpg or png.")
    if not pictures:
        raise BoxlessError(f"There are no images in {source.root}. {_what_else(names)}")
    known, rows = read_rows(source, boxes_files(names), set(pictures))
    divided = split_folders(pictures)
    class_of = {name: class_folder(name, divided) or known[name].label[0] for name in pictures}
    classes = sorted({name for name in class_of.values() if name})
    if "JPEGImages" in classes:
        warn_once(f"JPEGImages in {source.root} is taken for a class, as there is no xml of Pascal VOC's.")
    label_of = {name: label for label, name in enumerate(classes)}
    samples = [
        known[name].sample(name, label_of.get(class_of[name]))
        for name in pictures
        if split is None or name.startswith(f"{split}/")
    ]
    return rows.noted_in(Dataset(source, samples, classes, split, unread=tuple(strange_annotations(names))))


def _what_else(names: Sequence[str]) -> str:
    others = sorted({PurePosixPath(name).suffix or PurePosixPath(name).name for name in names})
    found = f"It has {len(names)} files, of the kinds {_some(others)}." if names else "It is empty."
    return f"{found} Expected files such as .jpg, .png, .webp, .bmp, .gif or .tif."


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:6]) + (" ..." if len(words) > 6 else "")
