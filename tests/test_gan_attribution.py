import pytest
import torch
from torch import Tensor

from boxless.gan.attribution import CELL, CELLS, NOISE, density, gradient, occlusion, smoothgrad
from boxless.gan.networks import Discriminator

SIZE = 64


def corner(images: Tensor) -> Tensor:
    """The logit of what takes an image for real by the brightness of one cell, and looks at nothing else."""
    cell = SIZE // CELLS
    return images[:, :, cell : 2 * cell, 5 * cell : 6 * cell].mean((1, 2, 3))


@pytest.mark.parametrize("probe", [gradient, occlusion])
def test_probes_find_the_one_place_that_the_logit_depends_on(probe) -> None:
    images = 0.2 * torch.rand(3, 3, SIZE, SIZE)
    images[:, :, 8:16, 40:48] += 0.8
    heat = probe(corner, images)
    assert heat.shape == (3, CELLS, CELLS)
    assert all(divmod(int(one.flatten().argmax()), CELLS) == (1, 5) for one in heat)
    elsewhere = heat.clone()
    elsewhere[:, 0:3, 4:7] = 0
    assert elsewhere.abs().max() < 1e-6 < heat.amax((1, 2)).min()


def test_smoothgrad_marks_what_the_logit_depends_on_and_averages_over_noise() -> None:
    images = torch.rand(2, 3, SIZE, SIZE)
    heat = smoothgrad(lambda seen: corner(seen).relu(), images)
    cell = SIZE // CELLS // CELL
    marked = torch.zeros(SIZE // CELL, SIZE // CELL, dtype=torch.bool)
    marked[cell : 2 * cell, 5 * cell : 6 * cell] = True
    slope = (3 / (3 * (SIZE // CELLS) ** 2) ** 2) ** 0.5  # over three colours, each one over the cell's numbers
    torch.testing.assert_close(heat[:, marked], torch.full((2, cell * cell), slope))
    assert not heat[:, ~marked].any()
    jumps = smoothgrad(lambda seen: (seen.square() / 2).mean((1, 2, 3)), torch.zeros(1, 3, SIZE, SIZE))
    # The gradient of a squared colour is the colour itself: of nothing but noise, its root mean square is NOISE.
    numbers = 3 * SIZE**2
    assert jumps.mean() == pytest.approx(3**0.5 * NOISE / numbers, rel=0.05)


def test_occlusion_has_a_sign() -> None:
    images = torch.full((2, 3, SIZE, SIZE), 0.8)
    images[:, :, 8:16, 40:48] = 0.1  # what makes the image generated: hiding it raises the logit
    assert (occlusion(corner, images)[:, 1, 5] < 0).all()


@pytest.mark.parametrize("layer", [1, 2])
def test_density_is_high_where_an_image_looks_like_real_ones(layer: int) -> None:
    draws = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    d = Discriminator(SIZE, width=1 / 16, norm="none", spectral=True)
    coarse = torch.randint(0, 2, (40, SIZE // 8, SIZE // 8, 3), generator=draws, dtype=torch.uint8) * 255
    real = coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)
    noise = torch.randint(0, 256, (40, SIZE, SIZE, 3), generator=draws, dtype=torch.uint8)
    mixed = noise[:10].clone()
    mixed[:, :, SIZE // 2 :] = real[:10, :, SIZE // 2 :]
    heat = density(d, real, noise, layer)(mixed.permute(0, 3, 1, 2).float() / 255)
    half = heat.shape[-1] // 2
    assert (heat[:, :, half:].mean((1, 2)) > heat[:, :, :half].mean((1, 2))).all()
    heat = density(d, noise, real, layer)(mixed.permute(0, 3, 1, 2).float() / 255)
    assert (heat[:, :, half:].mean((1, 2)) < heat[:, :, :half].mean((1, 2))).all()
