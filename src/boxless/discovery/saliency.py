"""Spectral residual saliency (Hou and Zhang, CVPR 2007) times a Gaussian at the centre: no network, nothing learnt.

The residual is the part of the log spectrum that its 3 x 3 mean does not explain; its image is blurred (sigma 6) and
weighed by a Gaussian at the centre (sigma 20), both in pixels of the 64 x 64 picture. Every image is judged by itself.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from boxless.boxes.from_heatmap import Readout
from boxless.runtime.errors import UsageError


def saliency(picture: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "64 64"]:
    """The saliency of an RGB picture, (h, w, 3) -> (64, 64)."""
    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (64, 64), interpolation=cv2.INTER_AREA)
    spectrum = np.fft.fft2(grey.astype(np.float64))
    size = np.log(np.abs(spectrum) + 1e-9)
    residual = size - cv2.blur(size, (3, 3))
    shown = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    centre = np.exp(-((np.arange(64) - 31.5) ** 2) / (2 * 20.0**2))
    return np.asarray(cv2.GaussianBlur(shown, (0, 0), 6.0) * np.outer(centre, centre), np.float32)


class Saliency:
    """Spectral residual saliency as a method that finds boxes; it also stands beside every score as a control."""

    size = 64
    """Side of the square that every image is resized to, in pixels."""
    stride = 1
    """Pixels of that square per place of the map."""
    choice = ""
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

    def forget(self) -> None:
        """Nothing: each image is judged by itself."""

    def describe(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 64 64"]:
        """Images in 0..1 -> their saliency."""
        pictures = (images.float() * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return torch.from_numpy(np.stack([saliency(picture) for picture in pictures]))[:, None]

    def learn(self, descriptors: Float[Tensor, "batch d h w"]) -> None:
        """Nothing, as `forget`."""

    def finish(self) -> None:
        """Nothing, as `forget`."""

    def heatmap(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch h w"]:
        """The saliency itself."""
        return descriptors[:, 0].float()
