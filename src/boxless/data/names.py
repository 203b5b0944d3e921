"""What the name of a file says: whether it is an image, and of which class."""

from pathlib import PurePosixPath

from boxless.data.source import SPLITS

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
