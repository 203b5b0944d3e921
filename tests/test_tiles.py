"""Large photographs in tiles: every pixel is looked at, boxes fit the photograph, what an edge cuts is found once."""

import csv
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from boxless.boxes import MOST
from boxless.boxes.from_heatmap import Readout, boxes_at
from boxless.data.folder import read_data
from boxless.discovery import Discoverer
from boxless.inference.discovery_predictor import DiscoveryPredictor
from boxless.inference.predict_folder import predict_folder
from boxless.inference.predictors import InferenceOptions
from boxless.inference.tiles import EDGE, SHARED, TiledPredictor, join, tile_corners
from boxless.runtime.errors import UsageError
from boxless.runtime.progress import Progress

SIDE = st.integers(1, 700)


@settings(max_examples=30, deadline=None)
@given(size=st.tuples(SIDE, SIDE), side=st.integers(32, 300))
def test_tiles_cover_every_pixel_and_lie_in_the_photograph(size, side):
    (width, height), edge = size, round(EDGE * side)
    seen, tiles = np.zeros((height, width), int), tile_corners(size, side)
    for x0, y0, x1, y1 in tiles + edge * np.array([1, 1, -1, -1]):
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        seen[y0:y1, x0:x1] += 1
    assert seen.min() >= 1
    assert ((tiles[:, 2:] - tiles[:, :2]) == [min(side, length + 2 * edge) for length in size]).all()
    for axis in (0, 1):
        starts = np.unique(tiles[:, axis])
        assert len(starts) == 1 or np.diff(starts).max() <= side * (1 - 2 * EDGE - SHARED) + 1


@settings(max_examples=20, deadline=None)
@given(size=st.tuples(st.integers(120, 500), st.integers(120, 500)), place=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_an_object_comes_out_once_and_where_it_is_whatever_edge_cuts_it(size, place):
    side, radius = 96, 12
    centre = np.array([radius + part * (length - 2 * radius) for part, length in zip(place, size, strict=True)])
    tiles = tile_corners(size, side)
    heats = []
    for x0, y0, x1, y1 in tiles:  # a map of 24 x 24 places, each the object's height at its middle
        xs, ys = (low + (np.arange(24) + 0.5) * (high - low) / 24 for low, high in ((x0, x1), (y0, y1)))
        heats.append(np.exp(-(((xs - centre[0]) ** 2)[None] + ((ys - centre[1]) ** 2)[:, None]) / (2 * 6.0**2)))
    boxes, _ = boxes_at(Readout(0.3, "", "max"), join(size, side, tiles, heats), size, multiple=True, tile=side)
    assert len(boxes) == 1
    np.testing.assert_allclose((boxes[0, :2] + boxes[0, 2:]) / 2, centre, atol=4)


def test_maps_of_tiles_that_agree_join_to_the_map_they_are_parts_of():
    side, edge = 45, 5
    whole = np.random.default_rng(0).random((90, 120)).astype(np.float32)
    wide = np.pad(whole, edge)
    tiles = tile_corners((120, 90), side)
    parts = [wide[y0 + edge : y1 + edge, x0 + edge : x1 + edge] for x0, y0, x1, y1 in tiles]
    np.testing.assert_allclose(join((120, 90), side, tiles, parts), whole, rtol=1e-5)


class Dark(Discoverer):
    """A method that finds what is dark; its maps are raw, a place for every 8 pixels."""

    size, stride, tiled = 64, 8, False
    readout = Readout(0.5, "fixed", "max")

    def reset(self):
        self.seen = 0

    def descriptors(self, images):
        return torch.nn.functional.avg_pool2d(1 - images.mean(1, keepdim=True), self.stride)

    def partial_fit(self, descriptors):
        self.seen += len(descriptors)

    def fit_done(self):
        assert self.seen

    def heatmap(self, descriptors):
        return descriptors[:, 0]


TRUTH = [(20, 20, 44, 44), (180, 100, 210, 130), (380, 40, 404, 64), (250, 260, 280, 290)]


def photographs(folder, count=3, truth=TRUTH, size=(420, 300)):
    (folder / "thing").mkdir(parents=True)
    for number in range(count):
        picture = np.full((size[1], size[0], 3), 255, np.uint8)
        for x0, y0, x1, y1 in truth:
            picture[y0:y1, x0:x1] = 0
        Image.fromarray(picture).save(folder / "thing" / f"{number}.png")
    return read_data(folder, "all")


def tiled(data, tiles):
    return TiledPredictor(DiscoveryPredictor(Dark(), "dark", size=64, how=InferenceOptions(4)), tiles, data)


@pytest.mark.parametrize("tiles", [100, 64, "auto"])
def test_small_objects_of_a_large_photograph_are_found_in_its_pixels(tmp_path, tiles):
    predictor = tiled(photographs(tmp_path / "photos"), tiles)
    maps = list(predictor.maps(predictor.images, Progress()))
    assert len(maps) == 3 and all(mapped.tile == (64 if tiles == "auto" else tiles) for mapped in maps)
    boxes, _ = boxes_at(predictor.readout, maps[0].heat, maps[0].size, multiple=True, tile=maps[0].tile)
    found = sorted(boxes.round().astype(int).tolist())
    assert len(found) == len(TRUTH)
    np.testing.assert_allclose(found, sorted(TRUTH), atol=7)
    assert "passes of the network per photograph instead of one" in maps[0].notes.tiles
    assert ("what they show fits into them" in maps[0].notes.tiles) == (tiles == "auto")


@pytest.mark.parametrize(
    ("truth", "size", "said"),
    [([(40, 40, 260, 240)], (420, 300), "show is large"), (TRUTH[:1], (100, 80), "sides below 128 pixels")],
)
def test_auto_leaves_large_objects_and_small_photographs_whole(tmp_path, truth, size, said):
    predictor = tiled(photographs(tmp_path / "photos", truth=truth, size=size), "auto")
    for mapped in predictor.maps(predictor.images, Progress()):
        assert mapped.tile == 0 and mapped.notes.tiles.startswith("no tiles: ") and said in mapped.notes.tiles


def test_a_broken_photograph_is_named_and_left_out(tmp_path):
    photographs(tmp_path / "photos")
    (tmp_path / "photos" / "thing" / "1.png").write_bytes(b"nothing")
    progress, data = Progress(), read_data(tmp_path / "photos", "all")
    assert len(list(tiled(data, 100).maps(data, progress))) == 2
    assert list(progress.broken) == ["thing/1.png"]


@pytest.mark.parametrize("tiles", [100, "auto"])
def test_a_category_of_broken_photographs_costs_the_others_nothing(tmp_path, tiles):
    photographs(tmp_path / "photos")
    folder = tmp_path / "photos" / "broken"
    folder.mkdir()
    whole = (tmp_path / "photos" / "thing" / "0.png").read_bytes()
    for number in range(2):  # their headers tell a size
        (folder / f"{number}.png").write_bytes(whole[: len(whole) // 2])
    progress, data = Progress(), read_data(tmp_path / "photos", "all")
    assert len(list(tiled(data, tiles).maps(data, progress))) == 3
    assert sorted(progress.broken) == ["broken/0.png", "broken/1.png"]


def test_one_readable_photograph_among_broken_ones_is_what_is_learnt_from(tmp_path, monkeypatch):
    photographs(tmp_path / "photos", count=5)
    for number in range(4):
        (tmp_path / "photos" / "thing" / f"{number}.png").write_bytes(b"nothing")
    monkeypatch.setattr("boxless.inference.tiles.LEARNT", 4)  # of two photographs, the first and the fourth
    progress, data = Progress(), read_data(tmp_path / "photos", "all")
    assert [mapped.sample.name for mapped in tiled(data, 100).maps(data, progress)] == ["thing/4.png"]


def test_a_picture_narrower_than_the_edges_of_a_tile_has_a_map():
    tiles = tile_corners((16, 16), 1024)
    heat = join((16, 16), 1024, tiles, [np.ones((14, 14))] * len(tiles))
    assert heat.shape[0] and (heat == 1).all()


@pytest.mark.parametrize(("tiles", "said"), [(5000, "larger than every photograph"), (5, "show nothing")])
def test_tiles_that_cannot_be_are_refused(tmp_path, tiles, said):
    with pytest.raises(UsageError, match=said):
        tiled(photographs(tmp_path / "photos"), tiles)


def test_a_method_whose_maps_are_relative_to_the_image_has_no_tiles(tmp_path):
    method = Dark()
    method.tiled = None
    with pytest.raises(UsageError, match="cannot be joined"):
        TiledPredictor(DiscoveryPredictor(method, "dark", size=64, how=InferenceOptions()), 100, photographs(tmp_path))


def test_the_command_line_says_what_was_chosen_and_refuses_tiles_for_one_object(tmp_path, capsys):
    from boxless.cli import app

    photographs(tmp_path / "photos", count=2)

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            app.meta(["find", str(tmp_path / "photos"), "--format", "csv", *words])
        return ended.value.code, capsys.readouterr()

    code, said = run("--tiles", "128", "--multiple", "--size", "96", "--out", str(tmp_path / "out"))
    assert code == 0 and "20 passes of the network per photograph" in " ".join(said.out.split())
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["notes"]["thing"]["tiles"]
    with (tmp_path / "out" / "boxes.csv").open(newline="") as file:
        assert all(float(row["x1"]) <= 420 and float(row["y1"]) <= 300 for row in csv.DictReader(file))
    assert run("--tiles", "128", "--out", str(tmp_path / "no"))[0] == 2
    code, said = run("--tiles", "9000", "--multiple", "--out", str(tmp_path / "no"))
    assert code == 2 and "larger than every photograph" in said.err


class Speckled(Dark):
    """A method that finds something at every third place."""

    def heatmap(self, descriptors):
        heat = torch.zeros(len(descriptors), 91, 128)
        heat[:, 1::3, 1::3] = 1
        return heat


def test_a_map_of_thousands_of_pieces_is_bounded_and_said(tmp_path):
    data = photographs(tmp_path / "photos", count=2)
    predictor = DiscoveryPredictor(Speckled(), "speckled", size=64, how=InferenceOptions(4))
    several = {"multiple": True, "min_size": 0.0}
    summary = predict_folder(predictor, data, tmp_path / "out", Progress(), format="csv", **several)
    assert summary.boxes == 2 * MOST and len(summary.crowded) == 2
    assert any(f"More than {MOST} boxes" in line and "thing/0.png" in line for line in summary.words())
