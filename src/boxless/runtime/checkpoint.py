"""Checkpoints: written whole or not at all, read without running anybody's code."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boxless.runtime.errors import BoxlessError, brief
from boxless.runtime.files import atomic_path

FORMAT = 1
"""Version of the file format; a file with a higher one was written by a newer boxless."""


def save(path: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors and plain values only) to `path` atomically: a reader sees the old file or the new one.

    Raises BoxlessError when the disk is full or the folder cannot be written; the old file then still stands.
    """
    try:
        import torch  # a wrong path is named without it

        with atomic_path(path) as temporary, temporary.open("wb") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
        raise BoxlessError(
            f"Could not write the checkpoint {path}: {error}. Free space or choose another --out; "
            "the previous checkpoint, if there was one, is unchanged."
        ) from error


def find_checkpoint(run: Path) -> Path:
    """The checkpoint itself, or best.pt of a run folder; raises BoxlessError where there is none."""
    file = run / "best.pt" if run.is_dir() else run
    if not file.is_file():
        raise BoxlessError(f"There is no checkpoint {file}. Expected a last.pt or best.pt that `boxless train` wrote.")
    return file


def read(path: Path) -> dict[str, Any]:
    """Read what `save` wrote, onto the CPU, with torch's weights_only loader (no code in the file is run).

    Raises BoxlessError for a missing, truncated, foreign or newer file.
    """
    find_checkpoint(path)
    try:
        import torch

        _refuse_packed(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and its unpickler raise whatever they stumble over
        raise BoxlessError(
            f"{path} is not a whole boxless checkpoint ({type(error).__name__}). It is truncated or was written by "
            "another program; use another checkpoint of the run or train again."
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise BoxlessError(f"{path} is a torch file but not a boxless checkpoint. Expected a last.pt or best.pt.")
    if content["format"] > FORMAT:
        raise BoxlessError(
            f"{path} has checkpoint format {content['format']}; this boxless reads up to {FORMAT}. Install a newer one."
        )
    return content


@contextmanager
def resuming(path: Path) -> Iterator[None]:
    """Inside, the state in `path` is taken over; whatever does not fit there is raised as one BoxlessError."""
    try:
        yield
    except BoxlessError:
        raise
    except Exception as error:  # optimizers and networks raise whatever they stumble over
        raise BoxlessError(
            f"{path} does not hold the state of this run ({type(error).__name__}: {brief(str(error), 120)}). It is "
            "damaged, or was changed by another program; train again into another --out."
        ) from error


def _refuse_packed(path: Path) -> None:
    """Raise ValueError for a zip with packed members: torch writes none, and a small one may unpack to anything."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("packed members")
