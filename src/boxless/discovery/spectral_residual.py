"""Spectral residual saliency (Hou and Zhang, CVPR 2007) times a Gaussian at the centre: no network, nothing learnt.

The residual is the part of the log spectrum that its 3 x 3 mean does not explain; its image is blurred (sigma 6) and
weighed by a Gaussian at the centre (sigma 20), both in pixels of the 64 x 64 picture. It needs no torch.
"""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8


def saliency(picture: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "64 64"]:
    """The saliency of an RGB picture, (h, w, 3) -> (64, 64)."""
    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (64, 64), interpolation=cv2.INTER_AREA)
    spectrum = np.fft.fft2(grey.astype(np.float64))
    size = np.log(np.abs(spectrum) + 1e-9)
    residual = size - cv2.blur(size, (3, 3))
    shown = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    centre = np.exp(-((np.arange(64) - 31.5) ** 2) / (2 * 20.0**2))
    return np.asarray(cv2.GaussianBlur(shown, (0, 0), 6.0) * np.outer(centre, centre), np.float32)
