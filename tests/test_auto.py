from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from boxless.backbones import build_backbone
from boxless.data.folder import read_data
from boxless.data.synthetic import make_scenes
from boxless.discovery.auto import FEWEST, PLACED, Auto, Signs, choose
from boxless.discovery.discriminant import CUT, Discriminant, upper_otsu, with_cut_at_half
from boxless.discovery.notes import Notes
from boxless.discovery.pictures import EvenSample
from boxless.discovery.products import DiscriminantContrast, DiscriminantDdt
from boxless.discovery.signs import (
    agreement,
    border_margin,
    explained_by_place,
    floor_and_cut,
    held_by_frame,
    separation,
)
from boxless.inference.discovery_predictor import DiscoveryPredictor
from boxless.inference.predictors import InferenceOptions
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.progress import Progress

IMAGES, SIDE = 12, 18
PLACES = [(3 + i % 4, 4 + (5 * i) % 7) for i in range(IMAGES)]
"""Top and left place of the object, five places tall and wide, in each image."""


@pytest.fixture(scope="module")
def backbone():
    return build_backbone("lite0", stride=16, weights="none")


def planted(seed=0, *, hill=False, shared_background=False, distinct=False, images=IMAGES):
    """Descriptors of two steps and of colour in which one direction each is the object's.

    With `hill` both steps show one gentle hill instead; with `shared_background` the shallow one shows something else,
    in places that have nothing to do with the object. Colours tell the object where it is `distinct`.
    """
    random = torch.Generator().manual_seed(seed)
    parts = [0.2 * torch.randn(images, d, SIDE, SIDE, generator=random) for d in (192, 320, 35)]
    down = torch.linspace(-1, 1, SIDE)
    for i, (top, left) in enumerate(PLACES[:images]):
        mask = torch.zeros(SIDE, SIDE)
        mask[top : top + 5, left : left + 5] = 1
        for part, strength in zip(parts, (3, 3, 3 if distinct else 0), strict=True):
            part[i, :8] += strength * mask
        if hill:
            for part in parts[:2]:
                part[i, :8] = 3 * torch.exp(-(down[:, None] ** 2 + down**2))
        if shared_background:
            parts[0][i, :8] = 0
            parts[0][i, 8:16] += 3 * torch.eye(SIDE)[:, torch.randperm(SIDE, generator=random)].cumsum(0)
    return torch.cat(parts, 1)


def finished(kind, backbone, descriptors):
    method = kind(backbone)
    for batch in descriptors.split(5):
        method.partial_fit(batch)
    method.fit_done()
    return method


def boxes_hit(heat):
    """Share of the images whose places above one half are the planted ones."""
    good = 0
    for one, (top, left) in zip(heat.numpy(), PLACES, strict=False):
        rows, columns = np.nonzero(one > CUT)
        good += len(rows) > 0 and (rows.min(), columns.min(), rows.max(), columns.max()) == (
            top,
            left,
            top + 4,
            left + 4,
        )
    return good / len(heat)


def test_ddt_is_kept_where_no_sign_speaks_against_it(backbone):
    method = finished(Auto, backbone, planted())
    assert method.chosen == "ddt" and "no sign" in method.choice
    notes = method.notes()
    assert (notes.chosen, notes.runner_up) == ("ddt", "discriminant and contrast") and len(notes.signs) == 5
    assert not any(sign.against for sign in notes.signs) and Notes.from_dict(notes.to_dict()) == notes
    assert boxes_hit(method.heatmap(planted())) == 1


def test_a_first_direction_that_the_next_step_contradicts_is_not_taken(backbone):
    descriptors = planted(shared_background=True, distinct=True)
    method = finished(Auto, backbone, descriptors)
    assert method.chosen == "discriminant and contrast" and "do not agree" in method.choice
    assert "agreement" in {sign.name for sign in method.notes().signs if sign.against}
    assert boxes_hit(method.heatmap(descriptors)) == 1


def test_an_object_of_colours_of_its_own_is_left_for_the_discriminant(backbone):
    descriptors = planted(distinct=True)
    method = finished(Auto, backbone, descriptors)
    assert method.chosen == "discriminant and contrast" and "colours" in method.choice
    assert boxes_hit(method.heatmap(descriptors)) == 1


def test_separation_is_of_the_boxes_and_not_of_the_images():
    colours = planted(distinct=True)[:, -35:].numpy()
    boxes = np.array([(16 * left, 16 * top, 16 * left + 80, 16 * top + 80) for top, left in PLACES], np.float32)
    whole = np.tile(np.array([0, 0, 288, 288], np.float32), (IMAGES, 1))
    assert separation(boxes, colours) > 1 > 0.5 > separation(np.roll(boxes, 1, 0), colours)
    assert separation(whole, colours) == separation(0 * whole, colours) == 0


def test_one_hill_in_every_image_says_where_and_not_what(backbone):
    descriptors = planted(hill=True)
    method = Auto(backbone)
    method.partial_fit(descriptors)
    hills, objects = (explained_by_place(method.first_direction(x, 0)) for x in (descriptors, planted()))
    assert hills > PLACED > objects
    assert finished(Auto, backbone, descriptors).chosen not in ("ddt", "deeper ddt")


PHOTOGRAPHS = Signs(
    agreement=0.8, margin=0.8, deeper_margin=0.9, explained=0.4, frame=0.1, learnt_explained=0.3, separation=0.2
)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({}, "ddt"),
        ({"separation": 0.6}, "discriminant and contrast"),
        ({"agreement": -0.1, "separation": 0.35}, "discriminant and contrast"),
        ({"agreement": -0.1}, "deeper ddt"),
        ({"margin": 0.1}, "deeper ddt"),
        ({"agreement": 0.1, "margin": 1.0}, "ddt"),
        ({"agreement": -0.8, "margin": 0.1, "deeper_margin": 0.3}, "contrast"),
        ({"explained": 0.9, "learnt_explained": 0.85}, "discriminant and place"),
        ({"explained": 0.9, "learnt_explained": 0.85, "frame": 0.6}, "contrast"),
        ({"explained": 0.9}, "contrast"),
        ({"explained": 1.0, "learnt_explained": 1.0}, "contrast"),
        ({"frame": 0.5}, "contrast"),
        ({"frame": 0.5, "separation": 0.35}, "discriminant and contrast"),
        ({"agreement": 0.0, "deeper_margin": 0.1, "margin": 0.0, "learnt_explained": 0.97}, "contrast"),
    ],
    ids=[
        "photographs",
        "colours set the boxes apart",
        "no agreement, but colours",
        "no agreement",
        "no sign of its own",
        "no agreement, and the deeper step is the worse",
        "no sign anywhere",
        "framed alike",
        "alike as the frame is, and not what it shows",
        "the place explains ddt alone",
        "one blob at the centre of every image",
        "maps that follow the frame",
        "maps that follow the frame, but colours",
        "an untrained network",
    ],
)
def test_what_each_sign_leads_to_is_chosen_and_said(seen, expected):
    (chosen, runner_up), words = choose(replace(PHOTOGRAPHS, **seen))
    assert chosen == expected and words.startswith(f"{expected}: ") and words.endswith(f"next would be {runner_up}")


@pytest.mark.parametrize("seed", [0, 4], ids=["steps that do not agree", "steps that agree on one hill"])
def test_an_untrained_network_does_not_win(seed, tmp_path):
    """A negative control through the whole of `find`, whose predictor shows some images again."""
    torch.manual_seed(seed)
    method = Auto(build_backbone("lite0", stride=16, weights="none"))
    make_scenes(tmp_path / "scenes", 8, test=0, size=192)
    predictor = DiscoveryPredictor(method, "auto", size=192, how=InferenceOptions())
    (*_, mapped) = predictor.maps(read_data(tmp_path / "scenes", "train"), Progress())
    frame = {sign.name: sign for sign in mapped.notes.signs}["frame"]
    assert frame.against and frame.value > 0.5
    assert method.chosen == "contrast"


def test_what_follows_the_frame_is_told_from_what_follows_the_content():
    rng = np.random.default_rng(0)
    wholes = np.stack([cv2.GaussianBlur(rng.normal(size=(18, 18)).astype(np.float32), (0, 0), 2) for _ in range(12)])
    contents = wholes[:, :13, :13]
    shrunk = np.stack([cv2.resize(one, (13, 13), interpolation=cv2.INTER_AREA) for one in wholes])
    noise = rng.normal(size=contents.shape).astype(np.float32)
    assert held_by_frame(contents, contents, wholes) == pytest.approx(0, abs=1e-5)
    assert held_by_frame(3 * shrunk + 1, contents, wholes) == pytest.approx(1, abs=1e-5)
    assert abs(held_by_frame(noise, contents, wholes)) < 0.1
    assert held_by_frame(0 * contents, contents, wholes) == held_by_frame(contents, contents, 0 * wholes) == 0


def test_the_discriminant_learns_the_object_from_a_teacher(backbone):
    method = finished(Discriminant, backbone, planted())
    heat = method.heatmap(planted())
    assert boxes_hit(heat) == 1 and heat.min() >= 0 and heat.max() <= 1


def test_too_few_images_choose_nothing_and_none_are_refused(backbone):
    method = finished(Auto, backbone, planted(images=FEWEST - 1))
    assert method.chosen == "ddt" and "too few" in method.choice
    with pytest.raises(BoxlessError, match="No readable image"):
        Auto(backbone).fit_done()


def test_images_all_alike_find_nothing_and_fail_nowhere(backbone):
    flat = torch.ones(8, 547, SIDE, SIDE)
    heat = finished(Auto, backbone, flat).heatmap(flat)
    assert torch.isfinite(heat).all()


def test_a_category_leaves_nothing_for_the_next(backbone):
    method = finished(Auto, backbone, planted(shared_background=True, distinct=True))
    method.reset()
    method.partial_fit(planted())
    method.fit_done()
    assert method.chosen == "ddt"


def test_another_backbone_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match="--method ddt"):
        Auto(build_backbone("tiny", stride=8, weights="none"))


def test_no_sign_is_fooled_by_maps_that_know_nothing():
    rng = np.random.default_rng(0)
    constant, noise = np.ones((20, 9, 9), np.float32), rng.random((20, 9, 9)).astype(np.float32)
    blob = np.tile(np.outer(*2 * [np.hanning(9)]).astype(np.float32), (20, 1, 1))
    assert agreement(constant, noise) == 0 and abs(agreement(noise, noise[::-1])) < 0.2
    assert agreement(noise, noise) == pytest.approx(1)
    assert border_margin(constant) == 0 and abs(border_margin(noise)) < 0.2 < border_margin(blob)
    assert border_margin(-blob) == pytest.approx(-border_margin(blob))
    assert explained_by_place(constant) == 1 and explained_by_place(blob) == pytest.approx(1)
    assert explained_by_place(noise) < 0.1


def test_the_floor_is_the_background_and_small_objects_are_cut_higher():
    small, large = np.full((6, 20, 20), -1.0, np.float32), np.full((6, 20, 20), -3.0, np.float32)
    small[:, 5:10, 5:10], large[:, 2:17, 2:17] = 5, 1
    assert floor_and_cut(small)[0] == -1 and floor_and_cut(large)[0] == -3
    assert floor_and_cut(small)[1] > floor_and_cut(large)[1]
    assert floor_and_cut(7 * small) == pytest.approx((-7, floor_and_cut(small)[1]))
    assert np.isfinite(floor_and_cut(0 * small)).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_rescaling_keeps_the_order_and_brings_the_cut_to_one_half(seed, cut):
    heat = np.random.default_rng(seed).normal(size=(6, 7)).astype(np.float32)
    scaled = with_cut_at_half(heat, cut)
    assert scaled.min() == 0 and scaled.max() == pytest.approx(1)
    assert (np.diff(scaled.ravel()[np.argsort(heat.ravel(), kind="stable")]) >= -1e-6).all()
    plain = (heat - heat.min()) / (heat.max() - heat.min())
    clear = np.abs(plain - cut) > 1e-4
    assert ((scaled > CUT) == (plain > cut))[clear].all()


def test_a_constant_map_stays_without_an_object():
    assert (with_cut_at_half(np.full((4, 4), 7, np.float32), 0.3) == 0).all()


@pytest.mark.parametrize("count", [1, 9, 10, 11, 95])
def test_a_sample_is_bounded_and_evenly_taken(count):
    sampled = EvenSample(limit=10)
    for start in range(0, count, 4):
        sampled.add(torch.arange(start, min(start + 4, count)).float().view(-1, 1, 1, 1))
    kept = sampled.stacked().flatten()
    assert len(kept) <= 10 and sampled.seen == count
    assert len(set(kept.diff().tolist())) <= 1 and kept[0] == 0
    assert len(kept) > min(count, 10) // 2 - 1


def test_upper_otsu_separates_the_surest_places():
    heat = np.concatenate([np.full(60, 0.0), np.full(20, 0.5), np.full(20, 1.0)]).reshape(10, 10).astype(np.float32)
    assert 0.5 < upper_otsu(heat) < 1


@pytest.mark.parametrize("kind", [DiscriminantDdt, DiscriminantContrast])
def test_a_product_is_what_both_maps_see(backbone, kind):
    """It finds the planted objects, and is nothing where the discriminant is."""
    descriptors = planted(distinct=True)
    method = finished(kind, backbone, descriptors)
    assert boxes_hit(method.heatmap(descriptors)) == 1
    alone = Discriminant.heatmap(method, descriptors)
    assert (method.heatmap(descriptors)[alone == 0] == 0).all()
