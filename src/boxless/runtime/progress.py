"""How far long work has come: told by whoever does it, heard by whoever listens, such as the command line."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

Item = TypeVar("Item")

Progress = Callable[[int, int, Mapping[str, float]], None]
"""Called after each step with its number, the number of all, and the latest numbers worth telling (may be empty)."""

ProgressFactory = Callable[[str], AbstractContextManager[Progress]]
"""From the title of a piece of work to what is told of its steps while the context lasts."""


def silent(done: int, total: int, latest: Mapping[str, float]) -> None:
    """The progress of somebody who does not look."""


_listeners: list[ProgressFactory] = [lambda title: nullcontext(silent)]


@contextmanager
def reporting_to(listener: ProgressFactory) -> Iterator[None]:
    """Inside, `listener` hears of all work whose caller listens to nothing himself."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.pop()


def progress_to(title: str, progress: Progress | None = None) -> AbstractContextManager[Progress]:
    """What to tell of a piece of work: the caller's own `progress`, else whoever listens."""
    return _listeners[-1](title) if progress is None else nullcontext(progress)


def track(items: Iterable[Item], title: str, total: int | None = None) -> Iterator[Item]:
    """The items as they are; each is told as done when the next one is asked for."""
    total = len(items) if total is None and isinstance(items, Collection) else total or 0
    with progress_to(title) as tell:
        for done, item in enumerate(items, 1):
            yield item
            tell(done, max(total, done), {})
