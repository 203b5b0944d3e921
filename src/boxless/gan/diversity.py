"""How different the images of a generator are: MS-SSIM between pairs, as the GAN papers of 2017 and 2018 measured it.

Their definition is that of TensorFlow's msssim.py, which shrinks the window with the image and therefore works at 64
and 32 pixels, where later libraries refuse. High means alike. The paper found the measure too noisy to stop by,
because z was drawn anew each time; here the bank of z and the pairs are fixed, so that two checkpoints differ only
by what their generators make.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, coarsest last (Wang et al. 2003)."""
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Images = UInt8[Tensor, "n size size 3"]


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
