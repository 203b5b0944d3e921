"""review.jsonl: every decision in the order in which it was made, one line each, never rewritten.

A line is on the disk before the person sees it saved. A kill can only lose the last line, and only before it was
complete; what is left of it is cut off when the review goes on.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from boxless.runtime.errors import BoxlessError


class Journal:
    """The decisions of one review; open in one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise BoxlessError(f"Could not write {path}: {error.strerror}. Choose another --out.") from error

    def read(self) -> list[dict[str, Any]]:
        """All entries, after cutting off a last line that is not whole; raises BoxlessError for any other damage."""
        data = os.pread(self._file, os.fstat(self._file).st_size, 0)
        whole = data[: data.rfind(b"\n") + 1]
        os.ftruncate(self._file, len(whole))
        return [self._entry(line, number) for number, line in enumerate(whole.splitlines(), 1)]

    def _entry(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            entry: dict[str, Any] = json.loads(line)
            assert isinstance(entry, dict)
        except (ValueError, AssertionError) as error:
            raise BoxlessError(
                f"{self.path}, line {number}: expected a decision as json. Remove the line, or choose another --out."
            ) from error
        return entry

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry, on the disk when this returns; raises BoxlessError, with nothing added, when it cannot be."""
        before = os.fstat(self._file).st_size
        line = json.dumps(entry).encode() + b"\n"
        try:
            if os.write(self._file, line) < len(line):
                raise OSError("the disk is full")
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, before)
            raise BoxlessError(
                f"Could not write {self.path}: {error}. Free space; the decision is not saved."
            ) from error

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
