"""The components of a bilinearly enlarged map above a threshold, without the enlarged map; compiled.

Within a cell of the coarse grid a row of the enlarged map is linear in x, so each row is a few RUNS of pixels above the
threshold, whose ends are found by division and whose sums in closed form. Runs of neighbouring rows are joined by
union-find. Pixels so near the threshold that rounding decides are evaluated one by one, in the arithmetic of OpenCV's
resize: float32, x before y, a + (b - a) * weight with one rounding.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from boxless.runtime.union_find import find_root

NEAR = 1e-6
"""More than float32 rounding moves a value of a map in 0..1, so beyond it the sign of the difference is certain."""


@njit(nogil=True, cache=True)
@no_type_check
def components(heat, width, height, threshold):
    """The 8-connected components of the map `heat` (h, w; float32, 0..1), enlarged to (height, width), above a float32.

    A row each of int64 (component, 6): half-open box x0 y0 x1 y1, pixels, and the first 2 x 2 block in reading order,
    by which OpenCV numbers them; and the sum of the map over each, float64.
    """
    columns, weights = _places(heat.shape[1], width)
    rows, row_weights = _places(heat.shape[0], height)
    starts = np.searchsorted(columns, np.arange(-1, heat.shape[1] + 1))  # of the pixels in each cell
    link, parts, sums, count = np.empty(64, np.int64), np.empty((64, 6), np.int64), np.empty(64), 0
    room = width // 2 + 1
    runs, above, totals = np.empty((room, 3), np.int64), np.empty((room, 3), np.int64), np.empty(room)
    found_above = 0
    for y in range(height):
        top, bottom = max(rows[y], 0), min(rows[y] + 1, heat.shape[0] - 1)
        if heat.shape[1] == width and heat.shape[0] == height:
            found = _runs_of_pixels(heat[y], threshold, runs, totals)
        else:
            found = _runs(heat[top], heat[bottom], row_weights[y], starts, weights, threshold, runs, totals)
        if count + found > link.size:
            more = 2 * link.size + found
            link, parts, sums = _longer(link, more), _longer(parts, more), _longer(sums, more)
        count = _join(runs[:found], totals, above[:found_above], y, (width + 1) >> 1, link, parts, sums, count)
        runs, above, found_above = above, runs, found
    roots = np.flatnonzero(link[:count] == np.arange(count))
    return parts[roots], sums[roots]


@njit(nogil=True, cache=True)
@no_type_check
def _places(few, many):
    """For `many` pixel centres over `few`: the one before each (-1: none), and the weight of the one after it."""
    before, weights = np.empty(many, np.int64), np.zeros(many, np.float32)
    for i in range(many):
        at = (i + 0.5) * (few / many) - 0.5
        before[i] = min(max(np.floor(at), -1), few - 1)
        if 0 <= before[i] < few - 1:
            weights[i] = at - before[i]
    return before, weights


@njit(nogil=True, cache=True)
@no_type_check
def _runs(top, bottom, down, starts, weights, threshold, runs, totals):
    """Write the runs of one row between two rows of the map: where each begins and ends, and its sum; how many."""
    found = 0
    right = top[0] + (np.float64(bottom[0]) - top[0]) * down
    for cell in range(starts.size - 1):
        a, b = max(cell - 1, 0), min(cell, top.size - 1)
        left, right = right, top[b] + (np.float64(bottom[b]) - top[b]) * down
        begin, end = starts[cell], starts[cell + 1]
        if begin == end or max(left, right) < threshold - NEAR:
            continue
        first, last = left + (right - left) * weights[begin], left + (right - left) * weights[end - 1]
        if min(left, right) > threshold + NEAR:
            found = _add(begin, end, first, last, runs, totals, found)
            continue
        if top[a] == top[b] and bottom[a] == bottom[b]:  # the same in every pixel
            if _pixel(top[a], top[b], bottom[a], bottom[b], weights[begin], down) > threshold:
                found = _add(begin, end, first, last, runs, totals, found)
            continue
        unsure, sure = begin, end  # the pixels from `unsure` to `sure` are evaluated, those to both sides are certain
        step = (last - first) / max(end - 1 - begin, 1)
        if abs(step) * (end - begin) > NEAR:
            middle, around = (threshold - first) / step, NEAR / abs(step)
            unsure = begin + min(max(int(np.floor(middle - around)), 0), end - begin)
            sure = begin + min(max(int(np.ceil(middle + around)) + 1, 0), end - begin)
        if step < 0:
            found = _add(begin, unsure, first, first + (unsure - 1 - begin) * step, runs, totals, found)
        for x in range(unsure, sure):
            value = _pixel(top[a], top[b], bottom[a], bottom[b], weights[x], down)
            if value > threshold:
                found = _add(x, x + 1, value, value, runs, totals, found)
        if step > 0:
            found = _add(sure, end, first + (sure - begin) * step, last, runs, totals, found)
    return found


@njit(nogil=True, cache=True)
@no_type_check
def _runs_of_pixels(row, threshold, runs, totals):
    """The same for a row of a map that has a value for every pixel."""
    found, x = 0, 0
    while x < row.size:
        if not row[x] > threshold:
            x += 1
            continue
        runs[found, 0], total = x, 0.0
        while x < row.size and row[x] > threshold:
            total += row[x]
            x += 1
        runs[found, 1], totals[found] = x, total
        found += 1
    return found


@njit(nogil=True, cache=True)
@no_type_check
def _pixel(a, b, c, d, across, down):
    """Between a b of one row and c d of the next; a product of two float32 is exact in float64, as in a fused step."""
    upper = np.float32(np.float64(b - a) * across + a)
    lower = np.float32(np.float64(d - c) * across + c)
    return np.float32(np.float64(lower - upper) * down + upper)


@njit(nogil=True, cache=True)
@no_type_check
def _add(begin, end, first, last, runs, totals, found):
    """Add pixels whose values go evenly from `first` to `last` to the last run where they touch it, else as a run."""
    if begin >= end:
        return found
    if found == 0 or runs[found - 1, 1] != begin:
        runs[found, 0], totals[found] = begin, 0.0
        found += 1
    runs[found - 1, 1] = end
    totals[found - 1] += (end - begin) * 0.5 * (first + last)
    return found


@njit(nogil=True, cache=True)
@no_type_check
def _join(runs, totals, above, y, blocks, link, parts, sums, count):
    """Give each run of row `y` to the components of the runs above that it touches, or begin one; how many there are.

    The third number of a run is its component.
    """
    passed = 0
    for i in range(len(runs)):
        begin, end, root = runs[i, 0], runs[i, 1], -1
        while passed < len(above) and above[passed, 1] < begin:
            passed += 1
        touching = passed
        while touching < len(above) and above[touching, 0] <= end:
            other = find_root(link, above[touching, 2])
            if root < 0:
                root = other
            elif other != root:
                link[other] = root
                _grow(parts[root], parts[other])
                sums[root] += sums[other]
            touching += 1
        run = (begin, y, end, y + 1, end - begin, (y >> 1) * blocks + (begin >> 1))
        if root < 0:
            root = link[count] = count
            for k in range(6):
                parts[root, k] = run[k]
            sums[root] = totals[i]
            count += 1
        else:
            _grow(parts[root], run)
            sums[root] += totals[i]
        runs[i, 2] = root
    return count


@njit(nogil=True, cache=True)
@no_type_check
def _grow(part, other):
    part[0], part[1] = min(part[0], other[0]), min(part[1], other[1])
    part[2], part[3] = max(part[2], other[2]), max(part[3], other[3])
    part[4] += other[4]
    part[5] = min(part[5], other[5])


@njit(nogil=True, cache=True)
@no_type_check
def _longer(array, length):
    longer = np.empty((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
