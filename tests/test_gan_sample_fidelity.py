import torch
from torch import Tensor, nn

from boxless.gan.sample_metrics import Lite0Features, kid


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


def test_the_deviation_is_that_over_images_drawn_anew_however_many_there_are() -> None:
    for count in (20, 150):
        drawn = [kid(pictures(count, 256, 2 * s), pictures(count, 200, 2 * s + 1), Colours()) for s in range(200)]
        spread = float(torch.tensor([distance.mean for distance in drawn]).std())
        stated = sum(distance.deviation for distance in drawn) / len(drawn)
        assert 0.8 < stated / spread < 1.25, count


def test_the_deviation_is_the_jack_knife_s() -> None:
    real, made = pictures(9, 256), pictures(7, 100, 1)
    variance = 0.0
    for images, fixed in ((real, made), (made, real)):
        n = len(images)
        without = [kid(images[torch.arange(n) != i], fixed, Colours()).mean for i in range(n)]
        variance += (n - 1) * float(torch.tensor(without).double().var(correction=0))
    assert abs(kid(real, made, Colours()).deviation - variance**0.5) < 1e-3 * variance**0.5


def test_features_are_lite0s() -> None:
    found = Lite0Features()(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    assert found.shape == (2, 1280) and found.std() > 0
