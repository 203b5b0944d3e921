"""find_boxes against the plain way: enlarge the map, compare every pixel with the threshold, let OpenCV label."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from boxless.boxes.from_heatmap import component_boxes, find_boxes, normalise, resize


def enlarged(heat, size):
    """Bilinear enlargement in OpenCV's arithmetic: float32, x before y, one rounding for a product and its sum."""
    for few, many in ((heat.shape[1], size[0]), (heat.shape[0], size[1])):
        at = np.clip((np.arange(many) + 0.5) * (few / many) - 0.5, 0, few - 1)
        before = at.astype(int)
        a, b = heat[:, before], heat[:, np.minimum(before + 1, few - 1)]
        heat = ((b - a).astype(np.float64) * (at - before).astype(np.float32) + a).astype(np.float32).T
    return heat


def plainly(warm, threshold):
    """The boxes, scores and sizes of all components of the enlarged map, largest first."""
    mask = (warm > np.float32(threshold)).astype(np.uint8)
    count, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")
    sums = np.bincount(components.ravel(), warm.ravel().astype(np.float64), count)
    left, top, width, height, area = stats[order].T
    return np.stack([left, top, left + width, top + height], 1), sums[order] / area


def check(heat, size, threshold, warm):
    boxes, scores = component_boxes(normalise(heat), size, threshold)
    expected_boxes, expected_scores = plainly(warm, threshold)
    np.testing.assert_array_equal(boxes, expected_boxes)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
    first, score = find_boxes(heat, size, threshold)
    np.testing.assert_array_equal(first, boxes[:1])
    np.testing.assert_array_equal(score, scores[:1])


@st.composite
def maps(draw, smallest=2):
    height, width = draw(st.integers(smallest, 24)), draw(st.integers(smallest, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    heat = rng.random((height, width), np.float32)
    rows, columns = np.mgrid[:height, :width]
    radius = np.hypot(rows - height / 2, columns - width / 2)
    match draw(st.sampled_from(["noise", "smooth", "ring", "levels", "mask", "one", "flat", "ramp"])):
        case "smooth":
            heat = cv2.GaussianBlur(heat, (0, 0), 2)
        case "ring":
            heat = np.exp(-((radius - min(height, width) / 3) ** 2) / 4).astype(np.float32)
        case "levels":
            heat = np.round(heat * 5) / 5
        case "mask":
            heat = (heat > draw(st.floats(0.1, 0.9))).astype(np.float32)
        case "one":
            heat = np.zeros_like(heat)
            heat[rng.integers(height), rng.integers(width)] = 1
        case "flat":
            heat = np.full_like(heat, 0.3)
        case "ramp":
            heat = (rows * rng.random() + columns * rng.random()).astype(np.float32)
    return heat


SIDES = st.one_of(st.integers(24, 40), st.integers(24, 300))
THRESHOLDS = st.one_of(st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.6]), st.floats(0, 0.99))


@settings(max_examples=300, deadline=None)
@given(maps(), st.tuples(SIDES, SIDES), THRESHOLDS)
def test_boxes_and_scores_are_those_of_the_enlarged_map(heat, size, threshold):
    check(heat, size, threshold, enlarged(normalise(heat), size))


@settings(max_examples=100, deadline=None)
@given(maps(), st.integers(1, 12), st.integers(1, 12), THRESHOLDS)
def test_they_are_for_whole_factors_where_pixels_hit_the_threshold(heat, across, down, threshold):
    size = (heat.shape[1] * across, heat.shape[0] * down)
    check(heat, size, threshold, enlarged(normalise(heat), size))


@settings(max_examples=100, deadline=None)
@given(maps(), st.sampled_from([(3000, 25), (25, 3000), (24, 24), (2999, 31)]), THRESHOLDS)
def test_they_are_for_extreme_shapes(heat, size, threshold):
    check(heat, size, threshold, enlarged(normalise(heat), size))


@settings(max_examples=200, deadline=None)
@given(maps(smallest=1), st.tuples(st.integers(1, 200), st.integers(1, 200)), st.floats(0, 0.99))
def test_they_are_those_of_opencv_s_enlarged_map(heat, size, threshold):
    warm = resize(normalise(heat), size)
    assume((np.abs(warm - threshold) > 1e-6).all())  # there the rounding of this machine's OpenCV decides
    check(heat, size, threshold, warm)


@given(maps(), st.tuples(SIDES, SIDES))
def test_the_oracle_enlarges_as_opencv_does(heat, size):
    np.testing.assert_allclose(enlarged(heat, size), cv2.resize(heat, size), atol=1e-5)


def test_a_snail_and_a_checkerboard_are_one_component_each():
    snail = np.zeros((31, 31), np.float32)
    for ring in range(0, 15, 2):
        snail[ring : 31 - ring, ring : 31 - ring] = 1
        snail[ring + 1 : 30 - ring, ring + 1 : 30 - ring] = 0
        snail[ring + 1, ring + 1] = 1
    board = (np.indices((30, 40)).sum(0) % 2).astype(np.float32)
    for heat in (snail, snail[::-1], snail.T, board):
        size = (heat.shape[1], heat.shape[0])
        check(heat, size, 0.5, heat)
        assert len(component_boxes(heat, size, 0.5)[0]) == 1


@pytest.mark.parametrize("side", [300, 301])
def test_thousands_of_components(side):
    heat = np.random.default_rng(0).random((side, side)).astype(np.float32)
    boxes, _ = component_boxes(normalise(heat), (side, side), 0.9)
    assert len(boxes) > 3000
    check(heat, (side, side), 0.9, normalise(heat))
