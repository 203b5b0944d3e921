"""Signs, computed from the images of a category alone, of what its maps show; and where to cut a principal direction.

A principal direction can be the background's, can stand for nothing but the middle of the image, or can be the
object's. No box and no label is needed to tell: the maps of many images tell it together.
"""

import cv2
import numpy as np
from jaxtyping import Float32

from boxless.boxes.from_heatmap import find_boxes, normalise
from boxless.discovery.descriptors import border_mask

FRAME = (288, 288)
"""Width and height of the frame in which boxes are compared."""
TAIL = 0.02
"""Share of a map's places that are left out at each end where its floor and its peak are looked for."""

Maps = Float32[np.ndarray, "image h w"]
Boxes = Float32[np.ndarray, "image 4"]


def agreement(one: Maps, other: Maps) -> float:
    """Mean correlation, over images, of two maps of the same image; a constant map agrees with none."""
    return float(np.mean([_correlation(a, b) for a, b in zip(one, other, strict=True)]))


def border_margin(maps: Maps) -> float:
    """How far the inside of the images lies above their border, in standard deviations over all places.

    Near zero where the border criterion that gives a direction its sign has nothing to go by; 0 for constant maps.
    """
    border = border_mask(*maps.shape[1:]).numpy()
    spread = float(maps.std())
    return float(maps[:, ~border].mean() - maps[:, border].mean()) / spread if spread > 0 else 0.0


def explained_by_place(maps: Maps) -> float:
    """Share of the variance of the normalised maps that the place alone explains: 1 where all images have one map."""
    scaled = np.stack([normalise(heat) for heat in maps])
    variance = float(scaled.var())
    return float(scaled.mean(0).var()) / variance if variance > 0 else 1.0


def held_by_frame(corners: Maps, contents: Maps, wholes: Float32[np.ndarray, "image H W"]) -> float:
    """Of the maps of corners cut out of images, how much stays with the frame, where an object would move with it.

    Each is written as the sum of two maps of the same size, all scaled to mean 0 and variance 1: the part of the whole
    image's map that the corner shows, and that whole map shrunk into the corner. The share is the weight of the second
    in the least squares over all images: near 0 where maps follow what is seen, near 1 where they follow the frame, as
    a network's padding lets them. 0 for constant maps.
    """
    height, width = corners.shape[1:]
    shrunk = np.stack([cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA) for whole in wholes])
    seen, content, frame = (np.stack([_scaled(heat) for heat in maps]).ravel() for maps in (corners, contents, shrunk))
    return float(np.linalg.lstsq(np.stack([content, frame], 1), seen, rcond=None)[0][1])


def separation(boxes: Boxes, colours: Float32[np.ndarray, "image d h w"]) -> float:
    """How far colours and textures inside the boxes are from those outside, on average over images.

    The squared distance of the two means, as a share of the descriptors' variance over all places; 0 for no box.
    """
    images, _, h, w = colours.shape
    scaled = (colours - colours.mean((0, 2, 3), keepdims=True)) / np.maximum(
        colours.std((0, 2, 3), keepdims=True), 1e-6
    )
    across, down = ((np.arange(n) + 0.5) * side / n for n, side in ((w, FRAME[0]), (h, FRAME[1])))
    distances = np.zeros(images)
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        inside = np.outer((down >= y0) & (down < y1), (across >= x0) & (across < x1))
        if inside.any() and not inside.all():
            apart = scaled[i][:, inside].mean(1) - scaled[i][:, ~inside].mean(1)
            distances[i] = float((apart**2).mean())
    return float(distances.mean())


def floor_and_cut(maps: Maps) -> tuple[float, float]:
    """Where to cut the maps of a first principal direction -> the category's floor, and a share of floor to peak.

    Zero, the mean over all places, lies low between background and object where objects are small and high where they
    are large, so that from zero no one threshold fits both; from the floor it nearly does. What is left of the area
    enters too: a place sees its surroundings, so that a small object's map is too wide by more, and is cut higher.
    The two constants were chosen on training boxes of Tiny ImageNet and CUB-200-2011, on a broad plateau.
    """
    low, high = np.quantile(maps, (TAIL, 1 - TAIL), axis=(1, 2))
    span = high - low
    area = float(np.median(np.divide(-low, span, out=np.full_like(span, 0.5), where=span > 0)))
    return float(np.median(low)), float(np.clip(0.64 - 0.4 * (area - 0.48), 0.3, 0.9))


def largest_boxes(maps: Maps, threshold: float) -> Boxes:
    """The largest component's box of every map, in a frame of FRAME pixels; zeros for none."""
    found = [find_boxes(heat, FRAME, threshold)[0] for heat in maps]
    return np.stack([boxes[0] if len(boxes) else np.zeros(4, np.float32) for boxes in found])


def _scaled(heat: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """The map with mean 0 and variance 1; zeros for a constant one."""
    spread = float(heat.std())
    return (heat - heat.mean()) / np.float32(spread) if spread > 0 else np.zeros_like(heat)


def _correlation(a: Float32[np.ndarray, "h w"], b: Float32[np.ndarray, "h w"]) -> float:
    return float((_scaled(a) * _scaled(b)).mean())
