import torch
from torch import Tensor, nn

from boxless.gan.sample_metrics import Features, kid


class Colours(nn.Module):
    """The mean colour of an image, in 0..1."""

    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean((2, 3)) / 255


def pictures(count: int, brightest: int, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    colours = torch.randint(0, brightest, (count, 1, 1, 3), generator=draws)
    return colours.expand(count, 16, 16, 3).to(torch.uint8)


def by_hand(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy under the kernel (x·y / d + 1)³."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.t() / a.shape[1] + 1) ** 3

    n = len(x)
    within = sum((kernel(a, a).sum() - kernel(a, a).diagonal().sum()) / (n * (n - 1)) for a in (x, y))
    return float(within - 2 * kernel(x, y).mean())


def test_kid_is_the_papers_estimate() -> None:
    real, made = pictures(60, 256), pictures(60, 100, 1)
    x, y = (Colours()(images.permute(0, 3, 1, 2)).double() for images in (real, made))
    torch.testing.assert_close(kid(real, made, Colours()).mean, 1000 * by_hand(x, y), rtol=1e-3, atol=1e-3)
    alike = kid(real, pictures(60, 256, 2), Colours())
    assert kid(real, made, Colours()).mean > 100 > 20 > abs(alike.mean) and alike.deviation > 0


def test_kid_draws_alike_and_leaves_other_draws_alone() -> None:
    real, made = pictures(150, 256), pictures(150, 100, 1)
    state = torch.random.get_rng_state()
    assert kid(real, made, Colours()) == kid(real, made, Colours())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_features_are_lite0s() -> None:
    found = Features()(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    assert found.shape == (2, 1280) and found.std() > 0
