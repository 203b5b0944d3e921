"""Spectral residual saliency as a method that finds boxes: every image is judged by itself, and nothing is learnt."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boxless.boxes.from_heatmap import Readout
from boxless.discovery import Discoverer
from boxless.discovery.spectral_residual import saliency
from boxless.runtime.errors import UsageError


class Saliency(Discoverer):
    """Spectral residual saliency as a method that finds boxes; it also stands beside every score as a control."""

    size = 64
    """Side of the square that every image is resized to, in pixels."""
    stride = 1
    """Pixels of that square per place of the map."""
    readout = Readout(0.4, "fixed: chosen once on training boxes of six sets that are no everyday photographs")

    @classmethod
    def build(cls, *, backbone: str | None = None, stride: int | None = None) -> "Saliency":
        """The method; raises UsageError for a backbone or a stride, of which it has none."""
        if backbone is not None or stride is not None:
            raise UsageError("saliency reads no network and has a map of 64 x 64. Leave --backbone and --stride out.")
        return cls()

    def to(self, device: torch.device) -> "Saliency":
        """Nothing to move."""
        return self

    def untrained(self, seed: int) -> None:
        """None: nothing here is trained, so there is no untrained control."""
        return

    def reset(self) -> None:
        """Nothing: each image is judged by itself."""

    def descriptors(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 64 64"]:
        """Images in 0..1 -> their saliency."""
        pictures = (images.float() * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return torch.from_numpy(np.stack([saliency(picture) for picture in pictures]))[:, None]

    def partial_fit(self, descriptors: Float[Tensor, "batch d h w"]) -> None:
        """Nothing, as `reset`."""

    def fit_done(self) -> None:
        """Nothing, as `reset`."""

    def heatmap(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch h w"]:
        """The saliency itself."""
        return descriptors[:, 0].float()
