"""Batches of images for training: read by threads a little ahead of the network, kept in memory as far as they fit."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from boxless.data.annotations import check_size
from boxless.data.dataset import Dataset, Sample
from boxless.data.images import Picture
from boxless.data.transforms import Resize, crop, crop_box
from boxless.runtime.errors import BrokenImageError

_AHEAD = 3
"""Batches that are read while the network works on one."""


class PictureCache:
    """The decoded, resized pictures of a data set by index, in memory up to `memory` GiB; safe to use from threads."""

    def __init__(self, dataset: Dataset, resize: Resize, memory: float) -> None:
        self.dataset, self.resize = dataset, resize
        self.names = [sample.name for sample in dataset.samples]
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
        """The picture of one sample (h, w, 3), or None for one that is broken; what `check_size` raises."""
        sample = self.dataset.samples[index]
        name = sample.name
        if name in self.broken:
            return None
        if (kept := self._kept.get(index)) is not None:
            return kept
        try:
            picture, size = self.resize(self.dataset.source.read(name), name)
        except BrokenImageError as error:
            self.broken[name] = str(error)
            return None
        check_size(sample, size)
        if self._room >= picture.nbytes:  # threads may overshoot by a picture each
            self._room -= picture.nbytes
            self._kept[index] = picture
        return picture


class TrainingBatch(NamedTuple):
    """Images of one step as bytes, and what is learnt of each; shorter by those that were broken."""

    pictures: UInt8[Tensor, "batch size size 3"]
    targets: Shaped[Tensor, "batch ..."]


Draw = Float[np.ndarray, "3"]
Target = Callable[[Sample, tuple[int, ...], int, Draw], Tensor | None]
"""What is learnt of a sample whose picture, of a shape (h, w), is cut to a size as drawn; None: nothing."""
Cut = Callable[[Picture, int, Draw], UInt8[np.ndarray, "size size 3"]]
"""The square of a size that is cut from a picture as drawn."""


def label_target(sample: Sample, shape: tuple[int, ...], size: int, draw: Draw) -> Int[Tensor, ""] | None:
    """The class of the image, however it is cut."""
    return None if sample.label is None else torch.tensor(sample.label)


def box_target(sample: Sample, shape: tuple[int, ...], size: int, draw: Draw) -> Float[Tensor, "4"] | None:
    """The first box of the image, x0 y0 x1 y1 in fractions of the square that is cut out; None if it lies outside."""
    if sample.boxes is None or sample.size is None:
        return None
    cut = crop_box(sample.boxes[0] / np.array(sample.size * 2), shape, size, draw)
    return None if cut is None else torch.from_numpy(cut).float()


class Request(NamedTuple):
    """The images of one step, and how each is cut."""

    indices: Int[np.ndarray, "image"]
    draws: Float[np.ndarray, "image 3"]


def batches(
    pictures: PictureCache,
    requests: Iterable[Request],
    size: int,
    workers: int,
    *,
    fill: bool = False,
    target: Target = label_target,
    cut: Cut = crop,
) -> Iterator[TrainingBatch]:
    """The batch of each request, in order, read by `workers` threads up to three requests ahead.

    `cut` makes the square of an image. Images that are broken or have no target are left out; with `fill` others of the
    batch take their places, so that all batches of several processes are of one length.
    """
    samples = pictures.dataset.samples

    def pair(index: int, draw: Draw) -> tuple[Picture, Tensor] | None:
        picture = pictures.read(index)
        if picture is None or (learnt := target(samples[index], picture.shape[:2], size, draw)) is None:
            return None
        return cut(picture, size, draw), learnt

    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[list[Future[tuple[Picture, Tensor] | None]]] = deque()
        try:
            for request in requests:
                waiting.append([pool.submit(pair, int(i), draw) for i, draw in zip(*request, strict=True)])
                if len(waiting) > _AHEAD:
                    yield _collate(waiting.popleft(), size, fill)
            while waiting:
                yield _collate(waiting.popleft(), size, fill)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _collate(futures: list[Future[tuple[Picture, Tensor] | None]], size: int, fill: bool) -> TrainingBatch:
    cuts = [result for future in futures if (result := future.result()) is not None]
    if fill and cuts:
        cuts += [cuts[place % len(cuts)] for place in range(len(futures) - len(cuts))]
    pictures = np.empty((len(cuts), size, size, 3), np.uint8)
    for place, (square, _) in zip(pictures, cuts, strict=True):
        place[...] = square
    return TrainingBatch(
        torch.from_numpy(pictures), torch.stack([learnt for _, learnt in cuts]) if cuts else torch.empty(0)
    )
