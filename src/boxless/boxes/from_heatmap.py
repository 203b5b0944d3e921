"""Heat map -> boxes at one threshold, in float pixels of the original image, half-open.

The order is fixed: normalise the raw map, resize it to the image (bilinear), keep what is above the threshold, take
connected components, draw the tightest box around each. `all_thresholds` does the same at all thresholds in one pass.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Float, Float32

Normalisation = Literal["minmax", "max", "none"]
Heatmap = Float[np.ndarray, "_h _w"]


@dataclass(frozen=True, slots=True)
class Readout:
    """How maps become boxes: a threshold as a fraction of the normalised map's range, and where it is from."""

    threshold: float
    origin: str
    """In words, for every table: "fixed, the method's default", "transferred from 300 training boxes", ..."""
    normalisation: Normalisation = "minmax"

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

    A constant map (and, for `max`, one without positive values) becomes all zeros, in which no box is found.
    """
    heat = np.nan_to_num(heat.astype(np.float32, copy=False), nan=0.0, posinf=0.0, neginf=0.0)
    if how == "none":
        return np.asarray(np.clip(heat, 0.0, 1.0), dtype=np.float32)
    low = float(heat.min()) if how == "minmax" else 0.0
    span = float(heat.max()) - low
    if span <= 1e-12:
        return np.zeros_like(heat)
    return np.asarray(np.clip((heat - low) / span, 0.0, 1.0), dtype=np.float32)


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
) -> tuple[Float32[np.ndarray, "box 4"], Float32[np.ndarray, "box"]]:
    """Raw heat map (h, w) -> boxes (box, 4) in pixels of an image of `size` (width, height), and scores in 0..1.

    The box of the largest 8-connected component above `threshold` (a fraction of the normalised map's range), or of
    all components, largest first, with `multiple`. The score is the mean of the normalised map over the component.
    """
    warm = resize(normalise(heat, normalisation), size)
    count, components, stats, _ = cv2.connectedComponentsWithStats((warm > threshold).astype(np.uint8), connectivity=8)
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable") if count > 1 else np.zeros(0, np.intp)
    kept = order if multiple else order[:1]
    left, top, width, height = (stats[kept, column] for column in range(4))
    boxes = np.stack([left, top, left + width, top + height], axis=1).astype(np.float32)
    scores = np.array([warm[components == index].mean() for index in kept], np.float32)
    return boxes, scores
