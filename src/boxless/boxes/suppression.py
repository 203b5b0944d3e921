"""Boxes that come with scores: which of them are given, and of the same object the one with the highest score."""

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int

from boxless.boxes import MAX_SIZE, MIN_SIZE, MOST, OVERLAP

Found = tuple[Float32[np.ndarray, "_box 4"], Float32[np.ndarray, "_box"]]
"""The boxes of one image and their scores."""


def suppressed(
    boxes: Float[np.ndarray, "box 4"], scores: Float[np.ndarray, "box"], overlap: float
) -> Int[np.ndarray, "kept"]:
    """Places of the boxes that are left, the best first, when no two may have an IoU above `overlap` (OpenCV's)."""
    corners_and_sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    among = {"top_k": 2 * MOST}  # all pairs of which are looked at
    return np.array(cv2.dnn.NMSBoxes(corners_and_sides.tolist(), scores.tolist(), 0.0, overlap, **among), np.intp)


def given(
    found: Found,
    size: tuple[int, int],
    *,
    multiple: bool = False,
    overlap: float = OVERLAP,
    min_size: float = MIN_SIZE,
    max_size: float = MAX_SIZE,
    min_score: float = 0.0,
) -> Found:
    """Of a detector's boxes in pixels of an image of `size`, best first, those asked for in the words of `find_boxes`.

    The box with the highest score; with `multiple` all.
    """
    boxes, scores = found
    areas = 100 * (boxes[:, 2:] - boxes[:, :2]).prod(1) / (size[0] * size[1])
    fitting = (areas >= min_size) & (areas <= max_size) if multiple else np.ones(len(boxes), bool)
    boxes, scores = boxes[fitting & (scores >= min_score)], scores[fitting & (scores >= min_score)]
    kept = suppressed(boxes, scores, overlap) if multiple else slice(1)
    return boxes[kept], scores[kept]


def in_pixels(found: Float[np.ndarray, "box 5"], size: tuple[int, int]) -> Found:
    """Boxes in fractions of an image, with scores, in pixels of its `size`."""
    return (found[:, :4] * np.array(size * 2)).astype(np.float32), found[:, 4].astype(np.float32)
