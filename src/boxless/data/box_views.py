"""Strong augmentation for learning boxes: each image zoomed, shifted, stretched, mirrored and coloured with its boxes.

All follows from the three numbers that the training loop draws for an image, so that a resumed run, and several
processes, see the same views.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from boxless.data.dataset import Sample
from boxless.data.images import Picture

ZOOM, STRETCH, SHIFT = 1.8, 1.2, 0.25
"""Factors up to which a view is larger or smaller than the image, and stretched; how far its centre is moved."""
LIGHT, TINT = 1.3, 1.15
"""Factors up to which light, contrast and saturation change, and one colour against another."""
VISIBLE = 0.4
"""A box of which less is left in the view is neither an object nor background."""
MOST = 100
"""Boxes of one image that are learnt: the largest, where there are more."""

_Draw = Float[np.ndarray, "3"]


class View(NamedTuple):
    """What is seen of an image, in fractions of it, and in what colours."""

    corner: Float[np.ndarray, "2"]
    extent: Float[np.ndarray, "2"]
    mirrored: bool
    light: Float[np.ndarray, "3"]
    tint: Float[np.ndarray, "3"]


def view(draw: _Draw) -> View:
    """The view that three numbers draw."""
    rng = np.random.default_rng(np.frombuffer(draw.tobytes(), np.uint32))

    def factor(most: float, *shape: int) -> Any:
        return most ** rng.uniform(-1, 1, shape)

    extent = factor(ZOOM) * factor(STRETCH, 2)
    corner = 0.5 + rng.uniform(-SHIFT, SHIFT, 2) - extent / 2
    return View(corner, extent, bool(rng.random() < 0.5), factor(LIGHT, 3), factor(TINT, 3))


def seen(picture: Picture, size: int, draw: _Draw) -> UInt8[np.ndarray, "size size 3"]:
    """The view of a picture as a square of `size` pixels, grey where nothing is."""
    corner, extent, mirrored, (light, contrast, saturation), tint = view(draw)
    scale = extent * picture.shape[1::-1] / size
    start = corner * picture.shape[1::-1] + scale / 2 - 0.5
    if mirrored:
        start[0], scale[0] = start[0] + scale[0] * (size - 1), -scale[0]
    matrix = np.array([[scale[0], 0, start[0]], [0, scale[1], start[1]]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    square = cv2.warpAffine(picture, matrix, (size, size), flags=how, borderValue=(127, 127, 127)).astype(np.float32)
    # saturation, then contrast, then light and tint: one product of matrices
    colours = np.full((3, 3), (1 - saturation) / 3) + saturation * np.eye(3)
    mean = square.mean() * (1 - contrast)
    mixed = cv2.transform(square, np.diag(light * tint) @ np.c_[contrast * colours, np.full(3, mean)])
    return np.asarray(np.clip(mixed, 0, 255), np.uint8)


def seen_boxes(sample: Sample, shape: tuple[int, ...], size: int, draw: _Draw) -> Float[Tensor, "most 5"] | None:
    """The boxes of the image as `seen` leaves them, x0 y0 x1 y1 in fractions of the square, and their weights.

    1 is an object, 0 one of which too little is seen, or one of the image's crowds; further rows are 0. None for an
    image without boxes.
    """
    if sample.boxes is None or sample.size is None:
        return None
    corner, extent, mirrored, *_ = view(draw)
    crowds = np.zeros((0, 4), np.float32) if sample.crowds is None else sample.crowds
    boxes = (np.concatenate([sample.boxes, crowds]) / np.array(sample.size * 2) - np.tile(corner, 2)) / np.tile(
        extent, 2
    )
    if mirrored:
        boxes[:, [0, 2]] = 1 - boxes[:, [2, 0]]
    return torch.from_numpy(_weighted(boxes, len(sample.boxes)))


def _weighted(boxes: Float[np.ndarray, "box 4"], objects: int) -> Float32[np.ndarray, "most 5"]:
    inside = np.clip(boxes, 0, 1)
    left, whole = ((one[:, 2:] - one[:, :2]).prod(1) for one in (inside, boxes))
    largest = np.argsort(-left, kind="stable")[:MOST]
    largest = largest[left[largest] > 0]
    padded = np.zeros((MOST, 5), np.float32)
    padded[: len(largest), :4] = inside[largest]
    padded[: len(largest), 4] = (left[largest] >= VISIBLE * whole[largest]) & (largest < objects)
    return padded
