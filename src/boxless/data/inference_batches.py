"""Photographs as a stream of batches: read ahead in threads, bounded, in order, broken ones named and left out."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from boxless.data.dataset import Dataset, Sample
from boxless.data.images import read_resized
from boxless.runtime.errors import BrokenImageError
from boxless.runtime.progress import Progress

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures of one size as one array, with their samples and their original upright sizes (width, height)."""

    samples: list[Sample]
    sizes: list[tuple[int, int]]
    pictures: UInt8[np.ndarray, "batch size size 3"]


def prefetch(function: Callable[[Item], Made], items: Iterable[Item], *, workers: int, window: int) -> Iterator[Made]:
    """`map` in threads, in order, with at most `window` results waiting, however long `items` is."""
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= window:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # the consumer stopped early, or something failed: do not finish what nobody wants
            for future in waiting:
                future.cancel()


def stream(
    dataset: Dataset, size: int, progress: Progress, *, batch_size: int = 16, workers: int = 2
) -> Iterator[Batch]:
    """Every readable picture of the data set, squashed to `size` pixels square, in order.

    A batch holds what is readable of `batch_size` consecutive samples: no other image changes who is in it.
    """

    def read(sample: Sample) -> tuple[Sample, UInt8[np.ndarray, "size size 3"], tuple[int, int]] | str:
        try:
            picture, original = read_resized(dataset.source.read(sample.name), sample.name, size)
        except BrokenImageError as error:
            progress.broken[sample.name] = str(error)
            progress.advance(1)
            return sample.name
        return sample, picture, original

    reads = prefetch(read, dataset.samples, workers=workers, window=2 * batch_size + workers)
    while group := list(islice(reads, batch_size)):
        if whole := [item for item in group if not isinstance(item, str)]:
            samples, pictures, sizes = zip(*whole, strict=True)
            yield Batch(list(samples), list(sizes), np.stack(pictures))
