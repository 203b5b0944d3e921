"""How far long work has come: reported by whoever does it, shown by whoever listens, such as the command line."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType
from typing import TypeVar

Item = TypeVar("Item")

Report = Callable[[int, int, Mapping[str, float]], None]
"""Called with how much is done, how much there is, and the latest numbers worth showing (may be empty)."""
_NOTHING: Mapping[str, float] = MappingProxyType({})


def silent(done: int, total: int, latest: Mapping[str, float]) -> None:
    """The report of work that nobody looks at."""


class Progress:
    """How far one piece of work has come, and which images were skipped on the way; it is itself a Report."""

    def __init__(self, report: Report = silent, total: int = 0) -> None:
        self.report, self.done, self.total = report, 0, total
        self.broken: dict[str, str] = {}
        """Images that were skipped, with the reason."""

    def __call__(self, done: int, total: int, latest: Mapping[str, float] = _NOTHING) -> None:
        """Report that `done` of `total` are done."""
        self.done, self.total = done, total
        self.report(done, total, latest)

    def advance(self, count: int = 1) -> None:
        """Report that `count` more are done."""
        self(self.done + count, max(self.total, self.done + count))

    def expect(self, total: int) -> None:
        """Set how much there is, where that was not known at the beginning."""
        self.total = total


ProgressFactory = Callable[[str], AbstractContextManager[Progress]]
"""From the title of a piece of work to the Progress that shows it while the context lasts."""

_listeners: list[ProgressFactory] = [lambda title: nullcontext(Progress())]


@contextmanager
def reporting_to(listener: ProgressFactory) -> Iterator[None]:
    """Inside, `listener` shows all work whose caller gives no report of his own."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.pop()


def progress_to(title: str, report: Report | None = None) -> AbstractContextManager[Progress]:
    """The Progress of a piece of work: to the caller's own `report`, else to whoever listens."""
    return _listeners[-1](title) if report is None else nullcontext(Progress(report))


def track(items: Iterable[Item], title: str, total: int | None = None) -> Iterator[Item]:
    """The items as they are; each is reported as done when the next one is asked for."""
    total = len(items) if total is None and isinstance(items, Collection) else total or 0
    with progress_to(title) as progress:
        progress.expect(total)
        for item in items:
            yield item
            progress.advance()
