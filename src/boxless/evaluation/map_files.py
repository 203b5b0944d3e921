"""Heat maps that another program saved: a folder of .npy or 8/16-bit .png, or one .npz, named like the images.

A map belongs to the image with its path or, where that is unambiguous, its file name; with or without the image's own
extension: `cat/one.jpg` finds `cat/one.npy`, `cat/one.jpg.png` and `one.npy`, but not `cat/one.left.npy`. Maps are read
when they are asked for.
"""

import lzma
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np

from boxless.boxes.from_heatmap import Heatmap
from boxless.data.file_names import LARGEST_FILE, is_image
from boxless.runtime.errors import BoxlessError

SUFFIXES = (".npy", ".png")
MEMORY = 2**30
"""Bytes of maps that are kept after the first reading; more are read again."""


class MapFiles(Sequence[Heatmap]):
    """The maps of some images in their order, read on demand and from any thread.

    Raises BoxlessError, at once, for images without a map and names that fit two, and on reading for what is no map.
    """

    def __init__(self, path: Path, images: Sequence[str]) -> None:
        self.path = path
        self._archive = _archive(path) if path.is_file() else None
        stored = list(self._archive.files) if self._archive is not None else _files(path)
        if not stored:
            raise BoxlessError(f"There are no maps in {path}. Expected .npy or .png files named like the images.")
        self._names = _match(path, stored, images, archived=self._archive is not None)
        self.surplus = len(stored) - len(set(self._names))
        self._kept: dict[int, Heatmap] = {}
        self._room = MEMORY

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Heatmap:  # type: ignore[override]
        if index in self._kept:
            return self._kept[index]
        heat = _checked(self._read(self._names[index]), f"{self.path}: {self._names[index]}")
        if heat.nbytes <= self._room:
            self._room -= heat.nbytes
            self._kept[index] = heat
        return heat

    def _read(self, name: str) -> Any:
        try:
            if self._archive is not None:
                _check_length(self._archive.zip.getinfo(f"{name}.npy").file_size)
                return self._archive[name]
            file = self.path / name
            _check_length(file.stat().st_size)
            if file.suffix.lower() == ".npy":
                return np.load(file, allow_pickle=False)
            content = np.frombuffer(file.read_bytes(), np.uint8)
            return cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
        except _DAMAGED as error:
            raise BoxlessError(f"{self.path}: {name} cannot be read as a map ({error}).") from error


def bare(name: str) -> str:
    """A name without the extension of an image, if it has one; what else follows a dot is part of the name."""
    return name[: -len(PurePosixPath(name).suffix)] if is_image(name) else name


def numbered(images: Sequence[str]) -> dict[str, int]:
    """What images can be called -> their indices: their names, and those without extension that one alone has."""
    exact = {image: index for index, image in enumerate(images)}
    count = Counter(map(bare, images))
    return {bare(image): index for image, index in exact.items() if count[bare(image)] == 1} | exact


_DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, KeyError, NotImplementedError,
    RuntimeError, MemoryError, cv2.error,
)  # fmt: skip
"""What NumPy, OpenCV and the modules below them raise over a damaged file: the last two where it claims to be huge."""


def _check_length(length: int) -> None:
    if length > LARGEST_FILE:
        raise ValueError(f"{length / 2**30:.1f} GiB; a map has at most {LARGEST_FILE / 2**30:g}")


def _archive(path: Path) -> Any:
    try:
        archive = np.load(path, allow_pickle=False)
    except _DAMAGED as error:
        raise BoxlessError(f"{path} cannot be read ({error}). Expected a folder of maps or a .npz.") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise BoxlessError(f"{path} is one array. Expected a folder of maps, or a .npz with a map for each image.")
    return archive


def _files(path: Path) -> list[str]:
    if not path.is_dir():
        raise BoxlessError(f"There is no folder or .npz {path}. Expected maps named like the images.")
    return sorted(
        file.relative_to(path).as_posix()
        for file in path.rglob("*")
        if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
    )


def _match(path: Path, stored: Sequence[str], images: Sequence[str], *, archived: bool) -> list[str]:
    """The stored name of every image's map; names inside an archive have no extension of a map."""
    by_path, by_file = defaultdict(list), defaultdict(list)
    for name in stored:
        called = name if archived else str(PurePosixPath(name).with_suffix(""))
        by_path[called].append(name)
        by_file[PurePosixPath(called).name].append(name)
    paths = Counter(map(bare, images))
    files = Counter(PurePosixPath(bare(image)).name for image in images)
    found = []
    for image in images:
        stem = bare(image)
        candidates = by_path[image] + (by_path[stem] if stem != image and paths[stem] == 1 else [])
        file, short = PurePosixPath(image).name, PurePosixPath(stem).name
        if not candidates and files[short] == 1:
            candidates = by_file[file] + (by_file[short] if short != file else [])
        if len(candidates) > 1:
            raise BoxlessError(f"{path} has {len(candidates)} maps for {image}: {', '.join(candidates[:3])}. Keep one.")
        found += candidates or [""]
    lacking = [image for image, name in zip(images, found, strict=True) if not name]
    if lacking:
        raise BoxlessError(
            f"{path} has no map for {len(lacking)} of {len(images)} images, the first is {lacking[0]}. "
            "Expected files named like the images."
        )
    return found


def _checked(array: Any, where: str) -> Heatmap:
    if array is None:
        raise BoxlessError(f"{where} is not a whole png. Save it again.")
    if array.ndim != 2 or not array.size:
        raise BoxlessError(f"{where} has the shape {array.shape}. Expected a map (height, width).")
    if array.dtype.kind not in "fiub":
        raise BoxlessError(f"{where} holds {array.dtype}. Expected real numbers.")
    if not np.isfinite(array).all():
        raise BoxlessError(f"{where} has values that are not finite (nan or inf). Leave its image out or make it anew.")
    return np.asarray(array, np.float64 if array.dtype == np.float64 else np.float32)
