"""A method that looks at the images of a category larger where that suits them: which, in what size, what is said."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from boxless.backbones import build_backbone
from boxless.backbones.familiarity import Recorder
from boxless.boxes.from_heatmap import Readout
from boxless.data.folder import read_data
from boxless.discovery import Discoverer
from boxless.discovery.auto import COLOURED, Auto
from boxless.discovery.discriminant import SAMPLE, Discriminant
from boxless.discovery.notes import Notes
from boxless.inference import predictors
from boxless.inference.discovery_predictor import DiscoveryPredictor
from boxless.inference.factory import discoverer
from boxless.inference.predict_folder import predict_folder
from boxless.inference.predictors import InferenceOptions
from boxless.runtime.progress import Progress

KINDS, EACH = 5, 3
"""Images of a category; with its class folder, those of either class."""


class Bright(Discoverer):
    """A method that finds what is bright, and looks at the images of dark categories larger."""

    size, stride, looks_again, larger = 16, 4, 2, (32, 64, 128)
    readout = Readout(0.5, "fixed", "max")

    def __init__(self, *, grows=True):
        self.grows, self.asked = grows, []

    def reset(self):
        self.batches, self.mean = [], 1.0

    def descriptors(self, images):
        return torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), self.stride)

    def partial_fit(self, descriptors):
        self.batches.append(len(descriptors))
        self.mean = float(descriptors.mean())

    def look_again(self, images, descriptors):
        self.few = descriptors

    def fit_done(self):
        assert self.batches

    def better_size(self, sides, look):
        if not self.grows or self.mean > 0.5:
            return self.size, ""
        seen = look(sides[-1])
        assert seen.shape == (len(self.few), 1, sides[-1] // self.stride, sides[-1] // self.stride)
        pooled = torch.nn.functional.interpolate(seen, self.few.shape[-2:], mode="area")
        assert torch.allclose(pooled, self.few, atol=0.03)  # the same images, in the same order
        self.asked.append(tuple(sides))
        return sides[-1], f"looked at in {sides[-1]} pixels"

    def heatmap(self, descriptors):
        return descriptors[:, 0]


@pytest.fixture
def photos(tmp_path):
    """Two classes: dark pictures, each of its own brightness, and bright ones; of 100 pixels, one of them broken."""
    random = np.random.default_rng(0)
    for kind, levels in (("dark", (20, 100)), ("light", (200, 250))):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(EACH):
            level = random.integers(*levels)
            Image.fromarray(np.full((60, 100, 3), level, np.uint8)).save(tmp_path / "photos" / kind / f"{number}.png")
    (tmp_path / "photos" / "dark" / "1.png").write_bytes(b"no picture")
    return read_data(tmp_path / "photos", "all")


def predictor(method, larger=Bright.larger):
    return DiscoveryPredictor(method, "bright", size=16, how=InferenceOptions(batch_size=4), larger=larger)


def test_a_category_is_looked_at_larger_and_the_other_is_not(photos):
    progress, method = Progress(), Bright()
    progress.expect(len(photos))
    maps = list(predictor(method).maps(photos, progress))
    sides = {mapped.sample.name: mapped.heat.shape for mapped in maps}
    assert sides == {f"dark/{i}.png": (16, 16) for i in (0, 2)} | {f"light/{i}.png": (4, 4) for i in range(EACH)}
    assert [mapped.notes.size for mapped in maps] == 2 * ["looked at in 64 pixels"] + EACH * [""]
    assert method.asked == [(32, 64)]  # and not 128, for which the pictures have no pixels
    assert list(progress.broken) == ["dark/1.png"]
    assert progress.done == progress.total == len(photos) + len(method.few) + 2  # tries count as images
    for mapped in maps:
        path = photos.source.root / mapped.sample.name
        assert mapped.heat.mean() == pytest.approx(np.asarray(Image.open(path)).mean() / 255, abs=0.01)


def test_few_large_images_go_through_the_network_at_once(photos, monkeypatch):
    method = Bright()
    monkeypatch.setattr(predictors, "LARGER", 16)
    monkeypatch.setattr(predictors, "AREA", 64**2)
    list(predictor(method).maps(replace(photos, samples=[one for one in photos.samples if one.label == 0]), Progress()))
    assert method.batches == [1, 1]


def test_a_size_that_was_asked_for_stays(photos):
    maps = predictor(Bright(), larger=()).maps(photos, Progress())
    assert {mapped.heat.shape for mapped in maps} == {(4, 4)}
    chosen, asked = (discoverer("auto", size=size, engine="torch") for size in (None, Auto.size))
    assert chosen.larger == Auto.larger and asked.larger == () and chosen.size == asked.size
    assert chosen.identity()["size"] == "288, 448, 640, as it chooses" and asked.identity()["size"] == 288


def test_methods_that_share_descriptors_keep_their_own_maps(photos):
    methods = [Bright(grows=False), Bright(), Bright(grows=False)]
    methods[0].looks_again = 0
    rows = list(predictor(methods[0]).maps_of(methods, photos, Progress()))
    assert [row[0].sample.name for row in rows[:2]] == ["dark/0.png", "dark/2.png"]
    for row in rows:
        larger = row[0].sample.label == 0
        assert [one.heat.shape for one in row] == [(4, 4), (16, 16) if larger else (4, 4), (4, 4)]
        assert all(one.sample is row[0].sample for one in row)
        assert row[1].heat.mean() == pytest.approx(row[0].heat.mean(), abs=0.01)


def test_images_that_are_gone_when_larger_ones_are_tried_keep_the_maps_of_the_first_look(photos):
    class Slow(Bright):
        def fit_done(self):
            for path in photos.source.root.rglob("*.png"):
                path.write_bytes(b"")

    maps = list(predictor(Slow()).maps(photos, Progress()))
    assert [mapped.heat.shape for mapped in maps] == 2 * [(4, 4)] and not maps[0].notes.size


def test_what_was_looked_at_larger_is_in_the_summary(photos, tmp_path):
    summary = predict_folder(predictor(Bright()), photos, tmp_path / "out", Progress(), format="csv")
    assert "dark: looked at in 64 pixels." in summary.words()
    assert "light" not in summary.notes
    assert Notes.from_dict(summary.notes["dark"]).size == "looked at in 64 pixels"


def scattered(side, strength, images=8):
    """Descriptors of auto in which colours of an object of a third of the image differ by `strength`."""
    random = torch.Generator().manual_seed(side)
    parts = [0.2 * torch.randn(images, d, side, side, generator=random) for d in (192, 320, 35)]
    third = slice(side // 3, 2 * side // 3)
    for part, of in zip(parts, (3, 3, strength), strict=True):
        part[:, :8, third, third] += of
    return torch.cat(parts, 1)


@pytest.fixture(scope="module")
def fitted():
    method = Auto(build_backbone("lite0", stride=16, weights="none"))
    few = scattered(18, 1.0)
    method.partial_fit(few)
    method.look_again(torch.zeros(len(few), 3, 288, 288), few)
    method.fit_done()
    return method


@pytest.mark.parametrize(
    ("strengths", "whole", "expected"),
    [
        ((0.3, 1.0, 2.0), COLOURED, 640),
        ((0.3, 1.0, 0.5), COLOURED, 448),
        ((1.0, 0.3, 2.0), COLOURED, 288),
        ((0.5, 0.501, 0.502), COLOURED, 288),
        ((0.3, 1.0, 2.0), 2.0, 288),
    ],
    ids=["more and more", "more, then less", "less", "hardly more", "more, but not than in all images"],
)
def test_auto_takes_the_size_at_which_colours_are_set_apart_most_clearly(fitted, strengths, whole, expected):
    fitted.few, *others = (scattered(side // 16, one) for side, one in zip((288, 448, 640), strengths, strict=True))
    fitted.chosen, fitted.signs = "discriminant and contrast", replace(fitted.signs, separation=whole)
    by_side = dict(zip(Auto.larger, others, strict=True))
    side, why = fitted.better_size(Auto.larger, by_side.__getitem__)
    assert side == expected and (f"{expected} pixels" in why if side > 288 else not why)


@pytest.mark.parametrize(
    ("chosen", "apart"), [("ddt", 1.0), ("contrast", COLOURED - 0.01)], ids=["photographs", "colours tell nothing"]
)
def test_auto_does_not_look_where_a_larger_size_would_tell_nothing(fitted, chosen, apart):
    fitted.chosen, fitted.signs = chosen, replace(fitted.signs, separation=apart)

    def look(side):
        raise AssertionError(f"looked at {side} pixels")

    assert fitted.better_size(Auto.larger, look) == (288, "")


def test_images_that_are_looked_at_again_larger_are_compared_with_imagenet_once():
    backbone = build_backbone("lite0", stride=16, weights="none").eval()
    recorder, images = Recorder(backbone), torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        backbone(images)
        once = recorder.result()
        backbone(torch.nn.functional.interpolate(images, scale_factor=2))
    again = recorder.result()
    assert again.images == once.images == 2 and again.confidence == once.confidence


def test_of_finer_maps_fewer_images_are_learnt_from():
    method = Discriminant(build_backbone("lite0", stride=16, weights="none"))
    for side, limit in ((18, SAMPLE), (40, 100), (9, SAMPLE)):
        method.reset()
        for _ in range(2):
            method.partial_fit(torch.zeros(2, sum(method.parts), side, side))
        assert method.sampled.limit == limit and len(method.sampled.kept) == 4
