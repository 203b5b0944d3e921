"""Heat map -> a box for each object: what touches is split, what is torn is joined.

The map is flooded from its peaks down (Vincent and Soille's watershed, 1991). Where two basins meet, the one with the
lower peak goes into the other if the saddle between them is nearly as high as that peak (an h-maximum too low to
count, h relative to the peak), whether the saddle lies above the threshold or below it; else they stay two objects.
"""

from typing import no_type_check

import cv2
import numpy as np
from jaxtyping import Float32, Int64
from numba import njit

from boxless.boxes import FINEST, MOST
from boxless.boxes.suppression import suppressed
from boxless.runtime.union_find import find_root

ENOUGH, SPREAD = 4, 1.5
"""Objects in an image from which on their usual size is known, and the spread of sizes in powers of e."""
GRID = 128
"""Longer side in pixels of the grid that is flooded: many times finer than the maps are."""


def instance_boxes(
    warm: Float32[np.ndarray, "h w"],
    size: tuple[int, int],
    threshold: float,
    *,
    saddle: float,
    faint: float,
    overlap: float,
    min_size: float,
    max_size: float,
    tile: int = 0,
) -> tuple[Float32[np.ndarray, "box 4"], Float32[np.ndarray, "box"]]:
    """Normalised map (h, w) -> boxes in pixels of an image of `size` (width, height), and their scores.

    Two objects are two where the saddle lies at least the part `saddle` of the way down from the lower peak to the
    threshold, which counts as a fraction of each peak. And as a dip that splits is the background of what it splits, an
    object reaches down to that part above the threshold.

    Largest object first. The score is the map's mean over the object; of ENOUGH or more it is less where the size is
    unlike the median one, as that of fragments and groups is. Left out are boxes below `min_size` or above `max_size`
    per cent of the image, of two whose IoU is above `overlap` the one with the lower score, those whose score is below
    the part `faint` of the best, and all but the MOST best. A map that was joined from tiles of `tile` pixels is
    flooded on as fine a grid in each, and sizes are in per cent of a tile.
    """
    frame = tuple(min(side, tile or side) for side in size)
    shrunk = min(1.0, GRID / max(frame), FINEST / max(size))
    width, height = (max(1, round(side * shrunk)) for side in size)
    finer = width >= warm.shape[1] and height >= warm.shape[0]
    way = cv2.INTER_CUBIC if finer else cv2.INTER_AREA  # bilinear would put a crease, and a peak, on every place
    fine = np.clip(cv2.resize(warm, (width, height), interpolation=way), 0.0, 1.0)
    depth = saddle * (1 - threshold)
    parts, sums = _objects(fine, _falling(fine), depth, threshold * (1 + depth), np.float32(threshold))
    boxes = parts[:, :4] * np.array([size[0] / width, size[1] / height] * 2)
    areas = 100 * (boxes[:, 2:] - boxes[:, :2]).prod(1) / (frame[0] * frame[1])
    (fitting,) = np.nonzero((parts[:, 4] > 0) & (areas >= min_size) & (areas <= max_size))
    fitting = fitting[np.argsort(-parts[fitting, 4], kind="stable")]
    boxes, scores = boxes[fitting], sums[fitting] / parts[fitting, 4]
    kept = np.sort(suppressed(boxes, scores, overlap)[:MOST])
    boxes, scores, areas = boxes[kept], scores[kept], areas[fitting][kept]
    if len(kept) >= ENOUGH:
        scores *= np.exp(-0.5 * (np.log(areas / np.median(areas)) / SPREAD) ** 2)
    clear = scores >= faint * scores.max(initial=0.0)
    return boxes[clear].astype(np.float32), scores[clear].astype(np.float32)


def _falling(fine: Float32[np.ndarray, "h w"]) -> Int64[np.ndarray, "place"]:
    """The places of all pixels above 0, the highest first, and of equal ones the first.

    The bits of positive floats are in the order of their values, so that value and place make one number to sort by:
    several times as fast as a stable sort of floats.
    """
    values = np.ascontiguousarray(fine, np.float32).ravel()
    (places,) = np.nonzero(values)
    keys = np.left_shift(~values[places].view(np.uint32), np.uint64(32), dtype=np.uint64) | places.astype(np.uint64)
    return np.asarray(np.sort(keys) & np.uint64(0xFFFFFFFF)).astype(np.int64)


@njit(nogil=True, cache=True)
@no_type_check
def _objects(heat, falling, depth, reach, threshold):
    """Half-open box and pixels (basin, 5), and the map's sum, of each basin above `threshold` and `reach` of its peak.

    `falling`: the places of all pixels above 0, the highest first.
    """
    rows, columns = heat.shape
    values, label = heat.ravel(), np.full(heat.size, -1, np.int64)
    link, peak, count = np.empty(falling.size, np.int64), np.empty(falling.size), 0
    for place in falling:
        y, x = place // columns, place % columns
        basin = -1
        for below in range(max(y - 1, 0), min(y + 2, rows)):
            for beside in range(max(x - 1, 0), min(x + 2, columns)):
                other = label[below * columns + beside]
                if other < 0:
                    continue
                other = find_root(link, other)
                if basin < 0:
                    basin = other
                elif other != basin:
                    lower = other if peak[other] <= peak[basin] else basin
                    basin = other + basin - lower
                    if peak[lower] - values[place] < depth * peak[lower]:
                        link[lower] = basin
        if basin < 0:
            basin = link[count] = count
            peak[count] = values[place]
            count += 1
        label[place] = basin
    parts, sums = np.zeros((count, 5), np.int64), np.zeros(count)
    for place in falling:
        basin = find_root(link, label[place])
        if values[place] > max(threshold, reach * peak[basin]):
            y, x, part = place // columns, place % columns, parts[basin]
            if part[4] == 0:
                part[0], part[1] = x, y
            part[0], part[1] = min(part[0], x), min(part[1], y)
            part[2], part[3] = max(part[2], x + 1), max(part[3], y + 1)
            part[4] += 1
            sums[basin] += values[place]
    return parts, sums
