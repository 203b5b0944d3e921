"""Saliency: slopes against finite differences, and the squares over which they are averaged."""

import pytest
import torch
from torch import Tensor

from boxless.backbones import build_backbone
from boxless.methods.backprop import Backprop
from boxless.reproduce.feature_cache import FeatureCache
from boxless.runtime.errors import UsageError

LABELS = torch.tensor([0, 1])


def network(**options: object) -> Backprop:
    torch.manual_seed(0)
    return Backprop(build_backbone("tiny", weights="none"), 3, **options).eval()  # type: ignore[arg-type]


def pictures() -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_it_is_the_largest_slope_of_the_labels_score_on_a_pixels_colours() -> None:
    net, images, step = network(cell=1).double(), pictures().double(), 1e-6
    heat = net.heatmap(images, LABELS)
    assert heat.shape == (2, 16, 16)
    for place in ((0, 0), (3, 7), (15, 9)):
        slopes = []
        for colour in range(3):
            moved = images.clone()
            moved[:, colour, place[0], place[1]] += step
            slopes.append((net(moved) - net(images))[torch.arange(2), LABELS] / step)
        assert torch.allclose(heat[:, *place].double(), torch.stack(slopes).abs().amax(0), rtol=1e-3)


@pytest.mark.parametrize("side", [16, 18])
def test_cells_average_it_and_cover_the_image(side: int) -> None:
    fine, coarse = network(cell=1), network(cell=4)
    images = torch.rand(2, 3, side, side)
    whole, cells = fine.heatmap(images, LABELS), coarse.heatmap(images, LABELS)
    assert cells.shape == (2, 4, 4)
    assert torch.allclose(cells[:, 0, 0], whole[:, : -(-side // 4), : -(-side // 4)].mean((1, 2)))
    if side == 16:
        assert torch.allclose(cells.mean((1, 2)), whole.mean((1, 2)))
    assert network().cell == 4
    assert network(cell=64).heatmap(images, LABELS).shape == (2, 1, 1)


def test_images_of_a_batch_do_not_touch_each_other() -> None:
    net = network()
    together = net.heatmap(pictures(), LABELS)
    for index in range(2):
        alone = net.heatmap(pictures()[index : index + 1], LABELS[index : index + 1])
        assert torch.allclose(alone[0], together[index], rtol=1e-4, atol=1e-8)


def test_frozen_and_remembered_steps_still_have_slopes() -> None:
    net = network()
    expected = net.heatmap(pictures(), LABELS)
    net.backbone.freeze("conv2")
    FeatureCache().attach(net.backbone)
    assert torch.allclose(net.heatmap(pictures(), LABELS), expected)


def test_a_cell_without_pixels_is_refused() -> None:
    with pytest.raises(UsageError, match="cell is 0"):
        network(cell=0)
