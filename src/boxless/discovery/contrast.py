"""Border contrast: how little a place looks like the border of its own image. Nothing is learnt, from no data at all.

Photographers leave background around what they show, so an image's border tells what its background looks like. A
place is described by its mean colour and by the mean responses of random filters, which see texture; its distance from
the border's mean, whitened by how the border itself varies, is weighed by a broad Gaussian at the image's centre.

It is the baseline that every learning method has to beat, and the method of choice where no
pretrained network knows the domain.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boxless.boxes.from_heatmap import Readout
from boxless.discovery import Discoverer
from boxless.discovery.descriptors import border_mask, centre_prior
from boxless.runtime.errors import UsageError

FILTERS = 32
SIDE = 5
"""Random filters, and the side of each in pixels."""
RIDGE = 0.05
"""Share of a channel's variance over the whole image that is added to its variance along the border."""
FLOOR = 1e-6
"""Variance that is added besides, about that of rounding."""
LEAST = 0.5
"""Distance below which a place is like the border: in an image of one colour only rounding differs."""

SEVERAL = Readout(0.25, "fixed: for several objects, chosen once on training boxes of smears and made scenes", "minmax")


class Contrast(Discoverer):
    """Whitened distance of each place's colour and texture from the border's of its own image, times a centre prior."""

    size = 64
    """Side of the square that every image is resized to, in pixels."""
    stride = 4
    """Pixels of that square per place of the map."""
    readout = Readout(
        0.15,
        "fixed: the method's default, chosen once on training boxes of Tiny ImageNet's six groups",
        "minmax",
    )

    def __init__(self, stride: int = stride) -> None:
        self.stride, self.prior = stride, True
        draws = torch.Generator().manual_seed(0)  # the same filters always: they are part of the method
        filters = torch.randn(FILTERS, 3, SIDE, SIDE, generator=draws)
        filters -= filters.mean((2, 3), keepdim=True)  # what has no texture gets no response
        self.filters = filters / filters.flatten(1).norm(dim=1).view(-1, 1, 1, 1)

    @classmethod
    def build(cls, *, backbone: str | None = None, stride: int | None = None) -> "Contrast":
        """A place every `stride` pixels (default 4); raises UsageError for a backbone or a stride below 1."""
        if backbone is not None:
            raise UsageError(f"contrast reads no network, so the backbone {backbone} has no use. Leave it out.")
        if stride is not None and stride < 1:
            raise UsageError(f"The stride is {stride} pixels. Expected 1 or more.")
        return cls(stride or cls.stride)

    def to(self, device: torch.device) -> "Contrast":
        """Move the filters."""
        self.filters = self.filters.to(device)
        return self

    def untrained(self, seed: int) -> None:
        """None: nothing here is trained, so there is no untrained control."""
        return

    def look_for_several(self) -> None:
        """Take larger images, a higher threshold and no prior, which would leave out what lies away from the middle."""
        self.size, self.readout, self.prior = 128, SEVERAL, False

    def reset(self) -> None:
        """Nothing: each image is judged by its own border."""

    @torch.inference_mode()
    def descriptors(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch d h w"]:
        """Images in 0..1 -> mean colour and mean filter responses of every place, d = 3 + 32."""
        with torch.autocast(images.device.type, enabled=False):  # rounding would pass for texture
            padded = F.pad(images, (SIDE // 2,) * 4, mode="reflect")
            seen = torch.cat([images, F.relu(F.conv2d(padded, self.filters))], dim=1)
        return F.avg_pool2d(seen, min(self.stride, *seen.shape[-2:]))

    def partial_fit(self, descriptors: Float[Tensor, "batch d h w"]) -> None:
        """Nothing, as `reset`."""

    def fit_done(self) -> None:
        """Nothing, as `reset`."""

    @torch.inference_mode()
    def heatmap(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch h w"]:
        """Descriptors -> Mahalanobis distance from the border, times the prior; all zeros in an image of one colour."""
        places = descriptors.float()
        border = places[:, :, border_mask(places.shape[-2], places.shape[-1], thickness=1).to(places.device)]
        mean = border.mean(2, keepdim=True)  # (batch, d, 1)
        off = border - mean
        covariance = off @ off.mT / off.shape[2]
        ridge = torch.diag_embed(RIDGE * places.flatten(2).var(2, correction=0) + FLOOR)
        away = places.flatten(2) - mean
        distance: Tensor = (away * torch.linalg.solve(covariance + ridge, away)).sum(1).clamp(min=0).sqrt()
        distance = distance * (distance > LEAST)
        found = distance.view(len(places), *places.shape[-2:])
        return found * centre_prior(*places.shape[-2:]).to(places.device) if self.prior else found
