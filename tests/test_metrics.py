from math import comb

import numpy as np
import pytest
import wsol_reference as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from boxless.evaluation import metrics
from boxless.evaluation.bootstrap import compare, interval
from boxless.evaluation.metrics import IouTable
from boxless.evaluation.protocols import PROTOCOLS


def table(ious, name="boxless"):
    ious = np.asarray(ious, np.float32)
    return IouTable(ious, np.arange(ious.shape[1]) / ious.shape[1], PROTOCOLS[name])


def test_a_hit_reaches_delta_and_strictly_exceeds_it():
    ious = np.array([0.3, 0.5, 0.7, 0.69], np.float32)
    assert metrics.hits(ious, 0.5).tolist() == [False, True, True, True]
    assert metrics.hits(ious, 0.5, strictly=True).tolist() == [False, False, True, True]
    assert metrics.hits(ious, 0.7).tolist() == [False, False, True, False]
    sevenths = np.array([7 / 10, 3 / 10], np.float32)  # float32 of 0.7 is below the float64 0.7
    assert metrics.hits(sevenths, 0.7)[0]
    assert metrics.hits(sevenths, 0.3)[1]


def test_accuracy_over_images_and_over_classes():
    hit = np.array([True, True, True, False])
    labels = np.array([0, 0, 0, 1])
    assert metrics.accuracy(hit) == 75.0
    assert metrics.accuracy(hit, labels) == 50.0
    assert np.isnan(metrics.accuracy(np.zeros(0, bool)))


def test_max_box_accuracy_takes_one_threshold_for_all_images():
    ious = [[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]  # per image, each has a threshold that hits
    assert metrics.max_box_accuracy(table(ious)) == (pytest.approx(200 / 3), 0.5)
    assert metrics.curve(table(ious)).tolist() == pytest.approx([100 / 3, 200 / 3])


def test_v2_lets_every_delta_choose_its_threshold():
    ious = [[0.8, 0.4], [0.2, 0.4]]
    assert metrics.max_box_accuracy_v2(table(ious)) == pytest.approx((100 + 50 + 50) / 3)


def test_the_class_is_known_when_it_is_among_the_first_k():
    labels = np.array([0, 1, 2])
    predictions = np.array([[0, 1], [0, 1], [2, 0]])
    assert metrics.in_top(predictions, labels, 1).tolist() == [True, False, True]
    assert metrics.in_top(predictions, labels, 2).all()


def test_a_strict_hit_exceeds_its_delta():
    hit = metrics.hits(np.array([0.5, 0.6, 0.6], np.float32), 0.5, strictly=True)
    assert metrics.accuracy(hit, np.array([0, 0, 1])) == 75.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_a_hit_at_a_higher_delta_is_a_hit_at_a_lower_one(seed):
    curves = [metrics.curve(table(np.random.default_rng(seed).random((9, 5))), d) for d in (0.3, 0.5, 0.7)]
    assert (curves[0] >= curves[1]).all()
    assert (curves[1] >= curves[2]).all()


def test_pxap_is_wsolevaluation_s():
    rng = np.random.default_rng(0)
    protocol = PROTOCOLS["pxap"]
    heats = [rng.random((7, 7)).astype(np.float32) for _ in range(4)]
    masks = [rng.choice([0, 1, 255], (224, 224), p=[0.6, 0.3, 0.1]).astype(np.uint8) for _ in heats]
    scores = [protocol.warm(heat, (224, 224)) for heat in heats]
    assert all(np.array_equal(score, reference.scoremap(heat)) for score, heat in zip(scores, heats, strict=True))
    pooled = sum(metrics.score_histograms(s, m, protocol.thresholds) for s, m in zip(scores, masks, strict=True))
    assert metrics.pxap(pooled) == pytest.approx(reference.pixel_average_precision(scores, masks, protocol.thresholds))


def test_pxap_of_a_perfect_map_and_of_no_object():
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 2:5] = 1
    thresholds = PROTOCOLS["pxap"].thresholds
    assert metrics.pxap(metrics.score_histograms(mask.astype(float), mask, thresholds)) == pytest.approx(100.0)
    assert np.isnan(metrics.pxap(metrics.score_histograms(mask * 0.5, mask * 0, thresholds)))


def test_the_interval_is_the_plain_bootstrap_s():
    rng = np.random.default_rng(3)
    values = (rng.random(80) < 0.3).astype(float)
    means = [rng.choice(values, values.size).mean() for _ in range(4000)]
    assert interval(values) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.015)
    assert interval(values) == interval(values)
    low, high = interval(np.ones(10))
    assert low == high == 1.0


def test_the_interval_of_a_mean_over_classes_resamples_within_them():
    values, strata = np.array([1.0] * 50 + [0.0] * 2), np.array([0] * 50 + [1] * 2)
    assert interval(values, strata) == (0.5, 0.5)
    assert interval(values)[1] == 1.0


@pytest.mark.parametrize(("wins", "losses"), [(9, 1), (5, 5), (0, 7), (30, 45)])
def test_the_comparison_of_hits_is_mcnemar_s_exact_test(wins, losses):
    a = np.array([1] * wins + [0] * losses + [1] * 20)
    b = np.array([0] * wins + [1] * losses + [1] * 20)
    n = wins + losses
    tail = sum(comb(n, k) for k in range(min(wins, losses) + 1)) / 2**n
    assert compare(a, b).p == pytest.approx(min(1.0, 2 * tail))
    assert compare(a, b).difference == pytest.approx((wins - losses) / (n + 20))
    assert compare(a, a).p == 1.0


def test_the_comparison_of_means_finds_a_difference_and_none():
    rng = np.random.default_rng(0)
    a = rng.choice([0, 100 / 3, 200 / 3, 100], 300)
    better = np.minimum(a + rng.choice([0, 100 / 3], 300, p=[0.7, 0.3]), 100)
    comparison = compare(better, a)
    assert comparison.low > 0
    assert comparison.p < 0.001
    same = compare(a, rng.permutation(a))
    assert same.low < 0 < same.high
    assert same.p > 0.05
