from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from boxless.data.sampler import Grouped, Shuffled, make_sampler

labels_of = st.lists(st.integers(0, 6), min_size=1, max_size=60)


@given(st.integers(1, 50), st.integers(1, 16), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_shuffled_shows_every_image_once(count: int, batch: int, world: int, epoch: int) -> None:
    plans = [list(Shuffled(count, batch, rank=rank, world=world).batches(epoch)) for rank in range(world)]
    assert {len(plan) for plan in plans} == {len(Shuffled(count, batch, world=world))}
    for parts in zip(*plans, strict=True):
        assert len({len(part) for part in parts}) == 1
    seen = [int(i) for plan in plans for part in plan for i in part]
    assert len(seen) == len(set(seen))
    assert count - len(seen) < world


@given(labels_of, st.integers(2, 12), st.integers(2, 3), st.integers(1, 3), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_groups_are_of_one_class_and_stay_in_one_process(
    labels: list[int], batch: int, images: int, world: int, epoch: int
) -> None:
    samplers = [Grouped(labels, batch, images, seed=1, rank=rank, world=world) for rank in range(world)]
    plans = [list(sampler.batches(epoch)) for sampler in samplers]
    assert {len(plan) for plan in plans} == {len(samplers[0])}
    for plan in plans:
        for part in plan:
            assert len(part) % images == 0
            assert len(part) <= max(images, batch)
            for group in part.reshape(-1, images):
                assert len({labels[i] for i in group}) == 1
    for parts in zip(*plans, strict=True):
        assert len({len(part) for part in parts}) == 1


@given(labels_of, st.integers(2, 12), st.integers(2, 3))
@settings(max_examples=80, deadline=None)
def test_groups_show_every_image_and_few_of_them_twice(labels: list[int], batch: int, images: int) -> None:
    seen = Counter(int(i) for part in Grouped(labels, batch, images).batches(0) for i in part)
    assert set(seen) == set(range(len(labels)))
    sizes = Counter(labels)
    for index, times in seen.items():
        size = sizes[labels[index]]
        assert times == 1 or times <= -(-images // size) + 1
    spare = sum(seen.values()) - len(labels)
    assert spare == sum(-size % images for size in sizes.values())


def test_an_image_alone_in_its_class_meets_itself() -> None:
    batches = list(Grouped([0, 0, 1], 4, 2).batches(0))
    assert sorted(np.concatenate(batches).tolist()) == [0, 1, 2, 2]


def test_a_batch_holds_different_classes_where_it_can() -> None:
    labels = np.repeat(np.arange(40), 6)
    first, *_ = Grouped(labels.tolist(), 80, 2).batches(0)
    assert len(first) == 80
    assert Counter(labels[first].tolist()) == dict.fromkeys(range(40), 2)


def test_the_plan_depends_on_seed_and_epoch_alone() -> None:
    for sampler, other in ((Shuffled(9, 4), Shuffled(9, 4, seed=1)), (make([0] * 9), make([0] * 9, seed=1))):
        first = np.concatenate(list(sampler.batches(0)))
        list(sampler.batches(1))
        assert np.array_equal(first, np.concatenate(list(sampler.batches(0))))
        assert not np.array_equal(first, np.concatenate(list(sampler.batches(1))))
        assert not np.array_equal(first, np.concatenate(list(other.batches(0))))


def make(labels: list[int], seed: int = 0) -> Grouped:
    return Grouped(labels, 4, 2, seed=seed)


def test_two_processes_together_take_what_one_takes() -> None:
    """The global batch is the same set of groups, so that two processes can give what one gives."""
    labels = [0, 0, 1, 1, 2, 2, 3, 3] * 3
    whole = list(Grouped(labels, 8, 2).batches(2))
    halves = [list(Grouped(labels, 4, 2, rank=rank, world=2).batches(2)) for rank in range(2)]
    for step, parts in zip(whole, zip(*halves, strict=True), strict=True):
        assert np.array_equal(step, np.concatenate(parts))


def test_plain_methods_get_plain_shuffling() -> None:
    assert isinstance(make_sampler([0, 1], 2, 1, seed=0), Shuffled)
    assert isinstance(make_sampler([0, 1], 2, 2, seed=0), Grouped)
