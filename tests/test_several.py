"""Several objects per image: the sign of the direction, maps along edges, and boxes that part what ddt joins."""

import numpy as np
import pytest
import torch

from boxless.backbones.backbone import Backbone
from boxless.boxes.from_heatmap import boxes_at
from boxless.discovery.guided_filter import guided
from boxless.discovery.several import PIXELS, Several, _drawn

SIDE = 18


class Brightness(torch.nn.Module):
    """The brightness of every place, and one minus it."""

    def forward(self, images):
        bright = torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 16)
        return torch.cat([bright, 1 - bright], dim=1)


class Plain(torch.nn.Module):
    def stages(self):
        yield "brightness", Brightness()


class Coarse(torch.nn.Module):
    """As lite0 names its steps: the brightness of places of 16 pixels, then of 32."""

    def stages(self):
        yield "block10", Brightness()
        yield "block14", torch.nn.AvgPool2d(2)


class Colours(torch.nn.Module):
    def stages(self):
        yield "colours", torch.nn.AvgPool2d(16)


def finder(net=None, **options):
    return Several(Backbone(net or Plain(), name="plain", stride=16, mean=(0.0,) * 3, std=(1.0,) * 3), **options)


def picture(*squares, side=SIDE * 16):
    image = torch.full((3, side, side), 0.2)
    for x, y, size in squares:
        image[:, y : y + size, x : x + size] = 0.9
    return image


def found_in(images):
    method = finder()
    descriptors = method.descriptors(torch.stack(images))
    method.partial_fit(descriptors)
    method.fit_done()
    return method, method.heatmap(descriptors)


def test_objects_at_the_border_of_a_full_image_are_still_the_objects():
    rng = np.random.default_rng(0)
    images = [
        picture(*[(48 * c + int(rng.integers(16)), 48 * r, 30) for r in range(6) for c in range(6)]) for _ in range(4)
    ]
    method, maps = found_in(images)
    boxes, _ = boxes_at(method.readout, maps[0].numpy(), (288, 288), multiple=True)
    assert len(boxes) >= 25
    assert maps.shape == (4, PIXELS * SIDE, PIXELS * SIDE)
    assert float(maps[0, 8:12, :].max()) > 0  # above the first row's edge there is something at all


def test_two_things_side_by_side_get_boxes_that_fit():
    truth = [(50, 80, 64), (150, 90, 80)]
    method, maps = found_in([picture(*truth), picture((90, 40, 70)), picture((30, 180, 60), (180, 170, 60))])
    boxes, scores = boxes_at(method.readout, maps[0].numpy(), (576, 288), multiple=True)
    assert len(boxes) == 2 and (scores > 0.5).all()
    for (x, y, size), box in zip(sorted(truth), sorted(boxes.tolist()), strict=True):
        np.testing.assert_allclose(box, [2 * x, y, 2 * (x + size), y + size], atol=16)


@pytest.mark.parametrize("dark", [False, True])
def test_in_tiles_what_covers_less_is_the_object_though_it_cuts_the_background_in_two(dark):
    images = torch.full((3, 3, SIDE * 16, SIDE * 16), 0.2)
    bars = (96, 128, 144)
    for image, left in zip(images, bars, strict=True):
        image[:, :, left : left + 64] = 0.9
    method = finder()
    method.tiled = True  # the border of a tile tells nothing
    descriptors = method.descriptors(1 - images if dark else images)
    method.partial_fit(descriptors)
    method.fit_done()
    for heat, left in zip(method.heatmap(descriptors), bars, strict=True):
        boxes, _ = boxes_at(method.readout, heat.numpy(), (288, 288), multiple=True)
        np.testing.assert_allclose(boxes, [[left, 0, left + 64, 288]], atol=16)


def test_descriptors_carry_the_picture_that_the_map_is_drawn_along():
    image = torch.rand(1, 3, SIDE * 16, SIDE * 16)
    descriptors = finder().descriptors(image)
    small = torch.nn.functional.pixel_shuffle(descriptors[:, -48:], PIXELS)
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(image, 16 // PIXELS))


def test_an_image_without_anything_above_the_mean_has_an_empty_map():
    method, _ = found_in([picture((60, 60, 100)), picture((100, 30, 90))])
    assert not method.heatmap(method.descriptors(picture()[None])).any()


def kinds(others):
    """What is common, in four images, and another thing that is half as much like it, in `others` of them."""
    images = torch.zeros(4, 3, SIDE * 16, SIDE * 16)
    images[:, 0, 32:128, 32:128] = 0.8
    images[:others, 0, 160:256, 160:256] = images[:others, 2, 160:256, 160:256] = 0.8 * 0.5**0.5
    method = finder(Colours(), unit_length=False)
    descriptors = method.descriptors(images)
    method.partial_fit(descriptors)
    method.fit_done()
    return method, descriptors


def test_a_thing_of_another_kind_teaches_less_than_one_as_far_from_the_background_that_is_common():
    method, descriptors = kinds(others=1)
    taught = method._alike(method._split(descriptors)[0])[0]
    np.testing.assert_allclose((float(taught[5, 5]), float(taught[13, 13])), (1, 0.5), atol=0.1)


@pytest.mark.parametrize("others", [2, 3])
def test_another_kind_that_is_in_many_images_is_lower_in_the_maps_than_it_was_taught(others):
    method, descriptors = kinds(others)
    taught, heat = method._alike(method._split(descriptors)[0])[0], method.heatmap(descriptors)[0]
    assert float(heat[52, 52] / heat[20, 20]) < float(taught[13, 13] / taught[5, 5]) - 0.05


def test_what_an_earlier_step_sees_makes_the_map_finer_and_nothing_out_of_nothing():
    images = torch.stack([picture((32, 32, 208)), picture((96, 96, 112)), picture()])
    method = Several(Backbone(Coarse(), name="lite0", stride=32, mean=(0.0,) * 3, std=(1.0,) * 3))
    descriptors = method.descriptors(images)
    method.partial_fit(descriptors)
    method.fit_done()
    features, fine, _ = method._split(descriptors)
    alike = method._alike(features)
    map_, around, empty = method._made_finer(alike, fine)
    # The first square ends in the middle of a place: of its two halves one is the square's, and one is not.
    assert float(map_[4:12, 14].min()) > 2 * float(map_[4:12, 15].max())
    assert float(empty.max()) <= 2 * float(alike[2].max()) < 1e-3 * float(around.max())


def test_images_of_one_colour_have_empty_maps():
    _, maps = found_in([picture(), picture()])
    assert not maps.any()


@pytest.mark.parametrize(("spread", "seen"), [(0.0, False), (0.005, False), (0.2, True)])
def test_a_picture_that_shows_nothing_has_an_empty_map_whatever_the_padding_makes_of_it(spread, seen):
    hill = np.outer(np.hanning(9), np.hanning(9)).astype(np.float32)
    colours = np.full((36, 36, 3), 0.4, np.float32)
    colours[10:20, 10:20] += spread
    assert bool(_drawn(hill, colours).any()) is seen


def test_the_guided_filter_moves_an_edge_to_the_pictures_and_keeps_a_flat_map():
    colours = np.zeros((40, 40, 3), np.float32)
    colours[:, 20:] = (0.9, 0.5, 0.1)
    blurred = np.clip((np.arange(40, dtype=np.float32) - 12) / 16, 0, 1)[None].repeat(40, 0)  # a wide ramp about 20
    sharp = guided(blurred, colours)
    assert sharp[20, 20] - sharp[20, 19] > 5 * (blurred[20, 20] - blurred[20, 19])
    np.testing.assert_allclose(guided(np.full((40, 40), 0.3, np.float32), colours), 0.3, atol=1e-4)
