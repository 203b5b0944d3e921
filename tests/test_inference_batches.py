import threading
import time

import numpy as np
import pytest

from boxless.data.folder import read_data
from boxless.data.inference_batches import prefetch, stream
from boxless.data.synthetic import make_scenes
from boxless.runtime.progress import Progress


def test_ahead_is_map_in_order_however_long_each_item_takes():
    def slow(item):
        time.sleep(0.01 * (item % 3))
        return item * item

    assert list(prefetch(slow, range(20), workers=4, window=6)) == [item * item for item in range(20)]


def test_ahead_never_runs_further_ahead_than_its_window():
    begun, lead = 0, []

    def items():
        nonlocal begun
        for item in range(50):
            begun += 1
            yield item

    for done, _ in enumerate(prefetch(lambda item: item, items(), workers=2, window=5)):
        lead.append(begun - done)
    assert max(lead) <= 5 and len(lead) == 50


def test_a_consumer_that_stops_leaves_no_thread_behind():
    before = threading.active_count()
    for item in prefetch(lambda item: item, range(1000), workers=3, window=10):
        if item == 3:
            break
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_an_error_in_a_worker_reaches_the_consumer():
    with pytest.raises(ZeroDivisionError):
        list(prefetch(lambda item: 1 // (3 - item), range(10), workers=2, window=4))


def test_broken_pictures_are_named_and_the_others_come_in_order(tmp_path):
    make_scenes(tmp_path / "data", 11, size=48, test=0)
    folder = tmp_path / "data" / "train" / "beetle"
    (folder / "00004.jpg").write_bytes((folder / "00004.jpg").read_bytes()[:300])
    (folder / "00007.jpg").write_bytes(b"")
    progress = Progress()
    batches = list(stream(read_data(tmp_path / "data", "train"), 32, progress, batch_size=4))
    names = [sample.name for batch in batches for sample in batch.samples]
    assert names == sorted(names) and len(names) == 9
    assert set(progress.broken) == {"train/beetle/00004.jpg", "train/beetle/00007.jpg"}
    assert [batch.pictures.shape for batch in batches] == [(4, 32, 32, 3), (2, 32, 32, 3), (3, 32, 32, 3)]
    assert progress.done == 2  # those that were broken; the others are counted by whoever is done with them
    assert all(size == (48, 48) for batch in batches for size in batch.sizes)
    assert batches[0].pictures.dtype == np.uint8
