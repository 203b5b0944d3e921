"""What the name of a file says: whether it is an image, and of which class."""

from pathlib import PurePosixPath

from boxless.runtime.errors import BrokenImageError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"}
)
"""What makes a file an image; every other file is ignored."""


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def class_folder(name: str) -> str:
    """The first folder below the split, empty where there is none."""
    folders = name.split("/")[:-1]
    if folders and folders[0].lower() in SPLITS:
        folders = folders[1:]
    return folders[0] if folders else ""


SPLITS = ("train", "val", "valid", "validation", "test")
"""Folder names that mean a split and never a class."""

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
