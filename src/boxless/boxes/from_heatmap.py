"""Heat map -> boxes at one threshold, in float pixels of the original image, half-open.

The order is fixed: normalise the raw map, resize it to the image (bilinear), keep what is above the threshold, take
connected components, draw the tightest box around the largest. `all_thresholds` does so at all thresholds in one pass;
`instances` looks for several objects.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64

from boxless.boxes import MAX_SIZE, MIN_SIZE, OVERLAP, SADDLE
from boxless.runtime.errors import UsageError

Normalisation = Literal["minmax", "max", "none"]
Heatmap = Float[np.ndarray, "_h _w"]


@dataclass(frozen=True, slots=True)
class Readout:
    """How maps become boxes: a threshold as a fraction of the normalised map's range, and where it is from."""

    threshold: float
    origin: str
    """In words, for every table: "fixed, the method's default", "transferred from 300 training boxes", ..."""
    normalisation: Normalisation = "minmax"
    saddle: float = SADDLE
    """How deep a dip between two objects is, as `instances` takes it: a constant of the method. 1: nothing is split."""
    faint: float = 0.0
    """Of several boxes in an image those are left out whose score is below this part of the best: another one."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as checkpoints and json keep them."""
        return {"threshold": self.threshold, "origin": self.origin, "normalisation": self.normalisation}


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in one image; no boxes when nothing was, and then `note` says why."""

    name: str
    size: tuple[int, int]
    """Width and height in pixels of the upright picture that the boxes fit."""
    boxes: Float32[np.ndarray, "box 4"] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: Float32[np.ndarray, "box"] = field(default_factory=lambda: np.zeros(0, np.float32))
    label: str = "object"
    note: str = ""


def normalise(heat: Float[np.ndarray, "h w"], how: Normalisation = "minmax") -> Float32[np.ndarray, "h w"]:
    """Scale a raw map to 0..1: `minmax` by its range, `max` by its maximum with negatives as background, `none` not.

    A constant map (for `max`: one without positive values) becomes all zeros, in which no box is found. Any other map
    is scaled, however small or large its values: a map times a positive number is the same map.
    """
    return to_unit_range(np.nan_to_num(heat, nan=0.0, posinf=0.0, neginf=0.0), how).astype(np.float32)


def to_unit_range(heat: Float[np.ndarray, "h w"], how: Normalisation) -> Float64[np.ndarray, "h w"]:
    """`normalise` of finite values, in float64."""
    heat = heat.astype(np.float64)
    if how == "none":
        return np.asarray(np.clip(heat, 0.0, 1.0))
    heat = np.ldexp(heat, -int(np.frexp(np.abs(heat).max())[1]))  # exact, and no range overflows or vanishes
    low = heat.min() if how == "minmax" else 0.0
    span = heat.max() - low
    return np.asarray(np.clip((heat - low) / span, 0.0, 1.0) if span > 0 else np.zeros_like(heat))


def resize(heat: Heatmap, size: tuple[int, int]) -> Float32[np.ndarray, "height width"]:
    """Bilinear resize (h, w) -> (height, width) for `size` = (width, height), pixel centres aligned."""
    return np.asarray(cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def find_boxes(
    heat: Heatmap,
    size: tuple[int, int],
    threshold: float,
    *,
    normalisation: Normalisation = "minmax",
    multiple: bool = False,
    saddle: float = SADDLE,
    faint: float = 0.0,
    overlap: float = OVERLAP,
    min_size: float = MIN_SIZE,
    max_size: float = MAX_SIZE,
    min_score: float = 0.0,
    tile: int = 0,
) -> tuple[Float32[np.ndarray, "box 4"], Float32[np.ndarray, "box"]]:
    """Raw heat map (h, w) -> boxes (box, 4) in pixels of an image of `size` (width, height), and scores in 0..1.

    The box of the largest 8-connected component above `threshold` (a fraction of the normalised map's range). With
    `multiple` a box for each object, largest first: what touches is split, by dips of `saddle` (see `instances`), what
    is torn is joined, and boxes whose score is below the part `faint` of the best are left out. So are boxes smaller
    than `min_size` or larger than `max_size` per cent of the image, and of two whose IoU is above `overlap` the one
    with the lower score. In either case no box has a score below `min_score`. With `tile`, the side in pixels of tiles
    that the map was joined from, sizes are in per cent of a tile. The score is the mean of the normalised map over the
    object, for several as `instances` has it. Raises UsageError for numbers outside 0 to 1 and 0 to 100.
    """
    warm = normalise(heat, normalisation)
    check_instances(overlap, min_size, max_size, min_score)
    if not multiple or saddle == 1:
        boxes, scores = (found[:1] for found in component_boxes(warm, size, threshold))
    else:
        from boxless.boxes.instances import instance_boxes  # compiled code: loaded when there is a map

        limits = {"overlap": overlap, "min_size": min_size, "max_size": max_size}
        boxes, scores = instance_boxes(warm, size, threshold, saddle=saddle, faint=faint, tile=tile, **limits)
    return boxes[scores >= min_score], scores[scores >= min_score]


def boxes_at(
    readout: Readout, heat: Heatmap, size: tuple[int, int], **several: Any
) -> tuple[Float32[np.ndarray, "box 4"], Float32[np.ndarray, "box"]]:
    """`find_boxes` as a readout says; `several`: what else it is asked for."""
    how = {name: getattr(readout, name) for name in ("normalisation", "saddle", "faint")}
    return find_boxes(heat, size, readout.threshold, **how, **several)


def check_instances(overlap: float, min_size: float, max_size: float, min_score: float = 0.0) -> None:
    """Raise UsageError for what `find_boxes` cannot use."""
    if not 0 <= overlap <= 1:
        raise UsageError(f"The overlap {overlap} is no IoU. Expected 0 to 1.")
    if not 0 <= min_score <= 1:
        raise UsageError(f"The lowest score {min_score} is none. Expected 0 to 1.")
    if not 0 <= min_size <= max_size <= 100:
        raise UsageError(
            f"Objects of {min_size} to {max_size} per cent of the image cannot be. Expected 0 to 100, the less first."
        )


def component_boxes(
    warm: Float32[np.ndarray, "h w"], size: tuple[int, int], threshold: float
) -> tuple[Float32[np.ndarray, "box 4"], Float32[np.ndarray, "box"]]:
    """Normalised map (h, w) -> the boxes of all 8-connected components, largest first, and the map's mean over each."""
    from boxless.boxes.components import components  # compiled code: loaded when there is a map

    if warm.shape[1] > size[0] or warm.shape[0] > size[1] or min(warm.shape) == 1:
        warm = resize(warm, size)  # where the image is small, or OpenCV's arithmetic another
    parts, sums = components(np.ascontiguousarray(warm), *size, np.float32(threshold))
    order = np.lexsort((parts[:, 5], -parts[:, 4]))
    return parts[order, :4].astype(np.float32), (sums[order] / parts[order, 4]).astype(np.float32)
