"""From a decoded photograph to what a classifier sees: resized, cut to a random square, mirrored every other time."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from boxless.data.images import Picture, read_picture, read_resized
from boxless.data.resizing import Resizing

WHOLE = np.array([0.0, 0.0, 1.0])
"""The draw that takes a square picture as it is."""


class Resize(NamedTuple):
    """How a photograph is brought to `size` pixels: squashed to a square, or by its short side."""

    size: int
    how: Resizing = "squash"

    def __call__(self, data: bytes, name: str) -> tuple[Picture, tuple[int, int]]:
        """The bytes of an image file -> RGB (h, w, 3), both sides at least `size`, and the (width, height) before.

        Raises BrokenImageError.
        """
        if self.how == "squash":
            return read_resized(data, name, self.size)
        picture = read_picture(data, name)
        height, width = picture.shape[:2]
        scale = self.size / min(height, width)
        target = (max(self.size, round(width * scale)), max(self.size, round(height * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(picture, target, interpolation=method), dtype=np.uint8), (width, height)


def draws(count: int, *key: int) -> Float[np.ndarray, "count 3"]:
    """Three numbers in 0..1 for each of `count` crops, a function of `key` (seed, epoch, step) and nothing else."""
    return np.random.default_rng(key).random((count, 3))


def crop(picture: Picture, size: int, draw: Float[np.ndarray, "3"]) -> UInt8[np.ndarray, "size size 3"]:
    """The square of `size` pixels whose place the first two numbers say, mirrored if the third is below one half."""
    top, left, mirrored = _cut(picture.shape[:2], size, draw)
    square = picture[top : top + size, left : left + size]
    return square[:, ::-1] if mirrored else square


def crop_box(
    box: Float[np.ndarray, "4"], shape: tuple[int, ...], size: int, draw: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "4"] | None:
    """Where `crop` leaves a box, x0 y0 x1 y1 in fractions of a picture of `shape` (h, w) -> fractions of the square.

    What lies outside of the square is cut off; None when all of the box does.
    """
    top, left, mirrored = _cut(shape, size, draw)
    height, width = shape
    pixels = box * [width, height, width, height] - [left, top, left, top]
    x0, y0, x1, y1 = np.clip(pixels / size, 0.0, 1.0)
    if x1 <= x0 or y1 <= y0:
        return None
    return np.array([1 - x1, y0, 1 - x0, y1]) if mirrored else np.array([x0, y0, x1, y1])


def _cut(shape: tuple[int, ...], size: int, draw: Float[np.ndarray, "3"]) -> tuple[int, int, bool]:
    """Top, left and whether it is mirrored, of the square that three numbers draw from a picture of `shape` (h, w)."""
    height, width = shape
    return int(draw[0] * (height - size + 1)), int(draw[1] * (width - size + 1)), bool(draw[2] < 0.5)


def to_images(
    pictures: UInt8[Tensor, "batch h w 3"] | UInt8[np.ndarray, "batch h w 3"], device: torch.device
) -> Float[Tensor, "batch 3 h w"]:
    """Bytes -> float 0..1 on `device`, in channels_last memory, which the byte order of pictures already is."""
    moved = torch.as_tensor(pictures).to(device, non_blocking=True).permute(0, 3, 1, 2)
    return moved.to(torch.float32, memory_format=torch.channels_last).div_(255)
