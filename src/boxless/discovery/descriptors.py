"""What descriptors of places share: streamed moments and principal directions, whitening, the border, the prior."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PRIOR = 0.3
"""Standard deviation of the Gaussian at the centre, as a share of the image's side."""


def border_mask(h: int, w: int, *, thickness: int | None = None) -> Bool[Tensor, "h w"]:
    """(h, w) mask of the outermost places: `thickness` of them, or one in nine of the side and at least one."""
    tall, wide = (thickness or max(1, side // 9) for side in (h, w))
    border = torch.ones(h, w, dtype=torch.bool)
    border[tall : h - tall, wide : w - wide] = False
    return border


def centre_prior(h: int, w: int, deviation: float = PRIOR) -> Float[Tensor, "h w"]:
    """A Gaussian at the centre, 1 there; `deviation` is its standard deviation as a share of the side."""
    down, across = (torch.exp(-(((torch.arange(n) + 0.5) / n - 0.5) ** 2) / (2 * deviation**2)) for n in (h, w))
    return torch.outer(down, across)


class Moments:
    """Mean and covariance of the descriptors of all places, and the mean along the borders, as they stream by."""

    def __init__(self) -> None:
        self.places = self.border_places = 0
        self.shift: Tensor | None = None
        self.total = self.outer = self.border = torch.zeros(0)

    def add(self, descriptors: Float[Tensor, "batch d h w"]) -> None:
        """Take in the places of a batch of images."""
        places = descriptors.permute(0, 2, 3, 1).double()  # (batch, h, w, d)
        if self.shift is None:
            # Sums around a first guess of the mean lose no digits where the descriptors' mean is large.
            self.shift = places.mean((0, 1, 2))
            self.total, self.border = torch.zeros_like(self.shift), torch.zeros_like(self.shift)
            self.outer = places.new_zeros(len(self.shift), len(self.shift))
        places = places - self.shift
        flat = places.flatten(0, 2)
        self.total = self.total + flat.sum(0)
        self.outer.addmm_(flat.T, flat)
        self.places += len(flat)
        border = places[:, border_mask(*places.shape[1:3]).to(places.device)].flatten(0, 1)
        self.border = self.border + border.sum(0)
        self.border_places += len(border)

    def mean_and_covariance(self) -> tuple[Float[Tensor, "d"], Float[Tensor, "d d"]]:
        """Of all places that were added, in double precision."""
        if self.shift is None:
            raise ValueError("no descriptors were added")
        mean = self.total / self.places
        return self.shift + mean, self.outer / self.places - torch.outer(mean, mean)

    def principal_direction(self) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
        """Mean and first principal direction of what was added, pointing from the images' borders to their inside."""
        mean, covariance = self.mean_and_covariance()
        direction = torch.linalg.eigh(covariance).eigenvectors[:, -1]
        inner_places = self.places - self.border_places
        if inner_places:
            inside, outside = (self.total - self.border) / inner_places, self.border / self.border_places
            if (inside - outside) @ direction < 0:
                direction = -direction
        return mean.float(), direction.float()


def away_from_border(maps: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
    """Descriptors relative to the mean of those along their own image's outermost places."""
    return maps - _border_places(maps).mean(2)[:, :, None, None]


def whitening_of(maps: Iterable[Float[Tensor, "_batch c h w"]]) -> Float[Tensor, "c c"]:
    """W with W Wᵀ the inverse covariance of border descriptors about their image's mean, ridged by a hundredth."""
    rings = [_border_places(away_from_border(part)).double() for part in maps]
    outer = torch.stack([torch.einsum("bcn,bdn->cd", ring, ring) for ring in rings]).sum(0)
    values, vectors = torch.linalg.eigh(outer / sum(ring.numel() // ring.shape[1] for ring in rings))
    whitening: Tensor = (vectors / (values + 0.01 * values.mean().clamp(min=1e-12)).sqrt()).float()
    return whitening


def _border_places(maps: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c place"]:
    return maps[:, :, border_mask(maps.shape[-2], maps.shape[-1], thickness=1).to(maps.device)]
