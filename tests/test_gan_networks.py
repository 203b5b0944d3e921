import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from boxless.gan.networks import Discriminator, Generator, Layer, frozen_parameters, frozen_statistics
from boxless.gan.spectral_norm import SpectralNorm, power_iteration


def tiny(size: int = 32, **options: object) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(size, width=1 / 16, **options)


def test_table_1_at_64_pixels() -> None:
    with torch.device("meta"):
        d, g = Discriminator(64), Generator(64)
        maps = d.maps(torch.zeros(2, 3, 64, 64))
        images = g(torch.zeros(2, 128))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    assert images.shape == (2, 3, 64, 64)
    # Counted by hand: convolutions without bias where a norm follows, two numbers per normalised channel, one logit.
    assert sum(p.numel() for p in d.parameters()) == 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 2 * 960 + 513
    deconvolutions = 16 * (128 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    assert sum(p.numel() for p in g.parameters()) == 128 * 2048 + 2 * (128 + 896) + deconvolutions + 3


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_any_power_of_two_ends_at_4x4(size: int) -> None:
    d, g = tiny(size), Generator(size, width=1 / 16)
    images = g(torch.rand(3, 128))
    assert images.shape == (3, 3, size, size)
    assert images.abs().max() <= 1
    assert d.features(images).shape[-2:] == (4, 4)
    assert d(images).shape == (3,)


def test_at_32_pixels_the_outer_layers_have_stride_1() -> None:
    d, g = tiny(32), Generator(32, width=1 / 16)
    assert [layer.stride for layer in d.convolutions()] == [1, 2, 2, 2]
    assert [m.stride[0] for m in g.layers if isinstance(m, nn.ConvTranspose2d)] == [2, 2, 2, 1]
    assert len(d.convolutions()) == len(tiny(64).convolutions())


def test_norm_first_and_biases() -> None:
    without = tiny(norm="bn", norm_first=False).convolutions()
    assert without[0][1].bias is not None and without[1][1].bias is None
    assert not any(isinstance(m, nn.BatchNorm2d) for m in without[0])
    assert any(isinstance(m, nn.BatchNorm2d) for m in tiny(norm="bn").convolutions()[0])


@pytest.mark.parametrize(("norm", "mixes"), [("ln", False), ("none", False), ("bn", True)])
def test_whether_one_image_moves_the_logit_of_another(norm: str, mixes: bool) -> None:
    d = tiny(norm=norm)
    images = torch.rand(4, 3, 32, 32).requires_grad_(True)
    (gradient,) = torch.autograd.grad(d(images)[0], images)
    assert bool(gradient[1:].abs().max() > 0) == mixes
    assert gradient[0].abs().max() > 0


def test_spectral_norm_reaches_every_layer_and_the_largest_singular_value() -> None:
    d = tiny(norm="none", spectral=True)
    normalised = [m for m in d.modules() if isinstance(m, SpectralNorm)]
    assert len(normalised) == sum(isinstance(m, nn.Conv2d | nn.Linear) for m in d.modules()) == 5
    for _ in range(200):
        power_iteration(d)
    for layer in d.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_no_forward_moves_the_power_iteration(training: bool) -> None:
    d = tiny(norm="none", spectral=True).train(training)
    before = {name: value.clone() for name, value in d.state_dict().items()}
    first, second = d(torch.ones(2, 3, 32, 32)), d(torch.ones(2, 3, 32, 32))
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in d.state_dict().items())
    power_iteration(d)
    assert any(not torch.equal(value, before[name]) for name, value in d.state_dict().items())


def test_spectral_norm_has_the_gradient_of_torchs_own() -> None:
    theirs = torch.nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 5, 4)).eval()
    ours = nn.Conv2d(3, 5, 4)
    ours.load_state_dict({"weight": theirs.parametrizations.weight.original, "bias": theirs.bias})
    parametrize.register_parametrization(ours, "weight", SpectralNorm(ours.weight))
    ours.parametrizations.weight[0].u.copy_(theirs.parametrizations.weight[0]._u)
    ours.parametrizations.weight[0].v.copy_(theirs.parametrizations.weight[0]._v)
    images = torch.rand(2, 3, 8, 8)
    for conv in (ours, theirs):
        conv(images).square().sum().backward()
    mine, other = (conv.parametrizations.weight.original.grad for conv in (ours, theirs))
    torch.testing.assert_close(mine, other)


def test_frozen_statistics_keep_the_running_ones() -> None:
    d = tiny(norm="bn").train()
    with frozen_statistics(d):
        inside = d(torch.rand(4, 3, 32, 32))
    norm = d.convolutions()[0][2]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean.abs().max() == 0 and norm.num_batches_tracked == 0
    d(torch.rand(4, 3, 32, 32))
    assert norm.running_mean.abs().max() > 0
    assert inside.std() > 0  # normalised by its own batch, not by the untouched 0 and 1


def test_frozen_parameters_get_no_gradient_and_pass_it_on() -> None:
    d = tiny(norm="none")
    images = torch.rand(2, 3, 32, 32).requires_grad_(True)
    with frozen_parameters(d):
        d(images).sum().backward()
    assert images.grad.abs().max() > 0
    assert all(p.grad is None and p.requires_grad for p in d.parameters())


def test_dense_layer_doubles_the_grid_and_stays_centred() -> None:
    torch.manual_seed(0)
    layer = Layer(3, 4, 2, "none")
    mirrored = Layer(3, 4, 2, "none")
    mirrored[1].weight.data = layer[1].weight.data.flip(-1)
    mirrored[1].bias.data = layer[1].bias.data
    maps = torch.randn(1, 3, 8, 8)
    assert layer.dense(maps).shape == (1, 4, 8, 8)
    torch.testing.assert_close(mirrored.dense(maps.flip(-1)), layer.dense(maps).flip(-1))
