"""One process at a time writes into an output folder. The lock is the kernel's: a killed process leaves none."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from boxless.errors import BoxlessError, UsageError
from boxless.writing import sweep

LOCK = ".boxless-lock"
"""The file that is locked. Whether it is there means nothing; whether somebody holds it does."""


@contextmanager
def held(out: Path) -> Iterator[None]:
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
        sweep(out)
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
