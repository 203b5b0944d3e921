"""Finding again: what a person has decided on chooses how the images that nobody has looked at are searched anew.

The search runs in a thread of its own, while decisions go on; it reads the boxes that were decided when it began, and
its own come in at once, between two decisions. No decision is ever changed by it.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boxless.review.decisions import WAITING, Review
from boxless.runtime.errors import BoxlessError
from boxless.runtime.progress import Progress, ProgressFactory

ENOUGH = 10
"""Boxed images at which it is offered first, and again after as many more."""

FindAgain = Callable[[Path, Path, ProgressFactory], Sequence[str]]
"""From a file of decided boxes to boxes in a new folder, or to none where nothing better is chosen; says which."""


class EndedError(BoxlessError):
    """The review was ended during a search."""


class SecondSearch:
    """The offer to find again, the search while it runs, and what came of it."""

    def __init__(self, review: Review, find: FindAgain | None) -> None:
        self.review, self.find = review, find
        self.used = 0
        self.words: list[str] = []
        self.failure = self.stage = ""
        self.done = self.total = 0
        self._task: asyncio.Task[None] | None = None
        self._ended = threading.Event()

    @property
    def running(self) -> bool:
        """Whether a search is under way."""
        return self._task is not None and not self._task.done()

    def state(self) -> dict[str, Any]:
        """Plain values for the page; `enough` is the number of boxed images at which it is offered, 0 for never."""
        return {
            "enough": 0 if self.find is None else self.used + ENOUGH,
            "running": self.running,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "words": self.words,
            "failure": self.failure,
        }

    def begin(self) -> None:
        """Start the search; raises BoxlessError when one runs, when there are too few boxes, or nothing is left."""
        if self.find is None or self.running:
            raise BoxlessError("Boxes are being found again already. Wait for them.")
        if self.review.boxed < ENOUGH:
            raise BoxlessError(f"{self.review.boxed} images have boxes that you decided on. Decide on {ENOUGH} first.")
        if not self.review.counts().get(WAITING):
            raise BoxlessError("All images are reviewed. There is nothing left to find again.")
        self.used, self.words, self.failure, self.stage = self.review.boxed, [], "", "beginning"
        self._task = asyncio.get_running_loop().create_task(self._search(self.find))

    async def end(self) -> None:
        """Stop the search, if one runs, at its next step."""
        self._ended.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _search(self, find: FindAgain) -> None:
        folder = self._folder()
        try:
            # What was decided until now: boxes.csv goes on changing under the search.
            given = folder / "given.csv"
            given.write_bytes((self.review.out / "boxes.csv").read_bytes())
            self.words = list(await asyncio.to_thread(find, given, folder / "found", self._counting))
            if (folder / "found").is_dir():
                self.review.renew(folder / "found")
        except BoxlessError as error:
            self.failure = str(error)
        except Exception as error:  # whatever else goes wrong there, the review goes on
            self.failure = f"Finding again failed ({type(error).__name__}: {error}). Your decisions are all saved."
        finally:
            self.stage = ""

    @contextmanager
    def _counting(self, title: str) -> Iterator[Progress]:
        """The progress of one stage, which the page asks for, and by which the search learns that it is to end."""

        def step(done: int, total: int, latest: Mapping[str, float]) -> None:
            if self._ended.is_set():
                raise EndedError("The review was ended.")
            self.stage, self.done, self.total = title, done, total

        self.stage, self.done, self.total = title, 0, 0
        yield Progress(step)

    def _folder(self) -> Path:
        """A new folder in the output folder."""
        number = 1
        while (self.review.out / "again" / str(number)).exists():
            number += 1
        folder = self.review.out / "again" / str(number)
        folder.mkdir(parents=True)
        return folder
