"""The processor's forms of the networks' convolutions against torch's own, in double precision."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from boxless.gan import recipe
from boxless.gan.augmentation import Batches
from boxless.gan.convolution import Downwards, Upwards, fold
from boxless.gan.networks import LATENT, Discriminator, Generator
from boxless.gan.training_step import Step

SHAPES = {"kernel_size": 4, "stride": 2, "padding": 1, "dtype": torch.float64}


def results(module: nn.Module, maps: Tensor) -> list[Tensor]:
    """Output, and the gradients of its weighted sum in maps, weight and bias."""
    maps = maps.clone().requires_grad_(True)
    out = module(maps)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return [out, *torch.autograd.grad((out * weights).sum(), [maps, *module.parameters()])]


@given(count=st.integers(1, 20), grid=st.sampled_from([4, 8, 64]), leaving=st.integers(1, 5))
@settings(max_examples=8, deadline=None)
def test_images_side_by_side_are_convolved_as_one_by_one(count: int, grid: int, leaving: int) -> None:
    torch.manual_seed(0)
    maps = torch.randn(count, 2, grid, grid, dtype=torch.float64)
    for ours, plain in ((Downwards, nn.Conv2d), (Upwards, nn.ConvTranspose2d)):
        fast, slow = ours(2, leaving, **SHAPES), plain(2, leaving, **SHAPES)
        slow.load_state_dict(fast.state_dict())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("boxless.gan.convolution.SHORT", 32)  # as it is with AMX
            found = results(fast, maps)
        torch.testing.assert_close(found, results(slow, maps))


def test_folded_images_are_convolved_as_they_are() -> None:
    torch.manual_seed(0)
    images, maps = torch.randn(3, 3, 8, 8).double(), torch.randn(3, 5, 4, 4).double()
    down, up = Downwards(3, 5, **SHAPES), Upwards(5, 3, **SHAPES)
    torch.testing.assert_close(results(lambda_of(down, lambda x: down(fold(x))), images), results(down, images))
    folded = lambda_of(up, up.folded_tanh)
    plain = lambda_of(up, lambda x: fold(up(x).tanh()))
    torch.testing.assert_close(results(folded, maps), results(plain, maps), rtol=1e-5, atol=1e-6)  # tanh in float32


def lambda_of(module: nn.Module, work: object) -> nn.Module:
    """A module with the parameters of `module` that does `work`."""
    made = nn.Module()
    made.weight, made.bias, made.forward = module.weight, module.bias, work  # type: ignore[assignment]
    return made


def test_gradients_of_gradients_which_penalties_need() -> None:
    torch.manual_seed(0)
    down = Downwards(2, 3, **SHAPES)
    maps = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: down.leaky(x, 0.2) ** 2, maps)


def test_images_are_drawn_folded_as_they_are_drawn() -> None:
    images = torch.randint(0, 256, (9, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batches = Batches(images, augment=False)
    drawn, folded = (draw(5, torch.Generator().manual_seed(1)) for draw in (batches.draw, batches.draw_folded))
    torch.testing.assert_close(folded, fold(drawn), rtol=0, atol=0)


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_generator_that_diverged_is_seen_in_its_images(folded: bool, dtype: torch.dtype) -> None:
    broken = torch.zeros(1) / torch.zeros(
        1
    )  # as arithmetic makes it: on many processors with the sign of a negative one
    generator = Generator(64, width=1 / 16, base=64)
    with torch.no_grad():
        generator.linear.weight[0] *= broken
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        images = (generator.folded if folded else generator)(torch.randn(4, LATENT))
    assert images.isnan().any()


@pytest.mark.parametrize(("gan", "augment"), [("dcgan", True), ("sn-dcgan", False)])
def test_steps_on_folded_images_log_what_others_do(gan: str, augment: bool) -> None:
    options = replace(recipe(gan, "reference"), batch_size=8)
    images = torch.randint(0, 256, (20, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    terms = []
    for folded in (True, False):
        torch.manual_seed(0)
        generator = Generator(64, width=1 / 16, base=64)
        discriminator = Discriminator(64, width=1 / 16, norm=options.norm, norm_first=False, spectral=options.spectral)
        step = Step(options, generator, discriminator, Batches(images, augment=augment), bf16=False)
        assert step.folded
        step.folded = folded
        for number in range(2):
            step.iterate(0, number)
        terms.append(step.terms)
    torch.testing.assert_close(*terms, rtol=1e-4, atol=1e-4)
