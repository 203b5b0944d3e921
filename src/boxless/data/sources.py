"""Where the bytes of a data set come from: a folder, a zip or tar shards, with the same three answers.

A source has a root, the names of its files (posix paths relative to that root) and the bytes of each. Hidden files,
what archivers add (`__MACOSX`) and members of a zip that would lie outside of it (`/a`, `../a`) do not exist for it. A
zip of one folder stands for that folder.
"""

import logging
import lzma
import os
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol, runtime_checkable

from boxless.data.file_names import SPLITS, WRITTEN, check_length, hidden, is_image
from boxless.runtime.errors import BoxlessError, BrokenImageError

log = logging.getLogger(__name__)

README = "README.txt"
RUN = ("best.pt", "last.pt")
"""What marks the folder of a run, which may hold pictures of ours."""

UTF_8 = 0x800
"""The flag of a zip's member whose name is in UTF-8."""


@cache
def warn_once(message: str) -> None:
    """Log a warning, once, however often the files are listed."""
    log.warning(message)


def place_of(name: str, source: "Source") -> str:
    """How messages call a file of a source; its name alone says it where the source is the current folder."""
    return name if source.root == Path() else f"{name} in {source.root}"


@runtime_checkable
class Source(Protocol):
    """Files by name. Reading is safe from many threads and in forked or spawned processes."""

    @property
    def root(self) -> Path:
        """The folder or archive itself."""

    def names(self) -> list[str]:
        """Posix paths of all visible files relative to the root, sorted."""

    def read(self, name: str) -> bytes:
        """The content of one file; raises BrokenImageError when it is not there or cannot be read."""

    def state(self, name: str) -> str:
        """What differs once a file is replaced, read without its content; "" for one that is not there."""


class FolderSource:
    """A folder on disk, with its sub-folders and the folders outside that it links to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Posix paths of all visible files, sorted; sub-folders that cannot be listed are logged and left out."""
        return sorted(_walk(self.root, "", self.root.resolve(), set()))

    def read(self, name: str) -> bytes:
        """The content of one file; raises BrokenImageError when it is not there or cannot be read."""
        try:
            with (self.root / name).open("rb") as file:
                check_length(name, os.fstat(file.fileno()).st_size)
                return file.read()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            reason = getattr(error, "strerror", None) or error
            raise BrokenImageError(f"{name[:200]} cannot be read: {reason}.") from error

    def state(self, name: str) -> str:
        """Size and time of modification of one file."""
        try:
            file = (self.root / name).stat()
        except (OSError, ValueError):
            return ""
        return f"{file.st_size} {file.st_mtime_ns}"


class ZipSource:
    """A zip archive, read in place; every thread of every process opens it for itself, at its first question."""

    def __init__(self, path: Path) -> None:
        self.root = path
        self._local = threading.local()
        self._prefix = _only_folder(_visible(self._archive()))
        if "/" in self._prefix[:-1]:
            warn_once(f"Reading the folder {self._prefix[:-1]} in {path}: there is no other one.")

    def names(self) -> list[str]:
        """Posix paths of all visible files inside the zip, sorted; below its one folder if it holds one folder only."""
        names = sorted(name.removeprefix(self._prefix) for name in _visible(self._archive()))
        ours = tuple(f"{folder}/" for folder in self._ours(names))
        return [name for name in names if not name.startswith(ours)]

    def _ours(self, names: list[str]) -> Iterator[str]:
        """The folders inside that boxless wrote."""
        for name in names:
            folder, _, file = name.rpartition("/")
            if folder and (file in RUN or (file == README and self.read(name).startswith(WRITTEN.encode()))):
                warn_once(f"{folder} in {self.root} was written by boxless and is left out.")
                yield folder

    def read(self, name: str) -> bytes:
        """The content of one file; raises BrokenImageError when it is not there, encrypted, damaged or too large."""
        try:
            check_length(name, self._archive().getinfo(self._prefix + name).file_size)  # no more than that is unpacked
            return self._archive().read(self._prefix + name)
        except KeyError as error:
            raise BrokenImageError(f"{name} is not in {self.root}.") from error
        except _DAMAGED as error:
            raise BrokenImageError(f"{name} is damaged inside {self.root}: {error}.") from error
        except RuntimeError as error:  # zipfile's word for a password
            raise BrokenImageError(f"{name} is encrypted inside {self.root}; unpack it with its password.") from error

    def state(self, name: str) -> str:
        """Size and checksum of one file."""
        entry = self._archive().NameToInfo.get(self._prefix + name)
        return "" if entry is None else f"{entry.file_size} {entry.CRC}"

    def _archive(self) -> zipfile.ZipFile:
        if getattr(self._local, "process", None) != os.getpid():  # a forked child must not share the file position
            try:
                self._local.archive = _with_slashes(zipfile.ZipFile(self.root))
            except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
                raise BoxlessError(
                    f"{self.root} is not a whole zip archive ({error}). Copy or download it again."
                ) from error
            self._local.process = os.getpid()
        archive: zipfile.ZipFile = self._local.archive
        return archive

    def __getstate__(self) -> dict[str, object]:
        return {"root": self.root, "prefix": self._prefix}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.root, self._prefix = Path(str(state["root"])), str(state["prefix"])
        self._local = threading.local()


def open_source(path: Path) -> Source:
    """The source for a folder, a zip or tar shards; raises BoxlessError when `path` is none of them."""
    from boxless.data.tar_source import open_shards, shards_in

    if shards := shards_in(path):
        return open_shards(path, shards)
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        raise BoxlessError(f"There is no folder or zip {path}. Check the path.")
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        return ZipSource(path)
    raise BoxlessError(f"{path} is a file but not a zip or a tar. Expected a folder of images, or one of these.")


def _walk(folder: Path, below: str, home: Path, seen: set[tuple[int, int]]) -> Iterator[str]:
    try:
        place = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        log.warning("The folder %s cannot be listed and is left out: %s.", folder, error.strerror)
        return
    if (place.st_dev, place.st_ino) in seen:
        warn_once(f"{folder} is a link to a folder that is read already, and is left out.")
        return
    if below and written_here(folder):
        warn_once(f"{folder} was written by boxless and is left out.")
        return
    seen.add((place.st_dev, place.st_ino))
    for entry in entries:
        if hidden(entry.name) or (entry.is_symlink() and _leads_back(Path(entry.path), home)):
            if not hidden(entry.name) and Path(entry.path).is_dir():
                warn_once(f"{entry.path} is a link to a folder that is read already, and is left out.")
            elif is_image(entry.name) and not hidden(entry.name):
                warn_once(f"The link {entry.path} leads nowhere and is left out.")
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path), f"{below}{entry.name}/", home, seen)
        elif entry.is_file():  # a pipe or a socket is none
            yield below + entry.name


def written_here(folder: Path) -> bool:
    """Whether an export or a training wrote a folder."""
    with suppress(OSError), (folder / README).open("rb") as file:
        return file.read(len(WRITTEN)) == WRITTEN.encode()
    return any((folder / name).is_file() for name in RUN)


def _leads_back(link: Path, home: Path) -> bool:
    """Whether walking into the folder behind `link` would list the tree at `home`, or a part of it, once more."""
    if link.is_file():  # at once; resolving a link takes as long as all else of listing it
        return False
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # dangling, or a link to itself
        return True
    return target.is_dir() and (target.is_relative_to(home) or home.is_relative_to(target))


_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    ValueError,
    MemoryError,
)
"""What Python's modules raise over a member of a zip, depending on which of its bytes are wrong."""


def _visible(archive: zipfile.ZipFile) -> list[str]:
    files = {entry.filename for entry in archive.infolist() if not entry.is_dir()}
    return [name for name in files if not name.startswith("/") and not any(hidden(part) for part in name.split("/"))]


def _with_slashes(archive: zipfile.ZipFile) -> zipfile.ZipFile:
    """Some programs of Windows write names with back slashes, or in the code page of their country."""
    for entry in archive.infolist():
        if not entry.flag_bits & UTF_8 and not entry.filename.isascii():
            warn_once(
                f"Names in {archive.filename} are not in UTF-8, such as {entry.filename!r}. If they are misread, "
                "unpack it and give the folder."
            )
            break
    for entry in archive.infolist():
        if "\\" in entry.filename:
            entry.filename = entry.filename.replace("\\", "/")
            archive.NameToInfo[entry.filename] = entry
    return archive


def _only_folder(names: list[str]) -> str:
    """The folder that an archive stands for: its only one, and below that what `way_down` finds."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    top = tops.pop() if len(tops) == 1 else ""
    prefix = f"{top}/" if top and top.lower() not in SPLITS else ""

    def listed(below: str) -> list[str]:
        inside = {name.removeprefix(prefix + below) for name in names if name.startswith(prefix + below)}
        return list({first + slash for first, slash, _ in (name.partition("/") for name in inside)})

    return prefix and prefix + way_down(listed)


def way_down(listed: Callable[[str], list[str]]) -> str:
    """The path, with a slash, to where the splits or classes are, through folders that hold another one alone; or "".

    `listed` gives the entries of a path, those that are folders with a slash.
    """
    path = ""
    while True:
        entries = [name for name in listed(path) if not name.upper().startswith(("README", "LICENSE"))]
        folders = [name for name in entries if name.endswith("/")]
        split = any(name[:-1].lower() in SPLITS for name in folders)
        if path and (split or len(folders) > 1) and not any(map(is_image, entries)):
            return path
        if split or len(entries) != 1 or not folders:
            return ""
        path += folders[0]


class JoinedSource:
    """Several sources under the names that their files have; it stands for the folder they would be unpacked into."""

    def __init__(self, parts: Sequence[tuple[Source, Sequence[str]]]) -> None:
        """The sources, each with the names it answers for."""
        self.root = Path("+".join(source.root.stem for source, _ in parts))
        self._holder = {name: source for source, names in parts for name in names}

    def names(self) -> list[str]:
        """The names of all parts, sorted."""
        return sorted(self._holder)

    def read(self, name: str) -> bytes:
        """The content of one file; raises BrokenImageError when no part has it or it cannot be read."""
        if name not in self._holder:
            raise BrokenImageError(f"{name} is not in {self.root}.")
        return self._holder[name].read(name)

    def state(self, name: str) -> str:
        """What the part that has the file says of it."""
        return self._holder[name].state(name) if name in self._holder else ""
