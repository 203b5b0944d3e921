"""Component trees by union-find, from the brightest pixel down; compiled.

A node is a row of nine int32: half-open box x0 y0 x1 y1, pixels, contour area in half pixels, place of its first pixel,
and the lowest and highest level j at which it is a component of `levels > j`.
"""

from typing import Any, no_type_check

import numpy as np
from numba import njit

from boxless.runtime.union_find import find_root

# The eight neighbours clockwise from north, as (dx, dy); even ones share an edge with the centre, odd ones a corner.
RING = ((0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1))
# Three bits of each of three rows, as `tree` keeps them: the bit of a neighbour among the nine.
BIT = [(dy + 1) * 3 + (dx + 1) for dx, dy in RING]


def _representatives(four: bool) -> Any:
    """For each set of neighbours (512): one of every group that is connected among itself, as digits 1..8 of four bits.

    Joining a pixel to one of a group joins it to all of it, which leaves one union for most pixels instead of eight.
    """
    table = np.zeros(512, np.int64)
    for mask in range(512):
        present = [i for i in range(8) if mask >> BIT[i] & 1 and not (four and i % 2)]
        group = {i: i for i in present}
        for i in present:
            for j in present:
                apart = max(abs(RING[i][0] - RING[j][0]), abs(RING[i][1] - RING[j][1]))
                bridge = BIT[(i + 1) % 8] if (j - i) % 8 == 2 else BIT[(j + 1) % 8]
                if i != j and apart == 1 and (not four or mask >> bridge & 1):
                    group = {k: group[j] if g == group[i] else g for k, g in group.items()}
        for digit, i in enumerate(sorted(set(group.values()))):
            table[mask] |= (i + 1) << 4 * digit
    return table


def _half_pixels() -> Any:
    """For each set of neighbours (512): half pixels of polygon area that the centre adds.

    Of the four pixel centres of a square, three span half of it and four the whole: the third and the fourth add 1/2.
    """
    squares = [[BIT[(2 * q + i) % 8] for i in range(3)] for q in range(4)]
    return np.array([sum(sum(mask >> i & 1 for i in s) >= 2 for s in squares) for mask in range(512)], np.int32)


REPRESENTATIVES = np.stack([_representatives(four=False), _representatives(four=True)])
HALF_PIXELS = _half_pixels()


@njit(nogil=True, cache=True)
@no_type_check
def _by_brightness(levels, count, shift):
    """Counting sort: pixels (y << shift | x) of level 1 and more, brightest first; how many lie above each level."""
    height, width = levels.shape
    above = np.zeros(count + 1, np.int64)
    for value in levels.ravel():
        above[count - min(value, count)] += 1  # reversed: above[0] counts the brightest
    for k in range(1, count + 1):
        above[k] += above[k - 1]
    order = np.empty(above[count], np.uint32)
    at = np.zeros(count + 1, np.int64)
    at[1:] = above[:-1]
    for y in range(height):
        for x in range(width):
            k = count - min(levels[y, x], count)
            order[at[k]] = y << shift | x
            at[k] += 1
    return order, above[:count][::-1].copy()


@njit(nogil=True, cache=True)
@no_type_check
def _merge(link, parts, a, b):
    """Join two roots, the smaller below the larger; returns the root."""
    if parts[a, 4] < parts[b, 4]:
        a, b = b, a
    link[b] = a
    for k in (0, 1, 6):
        parts[a, k] = min(parts[a, k], parts[b, k])
    for k in (2, 3):
        parts[a, k] = max(parts[a, k], parts[b, k])
    parts[a, 4] += parts[b, 4]
    parts[a, 5] += parts[b, 5]
    return a


@njit(nogil=True, cache=True)
@no_type_check
def _stir(c, level, parts, since, changed, nodes, tally):
    """Before a component that stood until now changes at `level`: leave a node; it changes until the level is done."""
    node = nodes[tally[1]]
    for k in range(7):
        node[k] = parts[c, k]
    node[7], node[8] = level + 1, since[c]
    tally[1] += 1
    since[c] = -1
    changed[tally[2]] = c
    tally[2] += 1


@njit(nogil=True, cache=True)
@no_type_check
def tree(levels, count, negative, blocks):
    """Nodes (node, 9) of the components of `levels > j` for all j < count.

    8-connected; with `negative` 4-connected and without what touches the border, which makes holes of a negative.
    `blocks`: a place is the number of a pixel's 2 x 2 block (OpenCV's order of labels), else the pixel's own number.
    """
    height, width = levels.shape
    shift = 1  # bits of a column; with those of a row 32 are enough for two thousand million pixels
    while width >> shift:
        shift += 1
    order, ends = _by_brightness(levels, count, shift)
    label = np.empty((height + 2) * (width + 2), np.int32)
    near = np.zeros((height + 2) * (width + 2), np.uint8)  # three bits: west of here, here, east of here
    room = (height * width) // 2 + 2
    link, parts = np.empty(room, np.int32), np.empty((room, 7), np.int32)
    since = np.empty(room, np.int32)  # level from which a component stands unchanged; -1 while it changes
    changed = np.empty(room, np.int32)
    nodes = np.empty((ends[0] + 1, 9), np.int32)
    tally = np.zeros(3, np.int64)  # components, nodes, components changed at this level
    if negative:
        _surround(near.reshape(-1, width + 2), label.reshape(-1, width + 2), link, parts, since, tally)
    done = 0
    for level in range(count - 1, -1, -1):
        tally[2] = 0
        pixels = order[done : ends[level]]
        _add(pixels, shift, width, level, negative, blocks, near, label, link, parts, since, changed, nodes, tally)
        done = ends[level]
        for c in changed[: tally[2]]:
            if link[c] == c:
                since[c] = level
    for c in range(tally[0]):
        if link[c] == c and since[c] >= 0:
            _stir(c, -1, parts, since, changed, nodes, tally)
    return nodes[: tally[1]]


@njit(nogil=True, cache=True)
@no_type_check
def _add(pixels, shift, width, level, negative, blocks, near, label, link, parts, since, changed, nodes, tally):
    """Add the pixels of one level to the components around them."""
    stride = width + 2
    steps = np.array([0, -stride, 1 - stride, 1, stride + 1, stride, stride - 1, -1, -stride - 1])
    representatives = REPRESENTATIVES[1 if negative else 0]
    for pixel in pixels:
        y = np.int64(pixel) >> shift
        x = np.int64(pixel) - (y << shift)
        p = (y + 1) * stride + x + 1
        mask = near[p - stride] | np.int64(near[p]) << 3 | np.int64(near[p + stride]) << 6
        near[p - 1] |= 4
        near[p] |= 2
        near[p + 1] |= 1
        place = (y >> 1) * ((width + 1) >> 1) + (x >> 1) if blocks else y * width + x
        digits = representatives[mask]
        if digits == 0:
            _begin(label, p, x, y, place, link, parts, since, changed, tally)
            continue
        root = find_root(link, label[p + steps[digits & 15]])
        if since[root] >= 0:
            _stir(root, level, parts, since, changed, nodes, tally)
        label[p] = root
        _grow(parts[root], x, y, HALF_PIXELS[mask], place)
        digits >>= 4
        while digits:
            other = find_root(link, label[p + steps[digits & 15]])
            digits >>= 4
            if other != root:
                if since[other] >= 0:
                    _stir(other, level, parts, since, changed, nodes, tally)
                root = _merge(link, parts, root, other)


@njit(nogil=True, cache=True)
@no_type_check
def _begin(label, p, x, y, place, link, parts, since, changed, tally):
    """A pixel without neighbours is a component."""
    c = tally[0]
    label[p], link[c], since[c], changed[tally[2]] = c, c, -1, c
    part = parts[c]
    part[0], part[1], part[2], part[3], part[4], part[5], part[6] = x, y, x + 1, y + 1, 1, 0, place
    tally[0] += 1
    tally[2] += 1


@njit(nogil=True, cache=True)
@no_type_check
def _surround(near, label, link, parts, since, tally):
    """Set a rim of component 0, the outside, around the image; it never stands still, so it leaves no node."""
    near[0, :], near[-1, :], label[0, :], label[-1, :] = 7, 7, 0, 0
    for y in range(near.shape[0]):
        for x, bits in ((0, 2), (1, 1), (near.shape[1] - 1, 2), (near.shape[1] - 2, 4)):
            near[y, x] |= bits
        label[y, 0] = label[y, -1] = 0
    link[0], since[0], parts[0] = 0, -1, 0
    parts[0, 4] = 2**30  # larger than any other, so it stays the root
    tally[0] = 1


@njit(nogil=True, cache=True)
@no_type_check
def _grow(part, x, y, half_pixels, place):
    """Let a component grow by a pixel; most grow inside their box, so a test costs less than a store."""
    if x < part[0]:
        part[0] = x
    if y < part[1]:
        part[1] = y
    if x >= part[2]:
        part[2] = x + 1
    if y >= part[3]:
        part[3] = y + 1
    if place < part[6]:
        part[6] = place
    part[4] += 1
    part[5] += half_pixels


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

    A flood from the border, lowest level first, with one bucket per level; each pixel enters once.
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
