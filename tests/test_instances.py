import numpy as np
import pytest

from boxless.boxes import SADDLE
from boxless.boxes.from_heatmap import find_boxes
from boxless.boxes.instances import GRID, _falling
from boxless.runtime.errors import UsageError

SIDE = 60


def bumps(*places: tuple[float, float, float, float]) -> np.ndarray:
    """The highest of some Gaussians (x, y, sigma, height) at every place."""
    y, x = np.mgrid[:SIDE, :SIDE]
    each = [top * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy, sigma, top in places]
    return np.max(each, axis=0).astype(np.float32)


def boxes_of(heat: np.ndarray, threshold: float = 0.3, **options: float) -> np.ndarray:
    return find_boxes(heat, (SIDE, SIDE), threshold, normalisation="max", multiple=True, **options)[0]


def centres(boxes: np.ndarray) -> list[list[int]]:
    return sorted(np.rint((boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5).astype(int).tolist())


@pytest.mark.parametrize("steps", [1, 4, 2**20])
def test_places_fall_as_a_stable_sort_has_them(steps):
    heat = np.rint(np.random.default_rng(steps).random((31, 17)) * steps).astype(np.float32) / np.float32(steps)
    heat[3] = -0.0
    stable = np.argsort(-heat, axis=None, kind="stable")[: np.count_nonzero(heat)]
    np.testing.assert_array_equal(_falling(heat), stable)


def test_objects_that_touch_get_a_box_each():
    heat = bumps((20, 30, 6, 1), (38, 30, 6, 0.8))
    assert len(find_boxes(heat, (SIDE, SIDE), 0.3)[0]) == 1
    boxes = boxes_of(heat)
    assert len(boxes) == 2
    assert boxes[0, 2] <= boxes[1, 0] or boxes[1, 2] <= boxes[0, 0]


def test_a_dent_is_no_gap():
    assert len(boxes_of(bumps((27, 30, 6, 1), (33, 30, 6, 0.9)))) == 1


def test_an_object_that_the_threshold_tears_is_one():
    heat = np.maximum(bumps((20, 30, 6, 0.55), (34, 30, 6, 0.55)), bumps((50, 55, 2, 1)))
    heat[30, 20:35] = np.maximum(heat[30, 20:35], 0.49)
    assert len(find_boxes(heat, (SIDE, SIDE), 0.5, normalisation="max")[0]) == 1
    (large, _) = boxes_of(heat, 0.5, min_size=0.0)
    assert large[0] < 20 and large[2] > 34


@pytest.mark.parametrize("top", [1.0, 0.8])
def test_each_object_is_cut_at_a_part_of_its_own_height(top):
    (_, box) = boxes_of(bumps((12, 12, 6, 1), (42, 42, 5, top)), 0.3)
    radius = 5 * np.sqrt(-2 * np.log(0.3 * (1 + SADDLE * 0.7)))
    np.testing.assert_allclose(box, [42 - radius, 42 - radius, 43 + radius, 43 + radius], atol=1)


def test_the_largest_is_first_and_sizes_are_per_cent_of_the_image():
    heat = bumps((12, 12, 2, 1), (40, 40, 7, 0.9))
    assert centres(boxes_of(heat)) == [[12, 12], [40, 40]]
    assert centres(boxes_of(heat)[:1]) == [[40, 40]]
    assert centres(boxes_of(heat, min_size=3)) == [[40, 40]]
    assert centres(boxes_of(heat, max_size=3)) == [[12, 12]]
    assert not len(boxes_of(heat, min_size=0.0, max_size=0.1))


def test_of_boxes_that_overlap_the_better_stays():
    # A ring around a hill: two objects, one box inside the other.
    y, x = np.mgrid[:SIDE, :SIDE]
    radius = np.hypot(x - 30, y - 30)
    heat = np.maximum(np.exp(-((radius / 12) ** 4)), 0.8 * np.exp(-(((radius - 22) / 2) ** 2)))
    heat = np.where((radius > 15) & (radius < 18), 0.0, heat)
    assert len(boxes_of(heat, overlap=0.9)) == 2
    assert centres(boxes_of(heat, overlap=0.1)) == [[30, 30]]


@pytest.mark.parametrize("size", [(4032, 3024), (60, 3000), (1, 1), (5, 7)])
def test_noise_and_any_shape_give_few_boxes_in_the_image(size):
    noise = np.random.default_rng(0).random((300, 300))
    boxes, scores = find_boxes(noise, size, 0.3, multiple=True, min_size=0.0)
    assert 1 <= len(boxes) == len(scores) <= GRID**2 / 4
    assert (boxes >= 0).all() and (boxes[:, 2:] <= size).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    assert (scores > 0).all() and (scores <= 1).all()


@pytest.mark.parametrize(
    "options",
    [{"overlap": 1.5}, {"overlap": -1}, {"min_size": 30, "max_size": 20}, {"max_size": 101}, {"min_score": 2}],
)
def test_what_cannot_be_is_said(options):
    with pytest.raises(UsageError, match="Expected"):
        boxes_of(bumps((30, 30, 5, 1)), **options)


@pytest.mark.parametrize("normalisation", ["minmax", "max", "none"])
def test_maps_of_every_normalisation_are_split_and_obey_the_limits(normalisation):
    heat = np.maximum(bumps((16, 30, 6, 1), (34, 30, 6, 1)), bumps((52, 52, 2, 0.9)))
    found = {"normalisation": normalisation, "multiple": True}
    assert len(find_boxes(heat, (SIDE, SIDE), 0.3, **found)[0]) == 3
    assert len(find_boxes(heat, (SIDE, SIDE), 0.3, min_size=3, **found)[0]) == 2
    assert len(find_boxes(heat, (SIDE, SIDE), 0.3, max_size=3, **found)[0]) == 1


def test_a_method_that_knows_one_object_keeps_its_box():
    heat = bumps((20, 30, 6, 1), (38, 30, 6, 0.8))
    how = {"normalisation": "none", "saddle": 1}
    several = find_boxes(heat, (SIDE, SIDE), 0.3, multiple=True, **how)
    for mine, theirs in zip(find_boxes(heat, (SIDE, SIDE), 0.3, **how), several, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_what_is_faint_beside_the_best_is_left_out_where_a_method_asks():
    heat = bumps((14, 14, 5, 1), (44, 44, 5, 0.5))
    assert len(boxes_of(heat)) == 2
    assert centres(boxes_of(heat, faint=0.7)) == [[14, 14]]


def test_the_command_line_hands_them_on(tmp_path, capsys):
    from boxless.cli import app
    from boxless.data.synthetic import make_scenes

    make_scenes(tmp_path / "scenes", 4, size=96, test=0, objects=4)
    counts = []
    for name, flags in (("all", ["--min-size", "0"]), ("large", ["--min-size", "30"])):
        out, method = tmp_path / name, ["--method", "contrast", "--format", "csv", "--multiple"]
        with pytest.raises(SystemExit, match="0"):
            app.meta(["find", str(tmp_path / "scenes"), "--out", str(out), *method, *flags])
        counts.append(len((out / "boxes.csv").read_text().splitlines()))
    assert counts[0] > counts[1]
    with pytest.raises(SystemExit, match="2"):
        app.meta(["find", str(tmp_path / "scenes"), "--out", str(tmp_path / "no"), *method, "--overlap", "2"])
    assert "IoU" in capsys.readouterr().err


def test_what_is_unlike_the_others_in_size_scores_less_and_min_score_cuts_it():
    places = [(12, 12), (12, 36), (36, 12)]
    heat = bumps(*[(x, y, 4, 1) for x, y in places], (45, 45, 1.2, 1))
    boxes, scores = find_boxes(heat, (SIDE, SIDE), 0.3, normalisation="max", multiple=True, min_size=0.0)
    assert len(boxes) == 4 and scores[3] < 0.8 * scores[:3].min()
    kept, left = find_boxes(
        heat, (SIDE, SIDE), 0.3, normalisation="max", multiple=True, min_size=0.0, min_score=float(scores[:3].min())
    )
    np.testing.assert_array_equal(kept, boxes[:3])
    np.testing.assert_array_equal(left, scores[:3])


def test_a_map_of_noise_has_boxes_of_a_pixel_only_where_they_are_wanted():
    noise = np.random.default_rng(0).random((GRID, GRID)).astype(np.float32)
    many, _ = find_boxes(noise, (4000, 3000), 0.5, multiple=True, min_size=0.0)
    assert 100 < len(many) < GRID**2 / 4
    assert (many[:, 2:] > many[:, :2]).all()
    assert len(find_boxes(noise, (4000, 3000), 0.5, multiple=True)[0]) < len(many) / 2
