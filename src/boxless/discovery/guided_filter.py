"""The guided filter: a map that follows the edges of its picture."""

from typing import no_type_check

import cv2
import numpy as np
from jaxtyping import Float32
from numba import njit

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
    means = cv2.blur(_moments(heat, picture), side, borderType=cv2.BORDER_REFLECT)
    lines = cv2.blur(_lines(means, smooth), side, borderType=cv2.BORDER_REFLECT)
    return np.asarray((lines[..., :3] * picture).sum(-1) + lines[..., 3], np.float32)


@njit(nogil=True, cache=True)
@no_type_check
def _moments(heat, picture):
    """Of every pixel the three colours, the map, the six products of two colours and the three with the map."""
    height, width = heat.shape
    found = np.empty((height, width, 13), np.float32)
    for y in range(height):
        for x in range(width):
            r, g, b, level = picture[y, x, 0], picture[y, x, 1], picture[y, x, 2], heat[y, x]
            one = found[y, x]
            one[0], one[1], one[2], one[3] = r, g, b, level
            one[4], one[5], one[6], one[7], one[8], one[9] = r * r, r * g, r * b, g * g, g * b, b * b
            one[10], one[11], one[12] = r * level, g * level, b * level
    return found


@njit(nogil=True, cache=True)
@no_type_check
def _lines(means, smooth):
    """Means of `_moments` over every window -> slope along each colour and offset of the map, by Cramer's rule."""
    height, width = means.shape[:2]
    found = np.empty((height, width, 4), np.float32)
    for y in range(height):
        for x in range(width):
            m = means[y, x].astype(np.float64)
            rr, gg, bb = m[4] - m[0] * m[0] + smooth, m[7] - m[1] * m[1] + smooth, m[9] - m[2] * m[2] + smooth
            rg, rb, gb = m[5] - m[0] * m[1], m[6] - m[0] * m[2], m[8] - m[1] * m[2]
            r, g, b = m[10] - m[0] * m[3], m[11] - m[1] * m[3], m[12] - m[2] * m[3]
            one, two, three = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
            whole = rr * one + rg * two + rb * three
            slope = found[y, x]
            slope[0] = (one * r + two * g + three * b) / whole
            slope[1] = (two * r + (rr * bb - rb * rb) * g + (rg * rb - rr * gb) * b) / whole
            slope[2] = (three * r + (rg * rb - rr * gb) * g + (rr * gg - rg * rg) * b) / whole
            slope[3] = m[3] - slope[0] * m[0] - slope[1] * m[1] - slope[2] * m[2]
    return found
