"""The conventions of each published evaluation, as data: a number means nothing without the one it was made with.

A protocol says how a raw map becomes a map of 0..1 in its frame, how that becomes boxes, and when a box is right: with
any truth box of the image, in all of them. Boxless keeps half-open boxes of original pixels; a protocol that reads the
far corner as the last pixel lengthens its boxes by one.
"""

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, Integer, Num

from boxless.boxes.all_thresholds import Rule, best_ious, largest_boxes, to_levels
from boxless.boxes.from_heatmap import Heatmap, Normalisation, find_boxes, normalise, resize, to_unit_range
from boxless.boxes.iou import box_ious
from boxless.data.dataset import Boxes
from boxless.runtime.errors import UsageError

Thresholds = Float64[np.ndarray, "threshold"]
Levels = Integer[np.ndarray, "..."]
Size = tuple[int, int]
DELTAS = (0.3, 0.5, 0.7)


@dataclass(frozen=True, slots=True)
class Protocol:
    """One way to score maps: the same maps under two protocols give two numbers."""

    name: str
    source: str
    frame: int | None = None
    """Side of the square that maps and truth are squashed to; None: the original image."""
    crop: int | None = None
    """Side of the centre crop of the frame that is scored, with the truth cut to it."""
    interpolation: Literal["bilinear", "cubic"] = "bilinear"
    resize_first: bool = False
    """Resize, then normalise in float64 (cubic overshoot is cut by the normalisation), or normalise, then resize."""
    normalisation: Normalisation = "minmax"
    eight_bit: bool = False
    """Map to uint8 by truncation, and threshold t to int(t * its maximum); else the float map is compared with t."""
    steps: int = 200
    """Thresholds 0, 1/steps, ... below 1; a pixel is kept when it is strictly above."""
    threshold: float | None = None
    """The threshold the protocol itself fixes; None: its headline is the best over all, chosen with the test boxes."""
    candidates: Rule | Literal["all"] = "pixels"
    """Which component's box is scored; `all`: the best of all, holes included."""
    inclusive: bool = False
    """Far corners, x1 = x + w of found boxes and the truth's alike, are read as the last pixel of the box."""
    clipped: Literal["", "found", "truth"] = ""
    """Whose far corners are limited to the frame's last pixel."""
    whole_pixels: bool = False
    """Truth is scaled to the frame by truncation to whole pixels."""
    deltas: tuple[float, ...] = DELTAS
    """The IoUs, among DELTAS, whose accuracies are the protocol's metrics."""
    strictly: bool = False
    """A hit needs IoU > delta; else IoU >= delta."""
    mean_over: Literal["images", "classes"] = "images"
    measures: Literal["boxes", "masks"] = "boxes"

    @property
    def thresholds(self) -> Thresholds:
        """The grid, ascending from 0."""
        return np.arange(0, 1, 1 / self.steps)

    def warm(self, heat: Heatmap, size: Size) -> Float[np.ndarray, "height width"]:
        """Raw map (h, w) -> map of 0..1 in the scored picture; all zeros where the map is constant."""
        frame = size if self.frame is None else (self.frame, self.frame)
        if self.resize_first:
            how = cv2.INTER_CUBIC if self.interpolation == "cubic" else cv2.INTER_LINEAR
            large = np.asarray(cv2.resize(heat.astype(np.float64), frame, interpolation=how))
            if heat.min() == heat.max():  # the weights of cubic interpolation do not sum to 1 exactly
                large[:] = heat[0, 0]
            large = to_unit_range(large, self.normalisation)
        else:
            large = resize(normalise(heat, self.normalisation), frame)
        margin = self._margin
        return np.ascontiguousarray(large[margin : frame[1] - margin, margin : frame[0] - margin])

    def truth_in(self, boxes: Boxes, size: Size) -> Float64[np.ndarray, "box 4"]:
        """Truth boxes of an image of `size`, half-open in the scored picture."""
        scaled = self.detections_in(boxes, size)
        if self.clipped == "truth" and self.frame is not None:
            scaled = np.clip(scaled, 0, self.frame - 1)
        scaled = np.trunc(scaled) if self.whole_pixels else scaled
        return scaled + np.array([0, 0, 1, 1]) if self.inclusive else scaled

    def detections_in(self, boxes: Boxes, size: Size) -> Float64[np.ndarray, "box 4"]:
        """Half-open boxes of an image of `size`, scaled to the scored picture and cut to its crop."""
        scaled = boxes.astype(np.float64)
        if self.frame is not None:
            scaled = scaled * float(self.frame) / np.array(size * 2, np.float64) - self._margin
        return scaled if self.crop is None else np.clip(scaled, 0, self.crop)

    def ious(self, heat: Heatmap, size: Size, truth: Boxes, thresholds: Thresholds) -> Float32[np.ndarray, "threshold"]:
        """IoU of the scored box with the truth at each of the ascending `thresholds`; 0 without truth."""
        if self._as_found and thresholds.size == 1:
            return self.box_ious(self.boxes(heat, size, thresholds), size, truth)
        return self.ious_of(self.warm(heat, size), self.truth_in(truth, size), thresholds)

    def ious_of(
        self, warm: Float[np.ndarray, "height width"], truth: Float[np.ndarray, "box 4"], thresholds: Thresholds
    ) -> Float32[np.ndarray, "threshold"]:
        """The same for a map and a truth that are in the scored picture already."""
        levels, count, at = self._levels(warm, thresholds)
        limit = self._limit((warm.shape[1], warm.shape[0]))
        if self.candidates == "all":
            values = best_ious(levels, count, truth, holes=True, edge=int(self.inclusive), limit=limit)
        else:
            values = box_ious(largest_boxes(levels, count, self.candidates), truth, int(self.inclusive), limit)
        return np.asarray(values[at], np.float32)

    def covered(self, heat: Heatmap, size: Size, thresholds: Thresholds) -> Float64[np.ndarray, "threshold"]:
        """Share of the image that the largest component's box covers at each of the ascending `thresholds`."""
        return _shares(self.boxes(heat, size, thresholds), size)

    def ious_and_covered(
        self, heat: Heatmap, size: Size, truth: Boxes, thresholds: Thresholds
    ) -> tuple[Float32[np.ndarray, "threshold"], Float64[np.ndarray, "threshold"]]:
        """`ious` and `covered`, from the same boxes where it is these that are scored."""
        if self.candidates == "all":
            return self.ious(heat, size, truth, thresholds), self.covered(heat, size, thresholds)
        warm = self.warm(heat, size)
        levels, count, at = self._levels(warm, thresholds)
        found = largest_boxes(levels, count, self.candidates)
        values = box_ious(found, self.truth_in(truth, size), int(self.inclusive), self._limit(warm.shape[::-1]))
        return np.asarray(values[at], np.float32), _shares(self._original(found[at], size), size)

    def box_ious(self, boxes: Num[np.ndarray, "box 4"], size: Size, truth: Boxes) -> Float32[np.ndarray, "box"]:
        """IoU with the truth of each half-open box of the scored picture."""
        side = self.crop or self.frame
        limit = self._limit(size if side is None else (side, side))
        return np.asarray(box_ious(boxes, self.truth_in(truth, size), int(self.inclusive), limit), np.float32)

    def boxes(self, heat: Heatmap, size: Size, thresholds: Thresholds) -> Float32[np.ndarray, "threshold 4"]:
        """Half-open box, in original pixels, of the largest component at each of the ascending `thresholds`."""
        if self._as_found and thresholds.size == 1:
            boxes, _ = find_boxes(heat, size, float(thresholds[0]), normalisation=self.normalisation)
            return boxes if len(boxes) else np.zeros((1, 4), np.float32)
        levels, count, at = self._levels(self.warm(heat, size), thresholds)
        found = largest_boxes(levels, count, "contour" if self.candidates == "all" else self.candidates)[at]
        return self._original(found, size)

    @property
    def _as_found(self) -> bool:
        """Whether its box at one threshold is that of `find_boxes`, which need not enlarge the map."""
        own = PROTOCOLS["boxless"]
        return self == replace(own, name=self.name, normalisation=self.normalisation)

    def _original(self, found: Int32[np.ndarray, "box 4"], size: Size) -> Float32[np.ndarray, "box 4"]:
        """Boxes of the scored picture in pixels of the original one, of `size`."""
        scale = 1.0 if self.frame is None else np.array(size * 2) / self.frame
        return np.asarray((found + self._margin) * scale, np.float32)

    @property
    def _margin(self) -> int:
        return (self.frame - self.crop) // 2 if self.frame and self.crop else 0

    def _limit(self, size: Size) -> Size:
        return size if self.clipped == "found" or not self.inclusive else (size[0] + 1, size[1] + 1)

    def _levels(self, warm: Float[np.ndarray, "h w"], thresholds: Thresholds) -> tuple[Levels, int, Levels]:
        """Level image, number of levels, and the level that belongs to each threshold."""
        if not self.eight_bit:
            return to_levels(warm, thresholds.astype(np.float32)), thresholds.size, np.arange(thresholds.size)
        grey = (warm * 255).astype(np.uint8)
        return grey, 256, (thresholds * float(grey.max())).astype(np.int64)


def _shares(boxes: Float32[np.ndarray, "box 4"], size: Size) -> Float64[np.ndarray, "box"]:
    wide = boxes.astype(np.float64)
    return np.asarray((wide[:, 2:] - wide[:, :2]).prod(axis=1) / np.prod(size))


_WSOLEVALUATION = Protocol(
    name="wsoleval-v1",
    source="MaxBoxAcc: Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020",
    frame=224,
    interpolation="cubic",
    resize_first=True,
    eight_bit=True,
    steps=1000,
    candidates="contour",
    inclusive=True,
    clipped="found",
    whole_pixels=True,
    deltas=(0.5,),
)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(name="boxless", source="half-open boxes in original pixels, float map"),
        _WSOLEVALUATION,
        replace(
            _WSOLEVALUATION,
            name="wsoleval-v2",
            source="MaxBoxAccV2: Choe et al., Evaluation for Weakly Supervised Object Localization, TPAMI 2022",
            candidates="all",
            deltas=DELTAS,
        ),
        replace(_WSOLEVALUATION, name="pxap", source="PxAP: Choe et al., CVPR 2020", eight_bit=False, measures="masks"),
        Protocol(
            name="cam2016",
            source="Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, section 3.2: "
            "20 % of the maximum, largest component (one map; not the ten crops and JPEG files of the scripts)",
            interpolation="cubic",
            resize_first=True,
            normalisation="max",
            eight_bit=True,
            steps=1000,
            threshold=0.2,
            deltas=(0.5,),
        ),
        Protocol(
            name="tscam",
            source="Gao et al., TS-CAM, ICCV 2021: threshold 0.12 for ILSVRC (0.1 for CUB)",
            frame=224,
            resize_first=True,
            eight_bit=True,
            steps=1000,
            threshold=0.12,
            candidates="contour",
            inclusive=True,
            clipped="truth",
            whole_pixels=True,
            deltas=(0.5,),
        ),
        Protocol(
            name="psol",
            source="Zhang et al., Rethinking the Route Towards WSOL, CVPR 2020: centre crop, truth cut to it, "
            "mean over classes (there the box comes from a regressor, here from the map at its best threshold)",
            frame=256,
            crop=224,
            deltas=(0.5,),
            strictly=True,
            mean_over="classes",
        ),
    )
}
"""All protocols by name; the first is the default."""


def protocol_named(name: str) -> Protocol:
    """The protocol called `name`; raises UsageError with all names for another."""
    if name not in PROTOCOLS:
        raise UsageError(f"There is no protocol {name!r}. Choose from: {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]
