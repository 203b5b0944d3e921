"""IoU of boxes: pairs of a few, and the best of many against the truth in compiled code."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float64, Num
from numba import njit


@njit(nogil=True, cache=True)
@no_type_check
def overlaps(boxes, truths, size, edge):
    """Highest IoU of each half-open box (n, 4) with any of `truths` (m, 4); `edge` pixels are added inside `size`."""
    best = np.zeros(boxes.shape[0], np.float64)
    for i in range(boxes.shape[0]):
        x0, y0 = boxes[i, 0], boxes[i, 1]
        x1, y1 = min(boxes[i, 2] + edge, size[0]), min(boxes[i, 3] + edge, size[1])
        for t in range(truths.shape[0]):
            across = max(min(x1, truths[t, 2]) - max(x0, truths[t, 0]), 0.0)
            shared = across * max(min(y1, truths[t, 3]) - max(y0, truths[t, 1]), 0.0)
            own = (truths[t, 2] - truths[t, 0]) * (truths[t, 3] - truths[t, 1])
            union = (x1 - x0) * (y1 - y0) + own - shared
            if union > 0:
                best[i] = max(best[i], shared / union)
    return best


def box_ious(
    boxes: Num[np.ndarray, "n 4"], truth: Float[np.ndarray, "box 4"], edge: int, limit: tuple[int, int]
) -> Float64[np.ndarray, "n"]:
    """Highest IoU of each half-open box with any box of `truth`; `edge` and `limit` as in `best_ious`."""
    return np.asarray(overlaps(np.asarray(boxes, np.float64), np.ascontiguousarray(truth, np.float64), limit, edge))
