"""The boxes of one heat map at ALL thresholds in one pass.

Raising a threshold only removes pixels, so the components of every mask form a tree. Pixels are added from the
brightest down; union-find keeps the components, and a component that changed at a level leaves a NODE behind: its box,
its size, and the range of levels at which it stood so. What a rule wants at each level is the best node standing there.

A contour's polygon area (`cv2.contourArea`) is a sum over 2 x 2 pixels of the component with its holes filled; filling
the holes of all masks at once is one flood from the border. Holes themselves are the components of the negative.
"""

from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float64, Int32, Integer, UInt16

from boxless.boxes.component_tree import best_standing, fill_holes, quantise, tree
from boxless.boxes.iou import overlaps

Rule = Literal["pixels", "box", "contour"]
"""Which component is the largest: by its pixels, by the area of its box, or by the polygon area of its contour."""
EMPTY = -1


def to_levels(heat: Float[np.ndarray, "h w"], thresholds: Float[np.ndarray, "threshold"]) -> UInt16[np.ndarray, "h w"]:
    """How many of the ascending `thresholds` each pixel exceeds: `heat > thresholds[j]` is `levels > j`.

    Exact for float maps: nothing is rounded, and the comparison is made in float32 as numpy makes it.
    """
    return np.asarray(quantise(np.ascontiguousarray(heat, np.float32), np.asarray(thresholds, np.float32)))


def largest_boxes(
    levels: Integer[np.ndarray, "h w"], count: int, rule: Rule = "pixels"
) -> Int32[np.ndarray, "{count} 4"]:
    """Half-open box of the largest 8-connected component of `levels > j` for every j < `count`; zeros for none.

    Ties go where OpenCV's order sends them: to the component labelled first (`pixels`, `box`), which is the one whose
    first 2 x 2 block comes first, or to the contour listed first (`contour`), which is the one that begins last.
    """
    by_contour = rule == "contour"
    nodes = tree(fill_holes(_plain(levels)) if by_contour else _plain(levels), count, False, not by_contour)
    standing = best_standing(_rank(nodes, rule), nodes[:, 7], nodes[:, 8], count)
    boxes = np.zeros((count, 4), np.int32)
    boxes[standing != EMPTY] = nodes[standing[standing != EMPTY], :4]
    return boxes


def best_ious(
    levels: Integer[np.ndarray, "h w"],
    count: int,
    truth: Float[np.ndarray, "box 4"],
    *,
    holes: bool = False,
    edge: int = 0,
    limit: tuple[int, int] | None = None,
) -> Float64[np.ndarray, "{count}"]:
    """Highest IoU with any box of `truth` (half-open) among all components of `levels > j`, for every j < `count`.

    With `holes` the contours of holes compete too, as in cv2's RETR_TREE. `edge` = 1 lengthens every box by one pixel,
    but not beyond `limit` (width, height; the map's own): so reads `x1 = min(x + w, width - 1)` as an inclusive corner.
    """
    size, truths = limit or (levels.shape[1], levels.shape[0]), np.ascontiguousarray(truth, np.float64)
    best = _best(tree(_plain(levels), count, False, False), count, truths, size, edge)
    if holes:
        nodes = tree(_plain(count - np.minimum(levels.astype(np.int64), count)), count, True, False)
        nodes[:, :2] -= 1  # a hole's contour runs along the pixels that enclose it
        nodes[:, 2:4] += 1
        best = np.maximum(best, _best(nodes, count, truths, size, edge)[::-1])
    nothing = overlaps(np.zeros((1, 4), np.int32), truths, size, edge)[0]
    return np.asarray(np.where(best < 0, nothing, best))


def _plain(levels: Integer[np.ndarray, "h w"]) -> UInt16[np.ndarray, "h w"]:
    return np.ascontiguousarray(levels, np.uint16)


def _best(nodes: Any, count: int, truths: Any, size: tuple[int, int], edge: int) -> Float64[np.ndarray, "level"]:
    """The best IoU among the nodes that stand at each level; -1 where none does."""
    values = overlaps(nodes[:, :4], truths, size, edge)
    standing = best_standing(values, nodes[:, 7], nodes[:, 8], count)
    best = np.full(count, -1.0)
    best[standing != EMPTY] = values[standing[standing != EMPTY]]
    return best


def _rank(nodes: Any, rule: Rule) -> Any:
    """One int64 for each node: what the rule measures, and below it the order among equals."""
    wide = nodes.astype(np.int64)
    if rule == "contour":
        return (wide[:, 5] << 31) + wide[:, 6]
    measure = wide[:, 4] if rule == "pixels" else (wide[:, 2] - wide[:, 0]) * (wide[:, 3] - wide[:, 1])
    return (measure << 31) + (2**31 - 1 - wide[:, 6])
