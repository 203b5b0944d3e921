"""Heat maps that another program saved: a folder of .npy or 8/16-bit .png, or one .npz, named like the images.

A map belongs to the image with its path or, where that is unambiguous, its file name; with or without the image's own
extension: `cat/one.jpg` finds `cat/one.npy`, `cat/one.jpg.png` and `one.npy`. Maps are read when they are asked for.
"""

import lzma
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np

from boxless.boxes.from_heatmap import Heatmap
from boxless.data.file_names import LARGEST_FILE
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
        self._names = _match(path, stored, images)
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


def keys_of(name: str) -> tuple[str, str]:
    """What a name can be found by: its path and its file name, both without the extension of an image."""
    path = PurePosixPath(name)
    bare = path.with_suffix("") if _is_extension(path.suffix) else path
    return str(bare), bare.name


_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    ValueError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    cv2.error,
)
"""What NumPy, OpenCV and the modules below them raise over a damaged file: the last two where it claims to be huge."""


def _check_length(length: int) -> None:
    if length > LARGEST_FILE:
        raise ValueError(f"{length / 2**30:.1f} GiB; a map has at most {LARGEST_FILE / 2**30:g}")


def _is_extension(suffix: str) -> bool:
    """Letters only: `.jpg`, but not the `.5` of a name such as `frame_0.5`."""
    return suffix[1:].isalpha() and len(suffix) <= 5


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


def _match(path: Path, stored: Sequence[str], images: Sequence[str]) -> list[str]:
    """The stored name of every image's map."""
    full: dict[str, list[str]] = defaultdict(list)
    short: dict[str, list[str]] = defaultdict(list)
    for name in stored:
        key, file_name = keys_of(name.removesuffix(".npy").removesuffix(".png"))
        full[key].append(name)
        short[file_name].append(name)
    shared = defaultdict(list)
    for image in images:
        shared[keys_of(image)[1]].append(image)
    found = []
    for image in images:
        key, file_name = keys_of(image)
        candidates = full[key] or (short[file_name] if len(shared[file_name]) == 1 else [])
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
