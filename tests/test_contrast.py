import numpy as np
import pytest
import torch

from boxless.data.folder import read_data
from boxless.data.synthetic import make_scenes
from boxless.discovery import DISCOVERERS, Discoverer, discoverer_class
from boxless.discovery.contrast import Contrast
from boxless.evaluation.evaluate import compute_heatmaps, evaluate
from boxless.inference.factory import discoverer, untrained
from boxless.runtime.errors import UsageError
from boxless.runtime.progress import Progress


def pictures(count=3, *, square=(20, 36), seed=0):
    """Grey noise with a red square in the middle of each."""
    draws = torch.Generator().manual_seed(seed)
    images = 0.5 + 0.05 * torch.randn(count, 3, 64, 64, generator=draws)
    images[:, :, square[0] : square[1], square[0] : square[1]] += torch.tensor([0.4, -0.3, -0.3]).view(3, 1, 1)
    return images.clamp(0, 1)


def heat(images, **options):
    method = Contrast(**options)
    return method.heatmap(method.descriptors(images))


def test_what_differs_from_the_border_is_hot():
    warm = heat(pictures())
    assert warm.shape == (3, 16, 16)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[5:9, 5:9] = True
    far = torch.ones(16, 16, dtype=torch.bool)
    far[4:10, 4:10] = False  # filters reach one place further
    assert (warm[:, inside].amin(1) > 2 * warm[:, far].amax(1)).all()


def test_texture_is_seen_where_the_colour_is_the_same():
    images = torch.full((1, 3, 64, 64), 0.5)
    images += 0.02 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    stripes = 0.3 * (torch.arange(16) % 2 - 0.5)
    images[:, :, 16:32, 32:48] += stripes
    warm = heat(images)[0]
    assert warm.argmax().item() // 16 in range(4, 8) and warm.argmax().item() % 16 in range(8, 12)


def test_the_distance_is_whitened_by_the_border():
    # One channel varies along the border, the other does not: the same offset counts for more in the second.
    descriptors = torch.zeros(2, 2, 9, 9)
    descriptors[:, 0] = torch.randn(9, 9, generator=torch.Generator().manual_seed(0))
    descriptors[0, 0, 4, 4] = 3
    descriptors[1, 1, 4, 4] = 3
    varied, steady = Contrast().heatmap(descriptors)[:, 4, 4]
    assert steady > 2 * varied


def test_every_image_is_judged_alone():
    images = pictures(4)
    together, alone = heat(images), heat(images[2:3])
    torch.testing.assert_close(together[2], alone[0], atol=1e-4, rtol=1e-4)


def test_a_mirrored_image_has_the_mirrored_colours():
    descriptors = Contrast().descriptors(pictures())[:, :3]
    mirrored = Contrast().descriptors(pictures().flip(-1))[:, :3]
    torch.testing.assert_close(mirrored, descriptors.flip(-1))
    torch.testing.assert_close(Contrast().heatmap(mirrored), Contrast().heatmap(descriptors).flip(-1))


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_an_image_of_one_colour_shows_nothing(value):
    assert not heat(torch.full((1, 3, 64, 64), value)).any()


def test_the_filters_are_the_same_whatever_was_drawn_before():
    torch.manual_seed(1)
    one = heat(pictures())
    torch.manual_seed(2)
    assert torch.equal(one, heat(pictures()))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (40, 8)])
def test_images_of_any_shape_give_finite_maps(shape):
    method = Contrast()
    warm = method.heatmap(torch.rand(2, 35, *shape))
    assert warm.shape == (2, *shape) and warm.isfinite().all()


@pytest.mark.parametrize("stride", [1, 2, 8])
def test_stride_is_pixels_per_place(stride):
    assert heat(pictures(1), stride=stride).shape == (1, 64 // stride, 64 // stride)


def test_it_refuses_a_network_and_a_stride_below_one():
    with pytest.raises(UsageError, match="reads no network"):
        discoverer("contrast", backbone="lite0")
    with pytest.raises(UsageError, match="Expected 1 or more"):
        discoverer("contrast", stride=0)


@pytest.mark.parametrize("name", DISCOVERERS)
def test_every_training_free_method_is_built_alike(name):
    method = discoverer_class(name).build()
    assert isinstance(method, Discoverer)
    assert 0 < method.readout.threshold < 1 and method.readout.origin


@pytest.mark.slow
def test_it_beats_constant_boxes_on_made_scenes_without_an_untrained_control(tmp_path):
    make_scenes(tmp_path, 100, size=96, test=0.5, seed=5)
    train, test = read_data(tmp_path, "train"), read_data(tmp_path, "test")
    predictor = discoverer("contrast", batch_size=8)
    assert untrained(predictor, train) is None
    measured, _ = evaluate(predictor, test, Progress(), fit=train, untrained=None, headline="transferred")
    names = [row.name for row in measured.controls]
    assert "untrained network" not in names
    for row in measured.controls:
        if row.name != "saliency":
            assert measured.lift(row).difference > 0, row.name
    other = compute_heatmaps(discoverer("contrast", batch_size=50), test, Progress())
    mine = compute_heatmaps(predictor, test, Progress())
    for one, two in zip(mine.heats, other.heats, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)
