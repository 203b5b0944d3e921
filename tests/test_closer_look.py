"""A closer look at what was found: which parts, what becomes of the map, what is said, and where it is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from boxless.backbones import build_backbone
from boxless.boxes.from_heatmap import Readout, boxes_at
from boxless.boxes.iou import box_ious
from boxless.cli import app
from boxless.data.folder import read_data
from boxless.discovery import DISCOVERERS, Discoverer, auto, discoverer_class
from boxless.discovery.auto import Auto
from boxless.inference.closer_look import CLOSER, LEAST, part_around, put_in
from boxless.inference.discovery_predictor import DiscoveryPredictor
from boxless.inference.factory import discoverer, untrained
from boxless.inference.predict_folder import predict_folder
from boxless.inference.predictors import InferenceOptions
from boxless.runtime.progress import Progress

SIDE, LARGE, COUNT = 32, 400, 3
"""Of the square of the first look, of the photographs, and how many there are."""


class Bright(Discoverer):
    """A method that finds what is bright, a place every 4 pixels of its square."""

    size, stride, reads_parts = SIDE, 4, True
    readout = Readout(0.5, "fixed", "max")

    def __init__(self, *, reads_parts=True):
        self.reads_parts = reads_parts

    def reset(self):
        pass

    def descriptors(self, images):
        return torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), self.stride)

    def partial_fit(self, descriptors):
        pass

    def fit_done(self):
        pass

    def heatmap(self, descriptors):
        return descriptors[:, 0]


def predictor(method, *, closer=True):
    how = InferenceOptions(batch_size=2)
    return DiscoveryPredictor(method, "bright", size=SIDE, how=how, closer=closer)


def squares(folder, side=LARGE):
    """Black photographs with a white square each, and where it is."""
    boxes = {}
    for number in range(COUNT):
        x, y, across = (round(side * share) for share in (0.13 + 0.2 * number, 0.47 - 0.1 * number, 0.17))
        picture = np.zeros((side, side, 3), np.uint8)
        picture[y : y + across, x : x + across] = 255
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number}.png")
        boxes[f"{number}.png"] = np.array([[x, y, x + across, y + across]], np.float32)
    return read_data(folder, "all"), boxes


def ious(maps, boxes):
    """Of the found box of each map with the true one."""
    found = [boxes_at(Bright.readout, one.heat, one.size)[0][:1] for one in maps]
    true = [boxes[one.sample.name] for one in maps]
    return np.array([box_ious(*pair, 0, (LARGE, LARGE)).item() for pair in zip(found, true, strict=True)])


def test_boxes_are_tighter_and_every_image_counts_twice(tmp_path):
    photos, boxes = squares(tmp_path / "photos")
    progress = Progress()
    progress.expect(COUNT)
    first = ious(list(predictor(Bright(), closer=False).maps(photos, Progress())), boxes)
    closer = list(predictor(Bright()).maps(photos, progress))
    found = ious(closer, boxes)
    assert (found > first).all() and found.mean() > first.mean() + 0.1 and found.min() > 0.85
    assert progress.done == progress.total == 2 * COUNT
    assert all("more than 32 pixels" in one.notes.closer for one in closer)


def test_photographs_without_more_pixels_keep_their_maps(tmp_path):
    photos, _ = squares(tmp_path / "photos", SIDE)
    before, after = (predictor(Bright(), closer=closer).maps(photos, Progress()) for closer in (False, True))
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.heat, other.heat)


def test_a_method_that_does_not_read_parts_looks_once_and_says_so(tmp_path):
    photos, _ = squares(tmp_path / "photos")
    found = predictor(Bright(reads_parts=False))
    progress = Progress()
    progress.expect(COUNT)
    maps = list(found.maps(photos, progress))
    assert {one.heat.shape for one in maps} == {(SIDE // 4, SIDE // 4)} and progress.done == progress.total == COUNT
    summary = predict_folder(found, photos, tmp_path / "out", Progress(), format="csv")
    assert "object: not looked at closer: that is for categories in which ddt's maps are taken." in summary.words()


def test_an_image_that_is_gone_by_then_keeps_its_first_map(tmp_path):
    photos, _ = squares(tmp_path / "photos")

    class Slow(Bright):
        def fit_done(self):
            (tmp_path / "photos" / "1.png").write_bytes(b"")

    maps = list(predictor(Slow()).maps(photos, Progress()))
    assert [one.heat.shape == (SIDE // 4, SIDE // 4) for one in maps] == [False, True, False]


def test_a_search_with_a_closer_look_is_another_one():
    with_it, without = (predictor(Bright(), closer=closer).identity() for closer in (True, False))
    assert with_it == without | {"closer": True}


def test_the_control_looks_as_closely(tmp_path):
    photos, _ = squares(tmp_path / "photos")
    control = untrained(discoverer("ddt", closer=True, engine="torch"), photos)
    assert isinstance(control, DiscoveryPredictor) and control.closer


sides = st.integers(1, 3000)
shares = st.tuples(*[st.floats(0, 1)] * 4)


@given(sides, sides, shares)
def test_a_part_lies_inside_and_shows_the_box(width, height, shares):
    (x0, x1), (y0, y1) = sorted(shares[:2]), sorted(shares[2:])
    box = np.array([x0 * width, y0 * height, x1 * width, y1 * height], np.float32)
    left, top, right, bottom = part_around(box, (width, height))
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert left <= box[0] + 0.01 and right >= box[2] - 0.01 and top <= box[1] + 0.01 and bottom >= box[3] - 0.01
    assert right - left >= LEAST * width - 0.01 and bottom - top >= LEAST * height - 0.01


@given(st.tuples(sides, sides), shares, st.integers(1, 24))
def test_what_is_put_in_stands_in_its_part_alone(size, shares, places):
    (x0, x1), (y0, y1) = sorted(shares[:2]), sorted(shares[2:])
    part = part_around(np.array([x0, y0, x1, y1], np.float32) * np.tile(np.float32(size), 2), size)
    joined = put_in(size, part, np.zeros((5, 5), np.float32), np.ones((places, places), np.float32))
    rows, columns = np.nonzero(joined)
    assert set(np.unique(joined)) <= {0, 1} and len(rows)
    height, width = joined.shape
    for found, low, high, length, count in (
        (columns, part[0], part[2], size[0], width), (rows, part[1], part[3], size[1], height),
    ):  # fmt: skip
        assert abs(found.min() - low * count / length) <= 1 and abs(found.max() + 1 - high * count / length) <= 1.01
    everywhere = put_in(size, part, np.full((5, 5), 0.3, np.float16), np.full((places, places), 0.3, np.float16))
    assert np.allclose(everywhere, 0.3, atol=1e-3)


@pytest.mark.parametrize("chosen", ["ddt", "deeper ddt", "discriminant and contrast", "contrast"])
def test_auto_reads_parts_where_it_has_chosen_ddt(monkeypatch, chosen):
    monkeypatch.setattr(auto, "choose", lambda signs: ((chosen, "ddt"), "said so"))
    method = Auto(build_backbone("lite0", stride=16, weights="none"))
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    method.partial_fit(method.descriptors(images))
    method.look_again(images, method.descriptors(images))
    method.fit_done()
    assert method.chosen == chosen and method.reads_parts == (chosen in ("ddt", "deeper ddt"))
    method.reset()
    assert method.reads_parts


def test_the_methods_that_may_look_closer_are_named_once():
    reading = {name for name in DISCOVERERS if discoverer_class(name).reads_parts}
    assert reading | {"auto"} == {*CLOSER, "several"}  # several is ddt's kin, and has no one object to look at


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ["find", "PHOTOS", "--closer", "--multiple"],
            "it was asked for with several objects.",
        ),
        (["find", "PHOTOS", "--closer", "--method", "contrast"], "it was asked for with contrast."),
        (["evaluate", "several", "PHOTOS", "--closer"], "it was asked for with several."),
        (["evaluate", "RUN", "PHOTOS", "--closer"], "--closer is for auto, ddt, position, and not for the run"),
    ],
)
def test_where_it_has_no_use_it_is_refused(tmp_path, capfd, command, said):
    _, boxes = squares(tmp_path / "photos")
    rows = [",".join([name, *(f"{value:g}" for value in box[0])]) for name, box in boxes.items()]
    (tmp_path / "photos" / "boxes.csv").write_text("\n".join(["image,x0,y0,x1,y1", *rows]))
    (tmp_path / "run").mkdir()
    places = {"PHOTOS": str(tmp_path / "photos"), "RUN": str(tmp_path / "run")}
    with pytest.raises(SystemExit) as left:
        app.meta([places.get(word, word) for word in command])
    error = capfd.readouterr().err
    assert left.value.code == 2 and said in " ".join(error.split()) and len(error.splitlines()) == 1
