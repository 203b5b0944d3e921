import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from boxless.boxes.from_heatmap import find_boxes, normalise, resize

HEATS = arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-5, 5, width=32))
SIZES = st.tuples(st.integers(1, 60), st.integers(1, 60))


@given(HEATS)
def test_minmax_spans_0_to_1_unless_flat(heat):
    scaled = normalise(heat)
    assert scaled.min() == 0 and scaled.max() == (heat.min() < heat.max())


@given(HEATS)
def test_max_keeps_ratios_and_drops_negatives(heat):
    scaled = normalise(heat, "max")
    if heat.max() > 0:
        np.testing.assert_allclose(scaled, np.clip(heat.astype(float), 0, None) / heat.max(), atol=1e-5)
    else:
        assert not scaled.any()


@pytest.mark.parametrize("how", ["minmax", "max"])
@pytest.mark.parametrize("factor", [1e-300, 1e-100, 1e-12, 1e-7, 1e7, 1e100, 1e300])
def test_a_map_times_any_number_has_the_same_boxes_and_scores(how, factor):
    heat = np.random.default_rng(0).standard_normal((9, 9))
    boxes, scores = find_boxes(heat, (90, 70), 0.6, normalisation=how, multiple=True)
    scaled_boxes, scaled_scores = find_boxes(heat * factor, (90, 70), 0.6, normalisation=how, multiple=True)
    np.testing.assert_array_equal(scaled_boxes, boxes)
    np.testing.assert_allclose(scaled_scores, scores, atol=1e-6)


def test_a_range_beyond_the_largest_number_is_a_range():
    largest = np.finfo(np.float64).max
    np.testing.assert_array_equal(normalise(np.array([[-largest, 0, largest]])), [[0, 0.5, 1]])


def test_values_that_are_no_numbers_are_background():
    heat = np.array([[np.nan, 1.0], [0.0, np.inf]], np.float32)
    np.testing.assert_array_equal(normalise(heat), [[0, 1], [0, 0]])


@given(HEATS, SIZES, st.floats(0, 0.99), st.booleans())
def test_boxes_lie_in_the_image_and_are_not_empty(heat, size, threshold, multiple):
    boxes, scores = find_boxes(heat, size, threshold, multiple=multiple)
    assert len(boxes) == len(scores) and (multiple or len(boxes) <= 1)
    if len(boxes):
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= size[0]).all() and (boxes[:, 3] <= size[1]).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        # With --multiple a score also counts how like the others an object's size is, so that it may lie lower.
        assert (scores > (0 if multiple else threshold - 1e-6)).all() and (scores <= 1 + 1e-6).all()


@given(HEATS, SIZES, st.floats(0.01, 0.98))
def test_the_box_is_the_tightest_around_the_largest_component(heat, size, threshold):
    boxes, _ = find_boxes(heat, size, threshold)
    mask = resize(normalise(heat), size) > threshold
    assert bool(len(boxes)) == bool(mask.any())
    if len(boxes):
        _, components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        counts = np.bincount(components[mask])
        rows, columns = np.nonzero(components == np.argmax(counts))
        x0, y0, x1, y1 = boxes[0]
        inside = counts.max() == np.bincount(components[int(y0) : int(y1), int(x0) : int(x1)].ravel()).take(
            np.argmax(counts)
        )
        assert inside
        if (counts == counts.max()).sum() == 1:
            expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_array_equal(boxes[0], expected)


def test_a_square_is_found_exactly_half_open():
    heat = np.zeros((10, 12), np.float32)
    heat[2:5, 3:9] = 1
    boxes, scores = find_boxes(heat, (12, 10), 0.5)
    np.testing.assert_array_equal(boxes, [[3, 2, 9, 5]])
    assert scores[0] == 1


def test_multiple_gives_every_object_largest_first():
    heat = np.zeros((10, 10), np.float32)
    heat[0:2, 0:2] = 1
    heat[5:9, 5:9] = 0.8
    boxes, scores = find_boxes(heat, (10, 10), 0.5, multiple=True)
    np.testing.assert_array_equal(boxes, [[5, 5, 9, 9], [0, 0, 2, 2]])
    assert scores[1] > scores[0]


def test_nothing_is_found_in_a_flat_map():
    boxes, scores = find_boxes(np.full((4, 4), 3.0, np.float32), (40, 30), 0.2)
    assert boxes.shape == (0, 4) and scores.shape == (0,)


@pytest.mark.parametrize("normalisation", ["minmax", "none"])
@pytest.mark.parametrize("multiple", [False, True])
def test_no_box_has_a_lower_score_than_was_asked_for(normalisation, multiple):
    heat = np.zeros((12, 12), np.float32)
    heat[2:6, 2:6] = 0.6
    heat[8:10, 8:10] = 1.0
    how = {"normalisation": normalisation, "multiple": multiple, "min_size": 0.0}
    _, scores = find_boxes(heat, (12, 12), 0.3, **how)
    limit = float(scores[0]) + 0.01
    kept, left = find_boxes(heat, (12, 12), 0.3, min_score=limit, **how)
    assert len(kept) == (scores >= limit).sum() < len(scores) and (left >= limit).all()
