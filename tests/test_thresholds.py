import cv2
import numpy as np
import pytest

from boxless.evaluation import thresholds
from boxless.evaluation.metrics import IouTable, iou_table, ious_at
from boxless.evaluation.protocols import PROTOCOLS

BOXLESS = PROTOCOLS["boxless"]


def squares(images, level, seed=0):
    """Maps of an object at 1 inside a halo at `level`, larger by half; the truth is the object."""
    rng = np.random.default_rng(seed)
    maps, sizes, truths = [], [], []
    for _ in range(images):
        x, y = rng.integers(10, 30, 2)
        heat = np.zeros((80, 100), np.float32)
        heat[y - 8 : y + 38, x - 8 : x + 38] = level
        heat[y : y + 30, x : x + 30] = 1.0
        maps.append(heat)
        sizes.append((100, 80))
        truths.append(np.array([[x, y, x + 30, y + 30]], np.float32))
    return maps, sizes, truths


def test_the_transferred_threshold_is_the_best_of_the_other_images():
    readout = thresholds.transferred(*squares(12, level=0.6), BOXLESS)
    assert 0.6 <= readout.threshold < 1.0
    assert readout.origin == "transferred from 12 other images"
    halo = iou_table(*squares(5, level=0.3, seed=1), BOXLESS)
    assert (halo.at(readout.threshold) == 1.0).all()


def test_among_equal_thresholds_the_middle_one_is_taken():
    ious = np.zeros((1, 10), np.float32)
    ious[0, 3:8] = 0.9
    assert thresholds.best_threshold(IouTable(ious, np.arange(10) / 10, BOXLESS)) == 0.5


def test_the_oracle_chooses_for_every_delta():
    ious = np.array([[0.8, 0.4, 0.0], [0.2, 0.4, 0.6]], np.float32)
    assert thresholds.oracle(IouTable(ious, np.array([0.0, 0.3, 0.6]), BOXLESS)) == (0.3, 0.0, 0.0)


def test_area_matched_boxes_cover_what_is_asked():
    table = iou_table(*squares(6, level=0.6), BOXLESS, covered=True)
    covered = 30 * 30 / 8000
    assert thresholds.area_matched(table, covered).threshold >= 0.6
    assert thresholds.area_matched(table, 46 * 46 / 8000).threshold < 0.6


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_one_pass_finds_is_what_each_finds_alone(name):
    protocol, rng = PROTOCOLS[name], np.random.default_rng(0)
    size, truth = (61, 43), np.array([[5, 6, 40, 30], [20, 3, 60, 25]], np.float32)
    grid = np.unique([*protocol.thresholds, 0.123])
    for heat in (rng.random((7, 9)), cv2.GaussianBlur(rng.random((20, 20)), (0, 0), 3), np.ones((5, 5))):
        ious, covered = protocol.ious_and_covered(heat.astype(np.float32), size, truth, grid)
        assert np.array_equal(ious, protocol.ious(heat.astype(np.float32), size, truth, grid))
        assert np.array_equal(covered, protocol.covered(heat.astype(np.float32), size, grid))
        (alone,) = ious_at(0.123, [heat.astype(np.float32)], [size], [truth], protocol)
        assert alone == ious[np.flatnonzero(grid == 0.123)[0]]


@pytest.mark.parametrize("seed", range(5))
def test_otsu_is_cv2_s_on_eight_bit_maps(seed):
    rng = np.random.default_rng(seed)
    grey = np.concatenate([rng.normal(60, 15, 600), rng.normal(170, 25, 400)]).clip(0, 255).astype(np.uint8)
    grey[:2] = 0, 255
    level, mask = cv2.threshold(grey.reshape(20, 50), 0, 255, cv2.THRESH_OTSU)
    ours = thresholds.otsu((grey.reshape(20, 50) / np.float32(255)).astype(np.float32))
    assert np.array_equal(grey.reshape(20, 50) / 255 > ours, mask > 0), level


def test_label_free_needs_no_box_and_survives_constant_maps():
    maps = squares(6, level=0.1)[0]
    assert 0.1 < thresholds.label_free(maps).threshold < 1.0
    assert thresholds.otsu(np.full((4, 4), 0.7, np.float32)) == 0.5
