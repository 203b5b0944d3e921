"""A set of tar shards (the layout of webdataset) as a source: name-000000.tar, name-000001.tar, ...

The headers of every shard are read once, in the order in which they lie; after that an image is one read at its offset.
A shard is in the split that its folder or a part of its name says, and a set without splits is not divided. Files of
annotation (.cls, .json) are kept as text by their key, which is the name up to its first dot.
"""

import os
import re
import tarfile
import threading
from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from io import BufferedReader
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from boxless.data.file_names import SPLITS, check_length, hidden
from boxless.runtime.errors import BoxlessError, BrokenImageError
from boxless.runtime.progress import track

TEXTS = (".cls", ".json")
"""Files of annotation."""
IGNORED = (".txt",)
"""Captions, which other programs write."""

BLOCK = tarfile.BLOCKSIZE


class _Shard(NamedTuple):
    places: list[tuple[str, int, int]]
    """Name, offset and length of every file."""
    texts: dict[str, dict[str, bytes]]
    """Suffix -> key of an image -> what the file says."""


class TarSource:
    """Tar shards, read in place: every thread keeps the shard open that it read from last."""

    def __init__(self, root: Path, shards: Sequence[Path]) -> None:
        self.root, self._shards = root, list(shards)
        self.texts: dict[str, dict[str, bytes]] = {suffix: {} for suffix in TEXTS}
        """.cls or .json -> key of an image, with its split -> what the file says."""
        places: list[tuple[str, int, int, int]] = []
        with ThreadPoolExecutor(8) as pool:
            scans = track(pool.map(_scan, self._shards), "reading the shards' headers", len(self._shards))
            for number, (path, shard) in enumerate(zip(self._shards, scans, strict=True)):
                below = _split(path, root)
                places += [(below + name, number, offset, length) for name, offset, length in shard.places]
                for suffix, texts in shard.texts.items():
                    self.texts[suffix] |= {below + key: text for key, text in texts.items()}
        places.sort()
        self._names = [name for name, *_ in places]
        self._places = np.array([place for _, *place in places], np.int64).reshape(-1, 3)
        for one, other in pairwise(places):
            if one[0] == other[0]:
                raise BoxlessError(
                    f"{one[0]} is in {self._shards[one[1]]} and in {self._shards[other[1]]}. Names must be unique in a "
                    "set of shards; write it again with other ones."
                )
        self._local = threading.local()

    def names(self) -> list[str]:
        """The names of all files but annotations, below their split, sorted."""
        return list(self._names)

    def read(self, name: str) -> bytes:
        """The content of one file; raises BrokenImageError when it is not there or cannot be read."""
        place = self._place(name)
        if place is None:
            raise BrokenImageError(f"{name} is not in the shards of {self.root}.")
        shard, offset, length = place
        check_length(name, length)
        try:
            content = os.pread(self._open(shard).fileno(), length, offset)
        except OSError as error:
            raise BrokenImageError(f"{name} cannot be read in {self._shards[shard]}: {error.strerror}.") from error
        if len(content) < length:
            raise BrokenImageError(f"{name} is cut off: {self._shards[shard]} has become shorter.")
        return content

    def state(self, name: str) -> str:
        """Where in its shard a file lies, with the shard's size and time of modification."""
        if (place := self._place(name)) is None:
            return ""
        shard, offset, length = place
        file = self._shards[shard].stat()
        return f"{offset} {length} {file.st_size} {file.st_mtime_ns}"

    def _place(self, name: str) -> tuple[int, int, int] | None:
        """Shard, offset and length of a file."""
        index = bisect_left(self._names, name)
        if index == len(self._names) or self._names[index] != name:
            return None
        shard, offset, length = map(int, self._places[index])
        return shard, offset, length

    def _open(self, shard: int) -> BufferedReader:
        if getattr(self._local, "shard", None) != shard:
            self._local.file, self._local.shard = self._shards[shard].open("rb"), shard
        file: BufferedReader = self._local.file
        return file

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_local"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._local = threading.local()


def open_shards(root: Path, shards: Sequence[Path]) -> TarSource:
    """The source of a set of shards; the same one when they are opened again and have not changed."""
    states = [shard.stat() for shard in shards]
    return _opened(root, tuple(shards), tuple((state.st_mtime_ns, state.st_size) for state in states))


@lru_cache(maxsize=8)  # a command opens its data several times: for its splits, its images, its classes
def _opened(root: Path, shards: tuple[Path, ...], states: tuple[tuple[int, int], ...]) -> TarSource:
    return TarSource(root, shards)


def shards_in(path: Path) -> list[Path]:
    """The shards of a set: the tar itself, or those that are numbered in a folder and its splits; none for other data.

    A tar without a number in a folder is not a part of a set: it may be what somebody unpacked there.
    """
    if path.is_file():
        return [path] if path.suffix.lower() == ".tar" else []
    if not path.is_dir():
        return []
    folders = [path, *(folder for folder in path.iterdir() if folder.name.lower() in SPLITS and folder.is_dir())]
    return sorted(file for folder in folders for file in folder.glob("*.tar") if re.search(r"(^|[-_.])\d+$", file.stem))


def key_of(name: str) -> str:
    """The name of a file up to the first dot behind its folders."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _split(path: Path, root: Path) -> str:
    """The split of a shard with a slash behind it: train/x-000000.tar, train-000000.tar, imagenet_train-000000.tar."""
    words = re.split(r"[-_.]", path.stem)
    place = path.parent.name if path.parent != root and path != root else ""
    found = next((word for word in (place, *words) if word.lower() in SPLITS), "")
    return f"{found}/" if found else ""


def _scan(path: Path) -> _Shard:
    shard, last = _Shard([], {suffix: {} for suffix in TEXTS}), "none"
    words: dict[bytes, bytes] = {}  # many images, few classes
    try:
        with tarfile.open(path, "r:") as archive, path.open("rb") as file:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # else it keeps a kilobyte for each
                last, name, suffix = member.name, member.name.removeprefix("./"), Path(member.name).suffix.lower()
                if not member.isfile() or _outside(name) or suffix in IGNORED:
                    continue
                if suffix not in TEXTS:
                    shard.places.append((name, member.offset_data, member.size))
                    continue
                check_length(name, member.size)
                file.seek(member.offset_data)
                text = file.read(member.size)
                shard.texts[suffix][key_of(name)] = words.setdefault(text, text) if suffix == ".cls" else text
            file.seek(archive.offset)
            end = file.read(BLOCK)
    except (OSError, tarfile.TarError, ValueError, EOFError) as error:
        raise BoxlessError(f"{path} is not a whole, uncompressed tar: {error}. {_advice(last)}") from error
    if end != bytes(BLOCK):
        raise BoxlessError(f"{path} is not a whole, uncompressed tar: it ends too early. {_advice(last)}")
    return shard


def _outside(name: str) -> bool:
    return name.startswith("/") or any(hidden(part) for part in name.split("/"))


def _advice(last: str) -> str:
    return (
        f"(The last file in it is {last}.) Copy or download it again. Shards are read in place: unpack .tar.gz first."
    )
