import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxless.discovery.spectral_residual import saliency
from boxless.evaluation import baselines
from boxless.evaluation.protocols import PROTOCOLS


def test_the_centred_box_of_the_whole_image_is_the_image():
    assert baselines.centred_box((40, 30), (1.0, 1.0)).tolist() == [[0, 0, 40, 30]]
    assert baselines.centred_box((40, 30), (0.5, 1.0)).tolist() == [[10, 0, 30, 30]]


def test_the_fitted_centred_box_is_the_truth_s_where_all_agree():
    sizes = [(100, 80), (50, 60), (200, 200)]
    truths = [baselines.centred_box(size, (0.7, 0.45)) for size in sizes]
    assert baselines.fit_centred_box(sizes, truths) == pytest.approx((0.7, 0.45), abs=0.051)
    across, down = baselines.fit_centred_box(sizes, truths)
    for size, truth in zip(sizes, truths, strict=True):
        found = baselines.centred_box(size, (across, down))
        assert PROTOCOLS["boxless"].box_ious(found, size, truth)[0] > 0.7


def test_fitting_beats_every_other_share_on_the_images_it_saw():
    rng = np.random.default_rng(0)
    sizes = [(100, 100)] * 30
    corners = np.sort(rng.integers(0, 100, (30, 2, 2)), axis=1).reshape(30, 1, 4).astype(np.float32)
    corners[..., 2:] += 1
    truths = list(corners)

    def mean_accuracy(share):
        ious = [
            PROTOCOLS["boxless"].box_ious(baselines.centred_box((100, 100), share), (100, 100), t)[0] for t in truths
        ]
        return np.mean([[iou >= np.float32(delta) for delta in (0.3, 0.5, 0.7)] for iou in ious])

    best = mean_accuracy(baselines.fit_centred_box(sizes, truths))
    assert all(best >= mean_accuracy((w, h)) for w in (0.2, 0.5, 0.65, 0.8, 1.0) for h in (0.3, 0.5, 0.7, 1.0))


@given(st.integers(2, 200), st.integers(0, 100))
def test_a_derangement_uses_every_map_once_and_none_on_its_own_image(images, seed):
    order = baselines.derangement(images, seed)
    assert sorted(order) == list(range(images))
    assert (order != np.arange(images)).all()
    assert np.array_equal(order, baselines.derangement(images, seed))


def test_saliency_finds_the_odd_spot_and_prefers_the_centre():
    rng = np.random.default_rng(0)
    picture = np.full((120, 160, 3), 90, np.uint8)
    picture[70:90, 90:115] = rng.integers(0, 255, (20, 25, 3))
    y, x = np.unravel_index(np.argmax(saliency(picture)), (64, 64))
    assert abs(x / 64 - 102 / 160) < 0.15
    assert abs(y / 64 - 80 / 120) < 0.15
    assert np.isfinite(saliency(np.zeros((5, 7, 3), np.uint8))).all()
