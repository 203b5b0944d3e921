"""The guided filter: a map that follows the edges of its picture."""

import cv2
import numpy as np
from jaxtyping import Float32

RADIUS = 8
"""Half side of the window, in pixels."""
SMOOTH = 1e-4
"""Variance of colours in 0..1 below which a window counts as flat."""


def guided(
    heat: Float32[np.ndarray, "h w"],
    picture: Float32[np.ndarray, "h w 3"],
    radius: int = RADIUS,
    smooth: float = SMOOTH,
) -> Float32[np.ndarray, "h w"]:
    """A map and its RGB picture in 0..1 -> the map as a linear function of the colours in every window, averaged.

    He, Sun and Tang, "Guided Image Filtering", TPAMI 2013, Eqs. 19 to 21, for a guide in colour.
    """
    side = (2 * radius + 1, 2 * radius + 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.blur(values, side, borderType=cv2.BORDER_REFLECT), np.float32)

    colour, level = mean(picture), mean(heat)
    together = mean(picture * heat[..., None]) - colour * level[..., None]
    products = (picture[..., :, None] * picture[..., None, :]).reshape(*heat.shape, 9)
    spread = mean(products).reshape(*heat.shape, 3, 3) - colour[..., :, None] * colour[..., None, :]
    slope = np.linalg.solve(spread + smooth * np.eye(3, dtype=np.float32), together[..., None])[..., 0]
    offset = level - (slope * colour).sum(-1)
    return np.asarray((mean(slope) * picture).sum(-1) + mean(offset), np.float32)
