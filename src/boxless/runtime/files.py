"""Files that are written whole or not at all."""

import json
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from boxless.runtime.errors import BoxlessError, UsageError

PARTIAL_SUFFIX = ".part"
"""How the hidden files end that are still being written, or were when their process was killed."""
LOCK = ".boxless-lock"
"""The file that is locked. Whether it is there means nothing; whether somebody holds it does."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A hidden file to write beside `path`, whose folder is made: it takes its place at the end, or is gone.

    No reader and no kill ever sees a part of `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):  # it is gone, or could never be made
            temporary.unlink()


def write_text_atomic(path: Path, pieces: Iterable[str], what: str, *, errors: str = "surrogateescape") -> None:
    """Write text to `path`, whole or not at all.

    Names that are no UTF-8 keep their bytes, or become "?" with `errors` "replace". Raises BoxlessError, calling the
    file `what`, when it cannot be written.
    """
    try:
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors=errors, newline="\n") as file:
            file.writelines(pieces)
    except OSError as error:
        raise BoxlessError(f"Could not write {what} {path}: {error}. Free space or choose another folder.") from error


def remove_partial_files(folder: Path) -> None:
    """Remove what killed processes left half-written in `folder`; for the one process that may write there."""
    for left in folder.glob(f".*{PARTIAL_SUFFIX}"):
        with suppress(OSError):  # it is in nobody's way
            left.unlink()


@contextmanager
def folder_lock(out: Path) -> Iterator[None]:
    """Keep the folder `out`, which is made if need be, for this process; it goes again if it is empty afterwards.

    What a killed process left half-written there is removed. Raises UsageError when another process keeps it, and
    BoxlessError when it cannot be written or its file system has no locks.
    """
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK, timeout=0, fallback_to_soft=False)
        lock.acquire()
    except Timeout as error:
        raise UsageError(
            f"Another boxless writes into {out} at this moment ({_holder(out)}). Wait until it is done, or choose "
            "another --out."
        ) from error
    except (OSError, NotImplementedError) as error:
        raise BoxlessError(f"Could not write to {out} and lock it: {error}. Choose another --out.") from error
    try:
        remove_partial_files(out)
        with suppress(OSError):  # who holds it is told as a kindness; a full disk is found soon enough
            (out / LOCK).write_text(f"process {os.getpid()} on {platform.node()}")
        yield
    finally:
        with suppress(OSError):
            (out / LOCK).unlink(missing_ok=True)  # still locked: whoever opened it sees that it is gone, and tries anew
        lock.release()
        if new:
            with suppress(OSError):  # it is not empty, as it should be
                out.rmdir()


def _holder(out: Path) -> str:
    try:
        return (out / LOCK).read_text() or "its process is not known"
    except OSError:
        return "its process is not known"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a result whole or not at all; raises BoxlessError when the file cannot be written."""
    write_text_atomic(path, [json_text(content)], "the result")


def json_text(content: dict[str, Any]) -> str:
    """The document, in lines; the bytes of a name that is not UTF-8 as JSON's escapes, which read back."""
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace").decode()
