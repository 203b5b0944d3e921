"""What the verbs print with: results on stdout, progress and notes on stderr, nothing but results when quiet."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress

from boxless.runtime.files import json_text
from boxless.runtime.progress import Progress


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Left to the command line: rich would exit with 1, as if the work had failed."""
        raise BrokenPipeError


out = _Console(soft_wrap=True)
if not out.is_terminal:
    out.width = 200  # a table in a file or a pipe need not be folded
notes = _Console(stderr=True)


def quiet() -> bool:
    """Whether only results and errors may be printed."""
    return bool(os.environ.get("BOXLESS_QUIET"))


def note(text: str) -> None:
    """A line about how the work goes, on stderr."""
    if not quiet():
        notes.print(text, markup=False, highlight=False)


def line(text: str) -> None:
    """A line of a result for people, on stdout, as it is."""
    out.print(text, markup=False, highlight=False)


def result(content: dict[str, Any]) -> None:
    """A result for machines: one JSON document on stdout."""
    sys.stdout.write(json_text(content))


EVERY = 30.0
"""Seconds between two lines of progress where no bar can be drawn."""
SEEN = 0.05
"""Seconds between two changes of a bar: putting them into words takes as long as measuring a small map."""
_bars = RichProgress(
    TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"),
    console=notes, transient=True, disable=not notes.is_terminal,
)  # fmt: skip
"""All bars of this process in one display: it is there while work is going on, and gone before results are."""


@contextmanager
def counting(title: str, total: int = 0) -> Iterator[Progress]:
    """Progress on stderr with rate and time left: a bar on a terminal, elsewhere a line now and then.

    Images that were skipped are named at the end.
    """
    if quiet():
        yield Progress(total=total)
        return
    outermost = not _bars.live.is_started
    if outermost:
        _bars.start()
    task = _bars.add_task(title, total=None, words="")
    began = noted = drawn = time.monotonic()
    before: int | None = None
    try:

        def step(done: int, total: int, latest: Mapping[str, float]) -> None:
            nonlocal noted, drawn, before
            now = time.monotonic()
            if before is None:  # a run that is taken up does not begin at 0; its first step began when we did
                before = done - 1 if done else 0
            elif now - drawn < SEEN and done != total:
                return
            drawn = now
            words = _words(done, total, done - before, now - began, latest)
            _bars.update(task, completed=done, total=total, words=words)
            if not notes.is_terminal and (now - noted > EVERY or (done == total and now - began > EVERY)):
                noted = now
                note(f"{title}: {words}")

        progress = Progress(step, total)
        yield progress
    finally:
        _bars.remove_task(task)
        if outermost:
            _bars.stop()
    for reason in progress.broken.values():
        note(f"skipped: {reason}")


def _words(done: int, total: int, lately: int, seconds: float, latest: Mapping[str, float]) -> str:
    """12 of 300, 4.1/s, 1:10 left; loss 0.7."""
    words = f"{done} of {total}"
    if seconds > 0 and lately:
        rate = lately / seconds
        left = timedelta(seconds=round((total - done) / rate))
        words += f", {rate:.3g}/s, {left} left" if rate >= 0.1 else f", {1 / rate:.0f} s each, {left} left"
    numbers = ", ".join(f"{name} {value:{'.0f' if abs(value) >= 1000 else '.4g'}}" for name, value in latest.items())
    return f"{words}; {numbers}" if numbers else words
