"""Files that are written whole or not at all."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from boxless.errors import BoxlessError

UNFINISHED = ".part"
"""How the hidden files end that are still being written, or were when their process was killed."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden file to write beside `path`, whose folder is made: it takes its place at the end, or is gone.

    No reader and no kill ever sees a part of `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):  # it is gone, or could never be made
            temporary.unlink()


def write_whole(path: Path, pieces: Iterable[str], what: str, *, errors: str = "surrogateescape") -> None:
    """Write text to `path`, whole or not at all.

    Names that are no UTF-8 keep their bytes, or become "?" with `errors` "replace". Raises BoxlessError, calling the
    file `what`, when it cannot be written.
    """
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors=errors, newline="\n") as file:
            file.writelines(pieces)
    except OSError as error:
        raise BoxlessError(f"Could not write {what} {path}: {error}. Free space or choose another folder.") from error


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written in `folder`; for the one process that may write there."""
    for left in folder.glob(f".*{UNFINISHED}"):
        with suppress(OSError):  # it is in nobody's way
            left.unlink()
