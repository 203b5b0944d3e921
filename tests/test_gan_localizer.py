import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from boxless.boxes.from_heatmap import Readout
from boxless.gan import GANS
from boxless.gan.localizer import GanLocalizer, estimate_statistics, from_description
from boxless.gan.networks import Discriminator
from boxless.inference.localizer import Localizer
from boxless.runtime import checkpoint
from boxless.runtime.errors import UsageError

SIZE = 64


def discriminator(gan: str = "sn-dcgan", size: int = SIZE) -> Discriminator:
    recipe = GANS[gan]
    torch.manual_seed(0)
    return Discriminator(size, width=1 / 16, norm=recipe.norm, norm_first=recipe.norm_first, spectral=recipe.spectral)


def pictures(count: int = 40) -> Tensor:
    """Noise with a square of another texture in the middle of each."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(100, 156, (count, SIZE, SIZE, 3), generator=draws, dtype=torch.uint8)
    images[:, 20:44, 20:44] = torch.randint(0, 256, (count, 24, 24, 3), generator=draws, dtype=torch.uint8)
    return images


def to_network(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("gan", GANS)
def test_cam_is_the_logit_spread_over_the_image(gan: str) -> None:
    localizer = GanLocalizer(discriminator(gan)).prepare(pictures())
    images = to_network(pictures(5))
    heat = localizer.heatmap(images)
    assert heat.shape == (5, 4, 4)
    expected = localizer(images) - localizer.discriminator.linear.bias  # the paper's map is without the bias
    torch.testing.assert_close(heat.mean((1, 2)), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("reading", ["cam", "ddt", "border"])
def test_maps_of_a_discriminator_in_bf16_are_not_rounded_to_bf16(reading: Any) -> None:
    localizer = GanLocalizer(discriminator("sn-dcgan"), reading=reading, finer="shift").prepare(pictures())
    with torch.autocast("cpu", torch.bfloat16):
        heat, logits = localizer.heatmap_and_logits(to_network(pictures(1)))
    assert heat.dtype == torch.float32 and logits.shape == (1, 0)
    assert len(heat.unique()) > 0.95 * heat.numel()


@pytest.mark.parametrize("gan", GANS)
@pytest.mark.parametrize(
    ("reading", "finer"), [*itertools.product(["cam", "ddt", "border"], ["none", "shift", "stride"])]
)
def test_every_reading_of_every_gan(gan: str, reading: Any, finer: Any) -> None:
    localizer = GanLocalizer(discriminator(gan), reading=reading, finer=finer).prepare(pictures())
    images = to_network(pictures(3))
    heat = localizer.heatmap(images, torch.zeros(3))
    side = (4 if reading == "cam" else 8) * (1 if finer == "none" else 2)
    assert heat.shape == (3, side, side)
    assert heat.isfinite().all() and heat.flatten(1).std(1).min() > 0
    # Maps do not depend on the rest of the batch, nor on being asked twice.
    torch.testing.assert_close(localizer.heatmap(images[1:2])[0], heat[1], rtol=1e-4, atol=1e-5)
    assert torch.equal(localizer.heatmap(images), heat)


@pytest.mark.parametrize("gan", GANS)
def test_smoothgrad_of_every_gan(gan: str) -> None:
    localizer = GanLocalizer(discriminator(gan), reading="smoothgrad").prepare(pictures())
    images = to_network(pictures(3))
    with torch.inference_mode():
        heat = localizer.heatmap(images)
    assert heat.shape == (3, 16, 16)
    assert heat.isfinite().all() and heat.min() >= 0 and heat.flatten(1).std(1).min() > 0
    torch.testing.assert_close(localizer.heatmap(images[1:2])[0], heat[1], rtol=1e-4, atol=1e-6)
    assert torch.equal(localizer.heatmap(images), heat)
    assert all(weight.grad is None for weight in localizer.parameters())


def test_a_layer_that_d_lacks_and_no_shifts_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no layer 4 in a D of 4 layers\. Expected 0 to 3"):
        GanLocalizer(discriminator(), reading="ddt", layer=4)
    with pytest.raises(UsageError, match="at least 1"):
        GanLocalizer(discriminator(), finer="shift", shifts=0)
    with pytest.raises(
        UsageError, match="finer is 'stride'; the maps of smoothgrad have a place for every four pixels"
    ):
        GanLocalizer(discriminator(), reading="smoothgrad", finer="stride")


def test_sign_turns_the_map_round() -> None:
    real, fake = (GanLocalizer(discriminator(), sign=sign) for sign in (1, -1))
    images = to_network(pictures(2))
    assert torch.equal(real.heatmap(images), -fake.heatmap(images))


@pytest.mark.parametrize("reading", ["ddt", "border"])
def test_inner_readings_find_a_texture_that_stands_out(reading: Any) -> None:
    heat = GanLocalizer(discriminator(), reading=reading).prepare(pictures()).heatmap(to_network(pictures(10)))
    ring = torch.ones(8, 8, dtype=torch.bool)
    ring[2:6, 2:6] = False
    assert (heat[:, ~ring].mean(1) > heat[:, ring].mean(1)).all()


class Brightness(GanLocalizer):
    """Reads the mean brightness of each cell of D's last grid, whose place is known."""

    def _read(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images.mean(1), 16)


@pytest.mark.parametrize("shifts", [1, 2, 4])
@pytest.mark.parametrize(("y", "x"), [(4, 60), (33, 18), (50, 7)])
def test_shifted_maps_lie_where_the_image_does(shifts: int, y: int, x: int) -> None:
    images = torch.zeros(1, 3, SIZE, SIZE)
    images[:, :, y - 2 : y + 2, x - 2 : x + 2] = 1
    heat = Brightness(discriminator(), finer="shift", shifts=shifts).heatmap(images)[0]
    cell = SIZE / (4 * shifts)
    hot = (heat == heat.max()).nonzero().float().mean(0)
    assert ((hot + 0.5) * cell - torch.tensor([y, x])).abs().max() <= max(cell, 8)


def test_statistics_come_from_the_images_alone() -> None:
    d = discriminator("dcgan")
    norm = d.convolutions()[0][2]
    assert isinstance(norm, nn.BatchNorm2d)
    norm.running_mean.fill_(100)  # as generated images might have left it
    images = pictures(8)
    estimate_statistics(d, images)
    seen = d.convolutions()[0][1](d.convolutions()[0][0](2 * to_network(images) - 1))
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1 and not d.training


def test_a_last_batch_of_one_image_counts_as_one_image() -> None:
    images = pictures(129)  # a whole batch and one more, which looks like nothing else
    images[128] = 255
    d = discriminator("dcgan")
    norm = d.convolutions()[0][2]
    estimate_statistics(d, images)
    seen = d.convolutions()[0][1](d.convolutions()[0][0](2 * to_network(images) - 1))
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1


def test_untrained_control_is_another_network_read_alike() -> None:
    like = GanLocalizer(discriminator("dcgan"), reading="border", finer="shift")
    state = torch.random.get_rng_state()
    first, again, other = (GanLocalizer.untrained(like, pictures(), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    images = to_network(pictures(2))
    assert first.options == like.options
    assert torch.equal(first.heatmap(images), again.heatmap(images))
    assert not torch.equal(first.heatmap(images), other.heatmap(images))


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    localizer = GanLocalizer(discriminator(), reading="ddt", finer="stride").prepare(pictures())
    options = {"discriminator": localizer.discriminator.options, "reading": localizer.options}
    checkpoint.save(tmp_path / "best.pt", {"options": options, "model": localizer.state_dict()})
    content = checkpoint.read(tmp_path / "best.pt")
    loaded = from_description(content)
    loaded.load_state_dict(content["model"])
    images = to_network(pictures(2))
    assert torch.equal(loaded.heatmap(images), localizer.heatmap(images))


def test_a_gan_says_of_no_image_which_class_it_is() -> None:
    network = GanLocalizer(discriminator()).prepare(pictures())
    one = Localizer(network, "sn-dcgan", SIZE, [], Readout(0.5, "fixed"), {"kind": "gan"})
    heat, ranked = one.localize(torch.rand(3, 3, SIZE, SIZE))
    assert len(heat) == 3 and ranked.shape == (3, 0)
