"""What the verbs print with: results on stdout, progress and notes on stderr, nothing but results when quiet."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from boxless.data.streaming import Watch
    from boxless.searching import Summary

out = Console(soft_wrap=True)
if not out.is_terminal:
    out.width = 200  # a table in a file or a pipe need not be folded
notes = Console(stderr=True)


def quiet() -> bool:
    """Whether only results and errors may be printed."""
    return bool(os.environ.get("BOXLESS_QUIET"))


def note(text: str) -> None:
    """A line about how the work goes, on stderr."""
    if not quiet():
        notes.print(text, markup=False, highlight=False)


def result(content: dict[str, Any]) -> None:
    """A result for machines: one JSON document on stdout."""
    sys.stdout.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def bar() -> Progress:
    """A progress bar on stderr with rate and time left; it only moves on a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=notes,
        disable=quiet() or not notes.is_terminal,
        transient=True,
    )


@contextmanager
def watching(title: str, total: int) -> Iterator["Watch"]:
    """A watch whose progress is shown; the broken images are named at the end."""
    from boxless.data.streaming import Watch

    with bar() as progress:
        task = progress.add_task(title, total=total, rate="")

        def advance(count: int) -> None:
            progress.advance(task, count)
            speed = progress.tasks[task].speed
            progress.update(task, rate=f"{speed:.0f}/s" if speed else "")

        watch = Watch(advance)
        yield watch
    for reason in watch.broken.values():
        note(f"skipped: {reason}")


def told(summary: "Summary", where: Path, *, as_json: bool) -> None:
    """Print what a search did and where it left the boxes."""
    if as_json:
        result(summary.to_dict() | {"out": str(where)})
        return
    for sentence in summary.words():
        out.print(sentence, markup=False, highlight=False)
    out.print(f"Written to {where}: {', '.join(sorted(path.name for path in where.iterdir()))}", markup=False)


@contextmanager
def counting(title: str) -> Iterator[Callable[[int, int, Mapping[str, float]], None]]:
    """A progress callback (done, total, latest numbers) behind a bar; without a terminal, a line now and then."""
    with bar() as progress:
        task = progress.add_task(title, total=None, rate="")
        told = 0.0

        def advance(done: int, total: int, numbers: Mapping[str, float]) -> None:
            nonlocal told
            latest = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            progress.update(task, completed=done, total=total, rate=latest)
            if not notes.is_terminal and (time.monotonic() - told > 30 or done == total):
                told = time.monotonic()
                note(f"{title}: {done} of {total}; {latest}")

        yield advance
