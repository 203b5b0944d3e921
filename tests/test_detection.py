"""A box for each object, scored: pycocotools' numbers, what resampling gives, crowds, controls and counting."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from boxless.boxes.from_heatmap import Readout
from boxless.evaluation.detection import LIMITS, METRICS, match, measure_detections, resampled

SIZE = (100, 80)


def scattered(rng, images, most):
    """Some true boxes for each image, and found ones that are moved, missing, or nothing but wrong."""
    truths, found = [], []
    for _ in range(images):
        corner = rng.uniform(0, 60, (rng.integers(1, most + 1), 2))
        truth = np.concatenate([corner, corner + rng.uniform(5, 20, corner.shape)], axis=1).astype(np.float32)
        moved = truth[rng.random(len(truth)) < 0.8] + rng.normal(0, 1.5, 4).astype(np.float32)
        stray = np.float32([[1, 1, 30, 30]] * int(rng.integers(0, 3))).reshape(-1, 4)
        boxes = np.concatenate([moved, stray]).reshape(-1, 4)
        truths.append(truth)
        found.append((boxes, np.round(rng.random(len(boxes)), 2).astype(np.float32)))  # rounded: scores that tie
    return truths, found


def none(images):
    return [np.zeros((0, 4), np.float32)] * images


def coco_says(truths, found):
    """AP.5, AP.5:.95 and AR as COCOeval sums them up by itself, from the files that it is made for."""
    images = [{"id": i + 1, "width": 100, "height": 80} for i in range(len(truths))]

    def annotation(image, box, **more):
        x0, y0, x1, y1 = map(float, box)
        place = {"image_id": image + 1, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        return place | {"area": (x1 - x0) * (y1 - y0), "iscrowd": 0} | more

    true = [annotation(i, box) for i, boxes in enumerate(truths) for box in boxes]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        annotations = [one | {"id": k + 1} for k, one in enumerate(true)]
        coco.dataset = {"images": images, "categories": [{"id": 1}], "annotations": annotations}
        coco.createIndex()
        results = [
            annotation(i, b, score=float(s)) for i, (bs, ss) in enumerate(found) for b, s in zip(bs, ss, strict=True)
        ]
        judge = COCOeval(coco, coco.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return 100 * judge.stats[[1, 0, 6, 7, 8]]


@pytest.mark.parametrize("most", [3, 150])
def test_the_numbers_are_those_of_cocoeval_and_so_is_an_even_draw(most):
    truths, found = scattered(np.random.default_rng(most), 12, most)
    matches, values = match(found, [SIZE] * 12, truths, none(12))
    np.testing.assert_allclose(values, coco_says(truths, found), atol=1e-9)
    (drawn,) = resampled(matches, np.ones((1, 12), np.int64))
    np.testing.assert_allclose(drawn, values, atol=1e-9)
    np.testing.assert_array_equal(matches.true, [len(boxes) for boxes in truths])


def test_an_image_drawn_twice_is_as_two_images_and_one_not_drawn_as_none():
    truths, found = scattered(np.random.default_rng(1), 6, 4)
    scores = np.random.default_rng(2).permutation(1000).astype(np.float32)  # no two alike: order is not in question
    start = np.cumsum([0, *(len(boxes) for boxes, _ in found)])
    found = [(boxes, scores[a : a + len(boxes)] / 1000) for (boxes, _), a in zip(found, start, strict=False)]
    matches, _ = match(found, [SIZE] * 6, truths, none(6))
    (drawn,) = resampled(matches, np.array([[2, 0, 1, 1, 0, 3]]))
    again = [0, 0, 2, 3, 5, 5, 5]
    _, values = match([found[i] for i in again], [SIZE] * 7, [truths[i] for i in again], none(7))
    np.testing.assert_allclose(drawn, values, atol=1.0)  # copies of a box take turns in the one, not in the other
    np.testing.assert_allclose(drawn[2:], values[2:], atol=1e-9)


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong():
    truth = [np.float32([[0, 0, 20, 20]])]
    found = [(np.float32([[50, 10, 60, 20], [0, 0, 20, 20]]), np.float32([0.9, 0.8]))]
    _, wrong = match(found, [SIZE], truth, none(1))
    matches, ignored = match(found, [SIZE], truth, [np.float32([[40, 0, 90, 40]])])
    assert wrong[0] == pytest.approx(50) and ignored[0] == pytest.approx(100)
    assert [one["precision"] for one in matches.reliability()] == [100.0]


def hills(*places):
    heat = np.zeros((40, 50), np.float32)
    for x, y in places:
        heat[y : y + 8, x : x + 8] = 1
    return heat


def test_controls_stand_beside_and_counting_is_found_minus_true():
    places = [[(2, 2), (30, 20)], [(10, 20), (35, 3)], [(20, 12), (2, 28), (40, 30)]]
    truths = [np.float32([[2 * x, 2 * y, 2 * x + 16, 2 * y + 16] for x, y in image]) for image in places]
    truths[2] = truths[2][:2]
    maps = [hills(*image) for image in places]
    measured = measure_detections([*maps, maps[0]], [SIZE] * 4, [*truths, None], Readout(0.5, "fixed", "max"))
    content = measured.to_dict()
    assert content["images"] == 3 and content["images_without_boxes"] == 1 and content["true_boxes"] == 6
    assert content["counting"] == [0, 0, 1]
    assert set(content["controls"]) == {"whole image", "centred box", "one box", "another image's boxes"}
    headline, one = content["rows"][0], content["controls"]["one box"]
    assert headline["metrics"]["AR100"] == pytest.approx(2 * one["metrics"]["AR100"], rel=0.2)
    assert headline["counting"]["mean"] == pytest.approx(1 / 3)
    assert one["counting"]["mean"] == -1
    assert content["controls"]["whole image"]["metrics"]["AP.5"] == 0
    low, high = headline["intervals"]["AP.5"]
    assert low <= headline["metrics"]["AP.5"] <= high
    assert "7 boxes found, 6 true: +0.3 per image" in measured.in_words()
    assert LIMITS == (1, 10, 100)


def test_nothing_found_is_zero_and_has_no_reliability():
    flat = measure_detections([np.zeros((4, 4))], [SIZE], [np.float32([[0, 0, 9, 9]])], Readout(0.5, "fixed"))
    assert flat.to_dict()["rows"][0]["metrics"]["AP.5"] == 0
    assert flat.reliability == [] and flat.to_dict()["counting"] == [-1]


def test_without_several_boxes_the_one_of_each_image_is_counted():
    two = np.zeros((20, 20), np.float32)
    two[2:8, 2:8], two[12:18, 12:17] = 1, 1
    truths = [np.float32([[10, 10, 40, 40], [60, 60, 85, 90]])]
    one = measure_detections([two], [(100, 100)], truths, Readout(0.5, "fixed"), several={"multiple": False})
    assert one.to_dict()["counting"] == [-1] and "one box" not in one.to_dict()["controls"]
    assert "1 boxes found, 2 true" in one.in_words() and one.what == "one box for each image"
    both = measure_detections([two], [(100, 100)], truths, Readout(0.5, "fixed"), several={"multiple": True})
    assert both.to_dict()["counting"] == [0] and "one box" in both.to_dict()["controls"]


def test_the_terminal_has_an_interval_for_every_number_of_every_row(capsys):
    from rich.console import Console

    from boxless.cli.measurement_tables import print_detections

    heat = np.zeros((20, 20), np.float32)
    heat[4:12, 4:12] = 1
    true = np.float32([[20, 20, 60, 60]])
    measured = measure_detections([heat] * 3, [(100, 100)] * 3, [true] * 3, Readout(0.5, "fixed"))
    print_detections(measured, Console(width=200))
    scores, counts = capsys.readouterr().out.split("lift in AP.5")
    assert scores.count(" 100.0 (100.0-100.0)") == 3 * len(METRICS)  # of the maps, their one box and another image's
    assert scores.count(" 0.0 (0.0-0.0)") == 2 * len(METRICS)  # of the whole image and the centred box
    for name in (row.name for row in measured.rows):
        (line,) = (line for line in counts.splitlines() if line.startswith(name))
        assert line.endswith("+0.0 (+0.0 to +0.0)  0.0 (0.0-0.0)")  # found minus true, and off by
    print_detections(measured, Console(width=80))
    assert "…" not in capsys.readouterr().out  # nothing is cut off


def test_hundreds_of_true_boxes_and_a_map_of_noise_are_matched():
    grid = np.stack(np.meshgrid(np.arange(20), np.arange(20)), -1).reshape(-1, 2).astype(np.float32) * 50
    truth = np.concatenate([grid, grid + 40], 1)
    noise = np.random.default_rng(0).random((300, 300)).astype(np.float32)
    several = {"multiple": True, "min_size": 0.0}
    measured = measure_detections([noise] * 2, [(1000, 1000)] * 2, [truth] * 2, Readout(0.5, "fixed"), several=several)
    content = measured.to_dict()
    assert content["true_boxes"] == 800
    assert all(-400 < error <= 600 for error in content["counting"])  # no more than a thousand boxes in an image
