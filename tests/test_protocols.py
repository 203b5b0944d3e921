import cv2
import numpy as np
import pytest
import wsol_reference as reference

from boxless.boxes.from_heatmap import find_boxes
from boxless.evaluation.protocols import PROTOCOLS, protocol_named
from boxless.runtime.errors import UsageError

V1, V2, BOXLESS = PROTOCOLS["wsoleval-v1"], PROTOCOLS["wsoleval-v2"], PROTOCOLS["boxless"]


def cases(images, sides, seed=0):
    """Maps of several kinds, image sizes, and one to three truth boxes of whole numbers."""
    rng = np.random.default_rng(seed)
    for i in range(images):
        side = int(rng.choice(sides))
        heat = rng.standard_normal((side, side)).astype(np.float32)
        if i % 4 == 1:
            heat = np.maximum(heat, 0.0)
        elif i % 4 == 2:
            heat = cv2.GaussianBlur(heat, (0, 0), 1.0)
        elif i % 29 == 3:
            heat[:] = 0.25
        width, height = (int(n) for n in rng.integers(30, 600, 2))
        corners = np.sort(rng.integers(0, [width, height], (int(rng.integers(1, 4)), 2, 2)), axis=1)
        corners[:, 1] += 1
        yield heat, (width, height), corners.reshape(-1, 4).astype(np.float32)


@pytest.mark.parametrize(("protocol", "every"), [(V1, False), (V2, True)])
def test_wsolevaluation_s_thousand_numbers_exactly(protocol, every):
    for heat, size, truth in cases(60, (4, 7, 14)):
        expected = reference.ious(heat, size, truth, protocol.thresholds, every)
        assert np.array_equal(protocol.ious(heat, size, truth, protocol.thresholds), expected.astype(np.float32))


@pytest.mark.parametrize(("protocol", "every"), [(V1, False), (V2, True)])
def test_wsolevaluation_s_numbers_on_a_thousand_maps(protocol, every, monkeypatch):
    # The same at a smaller side, where a thousand maps are quick; every 40th threshold of the thousand.
    from dataclasses import replace

    monkeypatch.setattr(reference, "SIDE", 40)
    small, thresholds = replace(protocol, frame=40), protocol.thresholds[::40]
    for heat, size, truth in cases(1000, (3, 7, 20, 40), seed=1):
        expected = reference.ious(heat, size, truth, thresholds, every)
        assert np.array_equal(small.ious(heat, size, truth, thresholds), expected.astype(np.float32))


def test_wsolevaluation_counts_ten_pixels_as_eleven():
    heat = np.zeros((224, 224), np.float32)
    heat[50:60, 50:60] = 1.0
    eleven = np.array([[50, 50, 60, 60]], np.float32)  # metadata numbers, inclusive: 11 x 11 pixels
    assert V1.ious(heat, (224, 224), eleven, np.array([0.5]))[0] == 1.0
    assert BOXLESS.ious(heat, (224, 224), eleven, np.array([0.5]))[0] == 1.0  # the same numbers, half-open: 10 x 10
    true = np.array([[50, 50, 61, 61]], np.float32)
    assert BOXLESS.ious(heat, (224, 224), true, np.array([0.5]))[0] < 0.9


def test_boxless_scores_the_box_that_prediction_finds():
    for heat, size, truth in cases(40, (4, 9), seed=2):
        box = find_boxes(heat, size, 0.35)[0]
        expected = BOXLESS.box_ious(box, size, truth)[0] if len(box) else 0.0
        assert BOXLESS.ious(heat, size, truth, np.array([0.35]))[0] == np.float32(expected)
        assert np.array_equal(BOXLESS.boxes(heat, size, np.array([0.35])), box if len(box) else np.zeros((1, 4)))


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS.keys())
def test_every_protocol_finds_a_clear_square(protocol):
    heat = np.zeros((90, 120), np.float32)
    heat[30:60, 40:80] = 1.0
    truth = np.array([[160, 120, 320, 240]], np.float32)
    assert protocol.ious(heat, (480, 360), truth, np.array([0.5]))[0] > 0.93
    assert np.abs(protocol.boxes(heat, (480, 360), np.array([0.5]))[0] - truth[0]).max() <= 5
    assert protocol.ious(heat, (480, 360), truth - 150, np.array([0.5]))[0] < 0.1


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS.keys())
def test_a_constant_map_has_no_box_unless_only_its_maximum_is_divided_out(protocol):
    ious = protocol.ious(
        np.full((7, 7), 0.3, np.float32), (64, 48), np.array([[20, 20, 60, 40]], np.float32), np.zeros(1)
    )
    assert (ious[0] > 0.0) == (protocol.normalisation == "max")


def test_psol_cuts_the_truth_to_the_crop_and_cam2016_divides_by_the_maximum_only():
    whole = np.array([[0, 0, 256, 256]], np.float32)
    assert PROTOCOLS["psol"].truth_in(whole, (256, 256)).tolist() == [[0, 0, 224, 224]]
    heat = np.full((5, 5), 0.5, np.float32)
    heat[2, 2] = 1.0
    assert PROTOCOLS["cam2016"].warm(heat, (5, 5)).min() == 0.5
    assert BOXLESS.warm(heat, (5, 5)).min() == 0.0


def test_an_unknown_protocol_is_refused_with_all_names():
    with pytest.raises(UsageError, match=r"wsoleval-v2.*tscam"):
        protocol_named("voc")


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("factor", [1e-100, 1e-12, 1e-7, 1e100])
def test_a_map_times_any_number_scores_the_same(name, factor):
    protocol, truth = PROTOCOLS[name], np.array([[20, 10, 60, 50]], np.float32)
    heat = cv2.GaussianBlur(np.random.default_rng(0).standard_normal((14, 14)), (0, 0), 1.5)
    expected = protocol.ious(heat, (90, 70), truth, protocol.thresholds)
    scaled = protocol.ious(heat * factor, (90, 70), truth, protocol.thresholds)
    assert expected.max() > 0.1
    assert (scaled != expected).mean() < 0.01  # 8-bit levels are cut off, so a last bit can move a pixel


@pytest.mark.parametrize("name", [name for name, one in PROTOCOLS.items() if one.normalisation == "minmax"])
def test_a_constant_map_stays_constant_when_it_is_resized(name):
    for value in (0.1, 0.3, 1e-9, 7e20):
        assert not PROTOCOLS[name].warm(np.full((7, 9), value, np.float32), (90, 70)).any()
