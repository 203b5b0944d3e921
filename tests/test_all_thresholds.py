import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxless.boxes.all_thresholds import best_ious, largest_boxes, to_levels
from boxless.boxes.from_heatmap import find_boxes, normalise, resize
from boxless.boxes.iou import box_ious

KINDS = ("random", "smooth", "flat", "rings", "noisy", "constant", "one pixel", "stripes")


def level_image(kind, height, width, count, seed):
    """A level image of the kind, values 0..count."""
    rng = np.random.default_rng(seed)
    if kind == "random":
        return rng.integers(0, count + 1, (height, width)).astype(np.uint16)
    if kind == "one pixel":
        image = np.zeros((height, width), np.uint16)
        image[rng.integers(height), rng.integers(width)] = count
        return image
    if kind == "constant":
        return np.full((height, width), rng.integers(count + 1), np.uint16)
    if kind == "flat":
        return ((rng.random((height, width)) < rng.random()) * count).astype(np.uint16)
    if kind == "rings":
        image = np.zeros((height, width), np.uint8)
        for _ in range(5):
            centre = int(rng.integers(width)), int(rng.integers(height))
            cv2.circle(image, centre, int(rng.integers(1, 9)), int(rng.integers(count + 1)), 1)
        return image.astype(np.uint16)
    if kind == "stripes":
        image = np.zeros((height, width), np.uint8)
        for _ in range(6):
            ends = rng.integers(0, [width, height], (2, 2)).tolist()
            cv2.line(image, ends[0], ends[1], int(rng.integers(count + 1)), 1)
        return image.astype(np.uint16)
    heat = cv2.resize(rng.random((4, 4)), (width, height), interpolation=cv2.INTER_CUBIC)
    heat += 0.2 * rng.standard_normal((height, width)) if kind == "noisy" else 0.0
    return np.clip(heat * (count + 1), 0, count).astype(np.uint16)


@st.composite
def images(draw):
    height, width, count = draw(st.integers(1, 28)), draw(st.integers(1, 28)), draw(st.integers(1, 12))
    return level_image(draw(st.sampled_from(KINDS)), height, width, count, draw(st.integers(0, 10**6))), count


truths = st.lists(
    st.tuples(st.integers(0, 27), st.integers(0, 27), st.integers(1, 28), st.integers(1, 28)), min_size=1, max_size=3
).map(lambda rows: np.array([[x, y, x + w, y + h] for x, y, w, h in rows], np.float64))


def components(mask):
    """Boxes and pixel counts of the 8-connected components, in OpenCV's order."""
    stats = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:]
    return np.stack([stats[:, 0], stats[:, 1], stats[:, 0] + stats[:, 2], stats[:, 1] + stats[:, 3]], 1), stats[:, 4]


def contour_boxes(mask, only_largest):
    contours = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    if only_largest and contours:
        contours = [max(contours, key=cv2.contourArea)]
    return np.array([[x, y, x + w, y + h] for x, y, w, h in map(cv2.boundingRect, contours)], int).reshape(-1, 4)


def plain_iou(boxes, truth, width, height, edge):
    best = 0.0
    for x0, y0, x1, y1 in boxes if len(boxes) else [(0, 0, 0, 0)]:
        x1, y1 = min(x1 + edge, width), min(y1 + edge, height)
        for a0, b0, a1, b1 in truth:
            shared = max(0, min(x1, a1) - max(x0, a0)) * max(0, min(y1, b1) - max(y0, b0))
            union = (x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - shared
            best = max(best, shared / union if union > 0 else 0.0)
    return best


@pytest.mark.parametrize("turned", [False, True])
def test_pictures_longer_than_sixteen_bits_count(turned):
    """A strip with an object at its far end; coordinates of pixels are packed into one number."""
    levels, box = np.zeros((70_000, 3), np.uint8), [1, 69_000, 3, 69_900]
    levels[69_000:69_900, 1:3] = 2
    if turned:
        levels, box = np.ascontiguousarray(levels.T), [box[1], box[0], box[3], box[2]]
    for holes in (False, True):
        assert best_ious(levels, 2, np.array([box], float), holes=holes).tolist() == [1, 1]
    for rule in ("pixels", "box", "contour"):
        assert largest_boxes(levels, 2, rule).tolist() == [box, box]


@settings(max_examples=250, deadline=None)
@given(images())
def test_the_largest_component_is_the_plain_method_s_at_every_level(given_image):
    image, count = given_image
    by_pixels, by_box = largest_boxes(image, count, "pixels"), largest_boxes(image, count, "box")
    for level in range(count):
        boxes, pixels = components((image > level).astype(np.uint8))
        if not len(boxes):
            boxes, pixels = np.zeros((1, 4), int), np.ones(1)
        assert by_pixels[level].tolist() == boxes[np.argmax(pixels)].tolist()
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        assert by_box[level].tolist() == boxes[np.argmax(areas)].tolist()


@settings(max_examples=250, deadline=None)
@given(images())
def test_the_largest_contour_is_cv2_s_at_every_level_holes_and_ties_included(given_image):
    image, count = given_image
    found = largest_boxes(image, count, "contour")
    for level in range(count):
        boxes = contour_boxes((image > level).astype(np.uint8), only_largest=True)
        assert found[level].tolist() == (boxes[0].tolist() if len(boxes) else [0, 0, 0, 0])


@settings(max_examples=250, deadline=None)
@given(images(), truths)
def test_the_best_of_all_components_is_the_plain_method_s_at_every_level(given_image, truth):
    image, count = given_image
    height, width = image.shape
    plain, with_holes = best_ious(image, count, truth), best_ious(image, count, truth, holes=True, edge=1)
    for level in range(count):
        mask = (image > level).astype(np.uint8)
        assert plain[level] == plain_iou(components(mask)[0], truth, width, height, 0)
        assert with_holes[level] == plain_iou(contour_boxes(mask, False), truth, width, height, 1)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.lists(st.floats(0, 1), min_size=1, max_size=30, unique=True))
def test_levels_of_a_float_map_are_exact(seed, side, thresholds):
    thresholds = np.unique(np.array(thresholds, np.float32))
    heat = np.random.default_rng(seed).random((side, side)).astype(np.float32)
    heat.ravel()[: thresholds.size] = thresholds[: heat.size]  # values that equal a threshold do not exceed it
    levels = to_levels(heat, thresholds)
    assert np.array_equal(levels, np.searchsorted(thresholds, heat, side="left"))


@pytest.mark.parametrize("size", [(224, 224), (97, 61), (1, 1), (33, 1)])
def test_a_column_of_the_table_is_what_prediction_finds_at_that_threshold(size):
    rng = np.random.default_rng(1)
    thresholds = np.arange(0, 1, 0.05)
    for _ in range(10):
        heat = rng.standard_normal((7, 9)).astype(np.float32)
        warm = resize(normalise(heat), size)
        found = largest_boxes(to_levels(warm, thresholds.astype(np.float32)), thresholds.size)
        for threshold, box in zip(thresholds, found, strict=True):
            plain = find_boxes(heat, size, float(threshold))[0]
            assert box.tolist() == (plain[0].tolist() if len(plain) else [0, 0, 0, 0])


def test_the_hole_of_a_ring_is_a_candidate_by_its_enclosing_pixels():
    image = np.zeros((100, 100), np.uint16)
    image[20:80, 20:80] = 1
    image[40:60, 40:60] = 0
    hole = np.array([[39, 39, 61, 61]], np.float64)
    assert best_ious(image, 1, hole, holes=True)[0] == 1.0
    assert best_ious(image, 1, hole)[0] < 0.2
    assert largest_boxes(image, 1, "contour").tolist() == [[20, 20, 80, 80]]


def test_iou_is_symmetric_and_within_bounds():
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, 20, (60, 2, 2)), axis=1).reshape(-1, 4).astype(np.float64)
    table = np.array([box_ious(corners, row[None], 0, (20, 20)) for row in corners])
    assert np.array_equal(table, table.T)
    assert table.min() >= 0.0
    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    assert np.array_equal(np.diag(table), (area > 0).astype(float))
    assert (table <= 1.0).all()
