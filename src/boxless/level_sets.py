"""What `levels` does beside the component tree, compiled: levels of a map, filled holes, best nodes, overlaps."""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
@no_type_check
def quantise(heat, thresholds):
    """Number of ascending thresholds below each value: guessed from an even grid, then corrected, so exact."""
    count = thresholds.size
    levels = np.empty(heat.shape, np.uint16)
    out, values = levels.ravel(), heat.ravel()
    first, step = thresholds[0], max((thresholds[-1] - thresholds[0]) / max(count - 1, 1), np.float32(1e-12))
    for i in range(values.size):
        value = values[i]
        level = min(max(int((value - first) / step) + 1, 0), count)
        while level > 0 and thresholds[level - 1] >= value:
            level -= 1
        while level < count and thresholds[level] < value:
            level += 1
        out[i] = level
    return levels


@njit(nogil=True, cache=True)
@no_type_check
def fill_holes(levels):
    """Every pixel raised to the lowest level over which it drains to the border by edges: all masks' holes filled.

    A flood from the border, lowest level first, with one bucket a level; each pixel enters once.
    """
    height, width = levels.shape
    stride = width + 2
    deep = np.full((height + 2, stride), -1, np.int32)  # a rim of -1 is never entered
    deep[1:-1, 1:-1] = levels
    rise = deep.ravel()
    filled = np.zeros((height + 2, stride), np.uint16)
    out = filled.ravel()
    following = np.empty(rise.size, np.int32)
    bucket = np.full(int(levels.max()) + 1, -1, np.int32)
    for y in range(1, height + 1):
        for x in range(1, width + 1, 1 if y in (1, height) else max(width - 1, 1)):
            p = y * stride + x
            following[p], bucket[rise[p]] = bucket[rise[p]], p
            out[p], rise[p] = rise[p], -1
    for level in range(bucket.size):
        while bucket[level] >= 0:
            p = bucket[level]
            bucket[level] = following[p]
            for q in (p - stride, p + 1, p + stride, p - 1):
                if rise[q] >= 0:
                    at = max(rise[q], level)
                    out[q], rise[q] = at, -1
                    following[q], bucket[at] = bucket[at], q
    return filled[1:-1, 1:-1].copy()


@njit(nogil=True, cache=True)
@no_type_check
def best_standing(rank, low, high, count):
    """The node of highest rank among those with low <= j <= high, for every level j < count; -1 where there is none.

    A sparse table turned round: a range is the union of two power-of-two ranges; these are pushed down at the end.
    """
    depth = 1
    while (1 << depth) <= count:
        depth += 1
    table = np.full((depth, count), -1, np.int32)
    for node in range(rank.size):
        k = 0
        while (2 << k) <= high[node] - low[node] + 1:
            k += 1
        for start in (np.int64(low[node]), np.int64(high[node]) + 1 - (1 << k)):
            if table[k, start] < 0 or rank[node] > rank[table[k, start]]:
                table[k, start] = node
    for k in range(depth - 1, 0, -1):
        for j in range(count + 1 - (1 << k)):
            node = table[k, j]
            if node >= 0:
                for i in (j, j + (np.int64(1) << (k - 1))):
                    if table[k - 1, i] < 0 or rank[node] > rank[table[k - 1, i]]:
                        table[k - 1, i] = node
    return table[0]


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
