"""How far generated images are from real ones: the kernel inception distance.

Published KIDs read InceptionV3's features at 299 pixels, whose weights do not come with pip. EfficientNet-Lite0's do;
its features make a distance that can be compared within boxless and with no published number. KID is unbiased with few
images, unlike FID, whose covariance has no full rank for the thousand images of a small category.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from boxless.backbones import build_backbone
from boxless.runtime.errors import UsageError

SIDE = 96
"""Side in pixels that images are brought to; GANs here make 32 or 64."""
Images = UInt8[Tensor, "n size size 3"]
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, coarsest last (Wang et al. 2003)."""
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


class Lite0Features(nn.Module):
    """Lite0's last features, averaged over the image: uint8 (batch, 3, h, w) -> (batch, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = build_backbone("lite0", stride=32).eval()

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 1280"]:
        """Resize, and average what the backbone computes."""
        large = F.interpolate(images.float() / 255, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        features: Tensor = self.backbone(large)
        return features.mean((2, 3))


class Distance(NamedTuple):
    """A KID x 1000, and its standard deviation if other images had been drawn (jack-knife)."""

    mean: float
    deviation: float


def kid(
    real: UInt8[Tensor, "_n size size 3"], generated: UInt8[Tensor, "_m size size 3"], features: nn.Module | None = None
) -> Distance:
    """KID of (n, size, size, 3) images (Binkowski et al. 2018, cubic kernel) x 1000; about 0 for two halves of one set.

    `features` maps uint8 (batch, 3, h, w) to (batch, feature) and is Lite0 if not given. It is the unbiased estimate
    from all pairs of images, which that of many subsets tends to; each image is left out once for the deviation.
    Raises UsageError for fewer than three images of a kind.
    """
    if min(len(real), len(generated)) < 3:
        raise UsageError(f"{len(real)} and {len(generated)} images have no distance; expected three or more of each.")
    describe = features or Lite0Features()
    x, y = (
        torch.cat([describe(part.permute(0, 3, 1, 2)) for part in torch.split(images, 64)]).cpu().double()
        for images in (real, generated)
    )
    within = [_kernel_sums(part, part) - _kernel(part.square().sum(1) / part.shape[1]) for part in (x, y)]
    across = [_kernel_sums(x, y), _kernel_sums(y, x)]
    n = torch.tensor([len(x), len(y)], dtype=torch.float64)
    total = torch.stack([sums.sum() for sums in within])
    shared = across[0].sum()
    whole = (total / (n * (n - 1))).sum() - 2 * shared / n.prod()
    variance = torch.zeros((), dtype=torch.float64)
    for kind, other in ((0, 1), (1, 0)):
        left = n[kind] - 1
        without = (total[kind] - 2 * within[kind]) / (left * (left - 1)) + total[other] / (n[other] * (n[other] - 1))
        without = without - 2 * (shared - across[kind]) / (left * n[other])
        variance += left / n[kind] * (without - without.mean()).square().sum()
    return Distance(1000 * float(whole), 1000 * float(variance.sqrt()))


def _kernel(products: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The cubic kernel of two features whose product, divided by their length, is given."""
    return (products + 1) ** 3


def _kernel_sums(x: Float[Tensor, "n feature"], y: Float[Tensor, "m feature"]) -> Float[Tensor, "n"]:
    """The sum of each x's kernel with all y, in parts, so that memory stays small."""
    return torch.cat([_kernel(part @ y.t() / y.shape[1]).sum(1) for part in x.split(1024)])  # type: ignore[no-untyped-call]


def ms_ssim(a: Images, b: Images) -> Float[Tensor, "n"]:
    """Multi-scale structural similarity of images a[i] and b[i] -> (n,), 1 for equal images.

    A negative contrast term, whose power does not exist, counts as 0.
    """
    x, y = (images.permute(0, 3, 1, 2).double() for images in (a, b))
    result = torch.ones(len(x), dtype=torch.float64, device=x.device)
    for scale, weight in enumerate(WEIGHTS):
        similarity, contrast = _ssim(x, y)
        last = scale == len(WEIGHTS) - 1
        result = result * (similarity if last else contrast).clamp(min=0) ** weight
        x, y = _halve(x), _halve(y)
    return result.float()


def pairs_of(count: int, pairs: int, seed: int = 0) -> Int[Tensor, "pair 2"]:
    """`pairs` fixed pairs of different numbers below `count` (pair, 2), always the same for one seed."""
    draws = torch.Generator().manual_seed(seed)
    first = torch.randint(count, (pairs,), generator=draws)
    step = torch.randint(1, count, (pairs,), generator=draws)
    return torch.stack([first, (first + step) % count], dim=1)


def similarity_of_pairs(images: Images, pairs: int = 1000, seed: int = 0) -> float:
    """Mean MS-SSIM over fixed pairs of `images`: the reference when they are real ones."""
    chosen = pairs_of(len(images), pairs, seed)
    parts = [ms_ssim(images[part[:, 0]], images[part[:, 1]]) for part in chosen.split(128)]  # type: ignore[no-untyped-call]
    return float(torch.cat(parts).mean())


def similarities(images: Images) -> Float[Tensor, "n//2"]:
    """MS-SSIM of images 0 and 1, 2 and 3, ... -> (n // 2,); no image is in two pairs, so an interval may be drawn."""
    pairs = images[: 2 * (len(images) // 2)]
    parts = zip(torch.split(pairs[::2], 128), torch.split(pairs[1::2], 128), strict=True)
    return torch.cat([ms_ssim(a, b) for a, b in parts])


def _ssim(x: Float[Tensor, "n c h w"], y: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    size = min(WINDOW, *x.shape[-2:])
    down, across = (_gaussian(length, size, SIGMA * size / WINDOW).to(x.device) for length in x.shape[-2:])
    mean_x, mean_y, xx, yy, xy = (down @ maps @ across.t() for maps in (x, y, x.square(), y.square(), x * y))
    covariance = xy - mean_x * mean_y
    variances = xx - mean_x.square() + yy - mean_y.square()
    contrast = (2 * covariance + C2) / (variances + C2)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    return (luminance * contrast).mean((1, 2, 3)), contrast.mean((1, 2, 3))


def _gaussian(length: int, size: int, sigma: float) -> Float[Tensor, "{length-size+1} {length}"]:
    """The window at every place where it fits, as a matrix: a matrix product is faster here than a convolution."""
    places = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    line = torch.exp(-places.square() / (2 * sigma**2))
    matrix = torch.zeros(length - size + 1, length, dtype=torch.float64)
    for place, row in enumerate(matrix):
        row[place : place + size] = line / line.sum()
    return matrix


def _halve(maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c (h+1)//2 (w+1)//2"]:
    # An odd side's last row or column is averaged with itself.
    odd = (0, maps.shape[-1] % 2, 0, maps.shape[-2] % 2)
    return F.avg_pool2d(F.pad(maps, odd, mode="replicate"), 2)
