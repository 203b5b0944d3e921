"""Files that are written whole or not at all."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from boxless.errors import BoxlessError


def write_whole(path: Path, pieces: Iterable[str], what: str, *, errors: str = "surrogateescape") -> None:
    """Write text to `path` through a hidden file beside it, so that no reader and no kill ever sees a part of it.

    Names that are no UTF-8 keep their bytes, or become "?" with `errors` "replace". Raises BoxlessError, calling the
    file `what`, when it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", errors=errors, newline="\n") as file:
            file.writelines(pieces)
        temporary.replace(path)
    except OSError as error:
        raise BoxlessError(f"Could not write {what} {path}: {error}. Free space or choose another folder.") from error
    finally:
        with suppress(OSError):  # it is gone, or could never be made
            temporary.unlink()
