"""What descriptors of places share: principal direction, whitening, the border and the centre prior."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

PRIOR = 0.3
"""Standard deviation of the Gaussian at the centre, as a share of the image's side."""


def _ring(h: int, w: int) -> Tensor:
    """(h, w) mask of the outermost places."""
    ring = torch.ones(h, w, dtype=torch.bool)
    ring[1:-1, 1:-1] = False
    return ring


def _prior(h: int, w: int) -> Float[Tensor, "h w"]:
    """A Gaussian at the centre, 1 there."""
    down, across = (torch.exp(-(((torch.arange(n) + 0.5) / n - 0.5) ** 2) / (2 * PRIOR**2)) for n in (h, w))
    return torch.outer(down, across)


def _border(h: int, w: int) -> Tensor:
    """(h, w) mask of the outermost places: one in nine of the side, at least one place wide."""
    border = torch.ones(h, w, dtype=torch.bool)
    tall, wide = max(1, h // 9), max(1, w // 9)
    border[tall : h - tall, wide : w - wide] = False
    return border


def _principal_direction(
    maps: Iterable[Float[Tensor, "_batch c h w"]],
) -> tuple[Float[Tensor, "c"], Float[Tensor, "c"]]:
    """Mean and first principal direction of all descriptors, pointing from the borders of images to their inside."""
    count, total, inwards, outer = 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
    for part in maps:
        places = part.double().permute(1, 0, 2, 3).flatten(1)
        count += places.shape[1]
        total = total + places.sum(1)
        outer = outer + places @ places.t()
        inwards = inwards + _away_from_border(part).double().mean((0, 2, 3))
    mean = total / count
    direction = torch.linalg.eigh(outer / count - torch.outer(mean, mean)).eigenvectors[:, -1]
    if direction @ inwards < 0:
        direction = -direction
    return mean.float(), direction.float()


def _border_places(maps: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c place"]:
    """The descriptors of the outermost places."""
    ring = torch.ones(maps.shape[-2:], dtype=torch.bool, device=maps.device)
    ring[1:-1, 1:-1] = False
    return maps[:, :, ring]


def _away_from_border(maps: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
    return maps - _border_places(maps).mean(2)[:, :, None, None]


def _whitening(maps: Iterable[Float[Tensor, "_batch c h w"]]) -> Float[Tensor, "c c"]:
    """W with W Wᵀ the inverse covariance of border descriptors about their image's mean, ridged by a hundredth."""
    rings = [_border_places(_away_from_border(part)).double() for part in maps]
    outer = torch.stack([torch.einsum("bcn,bdn->cd", ring, ring) for ring in rings]).sum(0)
    values, vectors = torch.linalg.eigh(outer / sum(ring.numel() // ring.shape[1] for ring in rings))
    whitening: Tensor = (vectors / (values + 0.01 * values.mean().clamp(min=1e-12)).sqrt()).float()
    return whitening
