"""Batches of images for training: read by threads a little ahead of the network, kept in memory as far as they fit."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from boxless.data.images import Picture
from boxless.data.sample import Dataset
from boxless.data.transforms import Resize, crop
from boxless.errors import BrokenImageError

_AHEAD = 3
"""Batches that are read while the network works on one."""


class Pictures:
    """The decoded, resized pictures of a data set by index, in memory up to `memory` GiB; safe to use from threads."""

    def __init__(self, dataset: Dataset, resize: Resize, memory: float) -> None:
        self.dataset, self.resize = dataset, resize
        self.broken: dict[str, str] = {}
        """Images that could not be read, with the reason; they are left out of every batch."""
        self._told = 0
        self._room = memory * 2**30
        self._kept: dict[int, Picture] = {}

    def newly_broken(self) -> list[str]:
        """The reasons of the images that were found broken since this was last asked."""
        reasons = list(self.broken.values())[self._told :]
        self._told += len(reasons)
        return reasons

    def read(self, index: int) -> Picture | None:
        """The picture of one sample (h, w, 3), or None for one that is broken."""
        name = self.dataset.samples[index].name
        if name in self.broken:
            return None
        if (kept := self._kept.get(index)) is not None:
            return kept
        try:
            picture = self.resize(self.dataset.source.read(name), name)
        except BrokenImageError as error:
            self.broken[name] = str(error)
            return None
        if self._room >= picture.nbytes:  # threads may overshoot by a picture each
            self._room -= picture.nbytes
            self._kept[index] = picture
        return picture


class Batch(NamedTuple):
    """Images of one step as bytes, and the class of each; shorter by those that were broken."""

    pictures: UInt8[Tensor, "batch size size 3"]
    labels: Int[Tensor, "batch"]


class Request(NamedTuple):
    """The images of one step, and how each is cut."""

    indices: Int[np.ndarray, "image"]
    draws: Float[np.ndarray, "image 3"]


def batches(
    pictures: Pictures, requests: Iterable[Request], size: int, workers: int, *, fill: bool = False
) -> Iterator[Batch]:
    """The batch of each request, in order, read by `workers` threads up to three requests ahead.

    Broken images are left out; with `fill` others of the batch take their places, so that all batches of several
    processes are of one length.
    """
    samples = pictures.dataset.samples

    def cut(index: int, draw: Float[np.ndarray, "3"]) -> tuple[Picture, int] | None:
        picture, label = pictures.read(index), samples[index].label
        return None if picture is None or label is None else (crop(picture, size, draw), label)

    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[list[Future[tuple[Picture, int] | None]]] = deque()
        try:
            for request in requests:
                waiting.append([pool.submit(cut, int(i), draw) for i, draw in zip(*request, strict=True)])
                if len(waiting) > _AHEAD:
                    yield _collate(waiting.popleft(), size, fill)
            while waiting:
                yield _collate(waiting.popleft(), size, fill)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _collate(futures: list[Future[tuple[Picture, int] | None]], size: int, fill: bool) -> Batch:
    cuts = [result for future in futures if (result := future.result()) is not None]
    if fill and cuts:
        cuts += [cuts[place % len(cuts)] for place in range(len(futures) - len(cuts))]
    pictures = np.empty((len(cuts), size, size, 3), np.uint8)
    for place, (square, _) in zip(pictures, cuts, strict=True):
        place[...] = square
    return Batch(torch.from_numpy(pictures), torch.tensor([label for _, label in cuts], dtype=torch.long))
