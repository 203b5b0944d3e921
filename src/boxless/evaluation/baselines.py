"""What scores without any method: every number stands beside these, on the same images.

On close-up photographs the whole image or one centred box scores higher than published methods do, and a map that knows
nothing of its image still knows that objects are in the middle. A method's worth is its lift over the controls.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Int, UInt8

from boxless.boxes.from_heatmap import Heatmap
from boxless.boxes.iou import box_ious
from boxless.data.dataset import Boxes
from boxless.discovery.spectral_residual import saliency
from boxless.evaluation.protocols import DELTAS, Size

DEFAULT_SHARE = (0.8, 0.8)
"""Width and height of the centred box, as shares of the image's, where there are no other images to fit it on."""
Item = TypeVar("Item")


def centred_box(size: Size, share: tuple[float, float] = DEFAULT_SHARE) -> Boxes:
    """The centred box (1, 4) whose width and height are `share` of the image's; (1, 1) is the whole image."""
    (width, height), (across, down) = size, share
    x, y = width * (1 - across) / 2, height * (1 - down) / 2
    return np.array([[x, y, width - x, height - y]], np.float32)


def fit_centred_box(sizes: Sequence[Size], truths: Sequence[Boxes], steps: int = 20) -> tuple[float, float]:
    """The share (width, height), of a grid of `steps` each, whose centred box hits most: mean over IoU 0.3, 0.5, 0.7.

    Fit it on images other than those that are scored. Among shares that hit equally often, the higher mean IoU wins.
    """
    grid = np.arange(1, steps + 1) / steps
    shares = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)  # (share, 2)
    won = np.zeros(len(shares))
    for size, boxes in zip(sizes, truths, strict=True):
        centred = np.hstack([np.array(size) * (1 - shares) / 2, np.array(size) * (1 + shares) / 2])
        best = box_ious(centred, boxes, 0, size)
        # All IoUs together weigh less than a hit.
        won += sum(best >= delta for delta in DELTAS) + best / (len(sizes) + 1)
    across, down = shares[int(np.argmax(won))]
    return float(across), float(down)


def derangement(images: int, seed: int = 0) -> Int[np.ndarray, "image"]:
    """For every image the index of another one, each used once; all in one random cycle. Needs two images."""
    order = np.random.default_rng(seed).permutation(images)
    other = np.empty(images, np.intp)
    other[order] = np.roll(order, 1)
    return other


class Lazy(Sequence[Item]):
    """`make(i)` of every index below `count`, made when it is asked for."""

    def __init__(self, make: Callable[[int], Item], count: int) -> None:
        self._make, self._count = make, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Item:  # type: ignore[override]
        return self._make(index)


def reordered(items: Sequence[Item], order: Int[np.ndarray, "image"]) -> Lazy[Item]:
    """Some of the items (maps, pictures) in another order, still read one at a time."""
    return Lazy(lambda index: items[int(order[index])], len(order))


def salient(pictures: Sequence[UInt8[np.ndarray, "_h _w 3"]]) -> Lazy[Heatmap]:
    """The saliency map of each picture, made when it is asked for."""
    return Lazy(lambda index: saliency(pictures[index]), len(pictures))
