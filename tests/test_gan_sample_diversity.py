import numpy as np
import pytest
import torch
from torch import Tensor

from boxless.gan.networks import Generator
from boxless.gan.sample_metrics import ms_ssim, pairs_of, similarities, similarity_of_pairs
from boxless.gan.samples import grid, samples


def pictures(count: int, size: int, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, size, size, 3), generator=draws, dtype=torch.uint8)


def by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """The definition of TensorFlow's msssim.py for one pair, written out with loops over windows."""

    def ssim(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        size = min(11, *x.shape[:2])
        sigma = size * 1.5 / 11
        places = np.arange(size) - (size - 1) / 2
        window = np.exp(-(places[:, None] ** 2 + places**2) / (2 * sigma**2))
        window = (window / window.sum())[..., None]
        similarity, contrast = [], []
        for i in range(x.shape[0] - size + 1):
            for j in range(x.shape[1] - size + 1):
                u, v = x[i : i + size, j : j + size], y[i : i + size, j : j + size]
                mu, mv = (u * window).sum((0, 1)), (v * window).sum((0, 1))
                uu, vv = (u * u * window).sum((0, 1)) - mu**2, (v * v * window).sum((0, 1)) - mv**2
                uv = (u * v * window).sum((0, 1)) - mu * mv
                c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
                contrast.append((2 * uv + c2) / (uu + vv + c2))
                similarity.append((2 * mu * mv + c1) / (mu**2 + mv**2 + c1) * contrast[-1])
        return float(np.mean(similarity)), float(np.mean(contrast))

    x, y = a.astype(np.float64), b.astype(np.float64)
    result = 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363):
        result *= max(0.0, ssim(x, y)[1]) ** weight
        x, y = ((m[::2, ::2] + m[1::2, ::2] + m[::2, 1::2] + m[1::2, 1::2]) / 4 for m in (x, y))
    return result * max(0.0, ssim(x, y)[0]) ** 0.1333


@pytest.mark.parametrize("size", [16, 32])
def test_against_the_definition(size: int) -> None:
    a = pictures(2, size)
    mixed = (0.7 * a.float() + 0.3 * pictures(2, size, 1).float()).to(torch.uint8)
    expected = [by_hand(x.numpy(), y.numpy()) for x, y in zip(a, mixed, strict=True)]
    assert 0.1 < min(expected) < max(expected) < 1
    np.testing.assert_allclose(ms_ssim(a, mixed).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("size", [16, 32, 64, 65, 128])
def test_equal_images_are_1_and_different_ones_less(size: int) -> None:
    images = pictures(3, size)
    torch.testing.assert_close(ms_ssim(images, images), torch.ones(3))
    assert (ms_ssim(images, pictures(3, size, 1)) < 0.9).all()


def test_an_inverted_image_has_no_root_of_a_negative_number() -> None:
    images = pictures(3, 32)
    assert (ms_ssim(images, 255 - images) == 0).all()


def test_pairs_are_fixed_and_never_of_one_image() -> None:
    pairs = pairs_of(10, 500)
    assert torch.equal(pairs, pairs_of(10, 500)) and not torch.equal(pairs, pairs_of(10, 500, seed=1))
    assert (pairs[:, 0] != pairs[:, 1]).all() and len(pairs.unique(dim=0)) == 90


def blended(count: int, spread: float) -> Tensor:
    """What a generator makes that has collapsed onto one image, up to `spread`."""
    base, noise = pictures(1, 16).float(), pictures(count, 16, 1).float()
    return ((1 - spread) * base + spread * noise).to(torch.uint8)


def test_images_of_a_collapsed_generator_are_more_alike() -> None:
    collapsed, lively = (similarity_of_pairs(blended(20, spread), 50) for spread in (0.1, 0.9))
    assert collapsed > 0.9 > 0.7 > lively
    assert similarity_of_pairs(pictures(20, 16), 50) == similarity_of_pairs(pictures(20, 16), 50)


def test_no_image_is_in_two_of_the_disjoint_pairs() -> None:
    images = blended(7, 0.5)
    expected = torch.stack([ms_ssim(images[i : i + 1], images[i + 1 : i + 2])[0] for i in (0, 2, 4)])
    torch.testing.assert_close(similarities(images), expected)


def test_z_of_a_seed_become_the_same_images_whatever_is_asked_for() -> None:
    torch.manual_seed(0)
    generator = Generator(16, width=1 / 16)
    images = samples(generator, "uniform", 130)
    assert images.shape == (130, 16, 16, 3) and images.dtype == torch.uint8
    assert torch.equal(samples(generator, "uniform", 130), images)
    assert not torch.equal(samples(generator, "normal", 130), images)
    assert not torch.equal(samples(generator, "uniform", 130, seed=1), images)
    assert int(generator.first[0].num_batches_tracked) == 0  # looking at samples leaves training's statistics alone
    picture = grid(images[:64])
    assert np.array_equal(picture[16:32, 32:48], images[10].numpy())  # second row, third column
