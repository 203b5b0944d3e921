"""Where I2C may draw its seeds: the places of a heat map above delta, and whether they lie on the object."""

from collections import Counter
from typing import Any

import numpy as np
from jaxtyping import Bool

from boxless.boxes import normalise
from boxless.data.sample import Boxes
from boxless.evaluating import Maps


def seed_places(maps: Maps, delta: float) -> dict[str, Any]:
    """Places above `delta` in each map, and the percentage of them inside a true box (Fig. 4).

    `counts` says how many images have how many such places; `chance` is the percentage of all places that are inside,
    which places drawn at random would reach.
    """
    counts, inside, chance = list[int](), list[float](), list[float]()
    for heat, size, truth in zip(maps.heats, maps.sizes, maps.truths, strict=True):
        warm, within = normalise(heat) > delta, places_inside(heat.shape, size, truth if truth is not None else _NONE)
        counts.append(int(warm.sum()))
        chance.append(float(100 * within.mean()))
        if warm.any():
            inside.append(float(100 * within[warm].mean()))
    return {
        "places": int(np.prod(maps.heats[0].shape)),
        "counts": {str(count): images for count, images in sorted(Counter(counts).items())},
        "inside": float(np.mean(inside)) if inside else None,
        "chance": float(np.mean(chance)),
    }


_NONE = np.zeros((0, 4), np.float32)


def places_inside(shape: tuple[int, ...], size: tuple[int, int], boxes: Boxes) -> Bool[np.ndarray, "h w"]:
    """Which places of a map have their centre in one of the boxes of an image of `size` (width, height)."""
    y, x = (((np.arange(n) + 0.5) / n * side) for n, side in zip(shape, size[::-1], strict=True))
    x0, y0, x1, y1 = boxes[:, None, None, :].transpose(3, 0, 1, 2)
    within = (x >= x0) & (x < x1) & (y[:, None] >= y0) & (y[:, None] < y1)
    return np.asarray(within.any(axis=0))
