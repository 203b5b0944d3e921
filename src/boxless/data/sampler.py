"""Which images make up each batch: plain shuffling, or classes x images so that pairs of one class meet.

Both are functions of (seed, epoch): nothing is carried from one epoch to the next, every process computes the same
plan and takes its own part, and a run can be taken up at any batch.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

Indices = Int[np.ndarray, "_image"]


@runtime_checkable
class Sampler(Protocol):
    """The plan of an epoch; `len` is its number of steps, the same in every epoch and process."""

    def __len__(self) -> int: ...

    def batches(self, epoch: int) -> Iterator[Indices]:
        """The images of this process's batches, in order; each process has as many of them as every other."""
        ...


def make_sampler(
    labels: Sequence[int], batch_size: int, images: int = 1, *, seed: int, rank: int = 0, world: int = 1
) -> Sampler:
    """Plain shuffling, or groups of `images` images of one class where a method compares them."""
    if images == 1:
        return Shuffled(len(labels), batch_size, seed=seed, rank=rank, world=world)
    return Grouped(labels, batch_size, images, seed=seed, rank=rank, world=world)


class Shuffled:
    """Every image once per epoch, in an order drawn from (seed, epoch); the last batch holds what is left.

    With several processes the last batch is cut to a multiple of their number, so that all gradients weigh the same.
    """

    def __init__(self, count: int, batch_size: int, *, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        self.count, self.batch_size, self.seed, self.rank, self.world = count, batch_size, seed, rank, world

    def __len__(self) -> int:
        return _steps(self.count, self.batch_size, self.world)

    def batches(self, epoch: int) -> Iterator[Indices]:
        """The images of this process's batches, in order."""
        order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
        return _dealt(order[:, None], self.batch_size, self.rank, self.world)


class Grouped:
    """Classes x images: `images` of one class always stand together in one batch of one process (I2C: 40 x 2).

    In an epoch every image comes once: each class is shuffled and cut into groups, and the groups are dealt in rounds,
    one of each class that has some left, classes in random order. A class that does not divide fills its last group
    with images of its own once more; a class with one image meets itself, cropped anew.
    """

    def __init__(
        self, labels: Sequence[int], batch_size: int, images: int, *, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.images, self.per_batch = images, max(1, batch_size // images)
        self.seed, self.rank, self.world = seed, rank, world
        known = np.asarray(labels)
        self.members = [np.flatnonzero(known == label) for label in np.unique(known)]
        self.sizes = [-(-len(members) // images) for members in self.members]

    def __len__(self) -> int:
        return _steps(sum(self.sizes), self.per_batch, self.world)

    def batches(self, epoch: int) -> Iterator[Indices]:
        """The images of this process's batches, in order, the members of a group side by side."""
        rng = np.random.default_rng((self.seed, epoch))
        # np.resize repeats a shuffled class from its start until the last group is full.
        pairs = zip(self.members, self.sizes, strict=True)
        groups = [np.resize(rng.permutation(members), (size, self.images)) for members, size in pairs]
        turns = (rng.permutation(len(groups)) for _ in range(max(self.sizes)))
        order = [
            groups[index][turn] for turn, classes in enumerate(turns) for index in classes if turn < self.sizes[index]
        ]
        return _dealt(np.stack(order), self.per_batch, self.rank, self.world)


def _dealt(groups: Int[np.ndarray, "group images"], per_batch: int, rank: int, world: int) -> Iterator[Indices]:
    """Cut the plan into steps of `per_batch` groups for each process, and yield this process's part of each."""
    for start in range(0, len(groups), per_batch * world):
        step = groups[start : start + per_batch * world]
        share = len(step) // world
        if share:
            yield step[rank * share : (rank + 1) * share].reshape(-1)


def _steps(groups: int, per_batch: int, world: int) -> int:
    whole, left = divmod(groups, per_batch * world)
    return whole + (left >= world)
