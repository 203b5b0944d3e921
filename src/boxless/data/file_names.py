"""What the name of a file says: whether it is an image, and of which class, or looks like annotations."""

import posixpath
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath

from boxless.runtime.errors import BrokenImageError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"}
)
"""What makes a file an image; every other file is ignored."""

UNREAD = frozenset({".heic", ".heif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".psd"})
"""Photographs that are not read, and are named."""


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    return posixpath.splitext(name)[1].lower() in SUFFIXES  # not pathlib: it is asked of every file several times


ANNOTATION_SUFFIXES = frozenset(
    {".xml", ".json", ".jsonl", ".csv", ".yaml", ".yml", ".parquet", ".tfrecord", ".record", ".mat"}
)
"""Extensions that annotations have."""

ANNOTATIONS = frozenset(
    {"labels.json", "image_ids.txt", "class_labels.txt", "image_sizes.txt", "localization.txt", "classes.txt"}
)
"""Names of annotations in the layouts that are read."""


def boxes_files(names: Iterable[str]) -> list[str]:
    """The csv files at the top. All are read whatever the split, as classes may stand in them alone."""
    known = {"boxes.csv", *(f"boxes_{split}.csv" for split in SPLITS)}
    return [name for name in names if name.lower() in known]


def annotations_read(names: Sequence[str]) -> list[str]:
    """The annotations in the layouts that folders have of our own."""
    return [*boxes_files(names), *(name for name in names if PurePosixPath(name).name in ANNOTATIONS)]


def strange_annotations(names: Sequence[str]) -> list[str]:
    """The other files that look like annotations: by their extension, or text where YOLO and VOC have some."""
    stems = {name.rpartition(".")[0] for name in names if is_image(name)}

    def annotates(path: PurePosixPath) -> bool:
        if path.suffix.lower() == ".txt":
            return str(path.with_suffix("")) in stems or not {"labels", "ImageSets"}.isdisjoint(path.parts)
        return path.suffix.lower() in ANNOTATION_SUFFIXES

    known = {*annotations_read(names)}
    return [name for name in names if name not in known and annotates(PurePosixPath(name))]


def hint_at_json(names: Iterable[str], path: str) -> str:
    """Where a file that is not understood may be a COCO json under a name of its own: what to do; else nothing."""
    json = next((name for name in names if name.lower().endswith(".json") and "/" not in name), "")
    if not json or not Path(path).is_dir():
        return ""
    return f" If {json} is a COCO json, give it in the place of the folder: {Path(path) / json}."


def split_folders(names: Iterable[str]) -> list[str]:
    """The folders of images at the top that are splits, in the order train, val, test.

    None is one beside a folder of another name: PASCAL and COCO have a class called train.
    """
    tops = {name.partition("/")[0] for name in names if "/" in name and is_image(name)}
    return in_order(tops) if all(top.lower() in SPLITS for top in tops) else []


def in_order(splits: Iterable[str]) -> list[str]:
    """Splits in the order train, val, test."""
    return sorted(splits, key=lambda split: SPLITS.index(split.lower()))


def class_folder(name: str, splits: Collection[str]) -> str:
    """The first folder below the split, empty where there is none; `splits` are the folders that are splits."""
    folders = name.split("/")[:-1]
    return next(iter(folders[1:] if folders and folders[0] in splits else folders), "")


SPLITS = ("train", "val", "valid", "validation", "test")
"""Folder names that mean a split and never a class."""

WRITTEN = "Boxes found by boxless"
"""How the README.txt of a folder begins that an export wrote; the format follows in parentheses."""

NO_CHARACTER = "\ufffd"
"""What stands in an XML file for what XML cannot hold, such as a byte of a name that is not UTF-8."""

LARGEST_FILE = 2**29
"""Bytes of one file; a larger one is refused before it is read: it is no photograph, and may be an unpacking bomb."""


def check_length(name: str, length: int) -> None:
    """Raise BrokenImageError for a file that is too large to be read."""
    if length > LARGEST_FILE:
        raise BrokenImageError(
            f"{name} has {length / 2**30:.1f} GiB, more than boxless reads of one file ({LARGEST_FILE / 2**30:g} GiB)."
        )


def hidden(part: str) -> bool:
    """Whether a file or folder of this name does not exist for a source."""
    return part.startswith(".") or part == "__MACOSX"
