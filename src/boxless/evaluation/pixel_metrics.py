"""PxAP: heat maps against masks, pixel by pixel, with the controls that a box measurement has.

Every non-zero pixel of a mask is object; pixels of an ignore mask outside it count on neither side. A constant map
scores the share of object pixels; a Gaussian at the centre is the peers' "center" baseline.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float64, Int, UInt8

from boxless.boxes.from_heatmap import Heatmap
from boxless.evaluation.baselines import derangement, reordered
from boxless.evaluation.metrics import each_image, pxap, score_histograms
from boxless.evaluation.protocols import PROTOCOLS, Protocol, Thresholds
from boxless.runtime.errors import BoxlessError

IGNORED = 255
Mask = UInt8[np.ndarray, "_h _w"]
Histograms = Int[np.ndarray, "image 2 bin"]
DRAWS = 1_000


@dataclass(frozen=True, slots=True)
class PixelMeasurement:
    """Histograms of object and background scores for each image, of the maps and of each control."""

    protocol: Protocol
    maps: Histograms
    controls: dict[str, Histograms]
    thresholds: Thresholds
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values: PxAP with its interval, precision and recall at every threshold, and controls with lifts."""
        own = self._resampled(self.maps)
        precision, recall = _precision_recall(self.maps)
        return {
            "protocol": self.protocol.name,
            "source": self.protocol.source,
            "images": len(self.maps),
            "metrics": {"PxAP": self.value},
            "intervals": {"PxAP": _middle(own)},
            "controls": {name: self._against(own, histograms) for name, histograms in self.controls.items()},
            "curves": {"precision": precision[: self.thresholds.size], "recall": recall[: self.thresholds.size]},
            "thresholds": self.thresholds.tolist(),
        }

    @property
    def value(self) -> float:
        """PxAP of the maps in percent."""
        return pxap(self.maps.sum(axis=0))

    def _against(self, own: Float64[np.ndarray, "draw"], control: Histograms) -> dict[str, Any]:
        theirs = self._resampled(control)
        low, high = _middle(own - theirs)
        value = pxap(control.sum(axis=0))
        lift = {"difference": self.value - value, "low": low, "high": high}
        return {"metrics": {"PxAP": value}, "interval": _middle(theirs), "lift": lift}

    def _resampled(self, histograms: Histograms) -> Float64[np.ndarray, "draw"]:
        """PxAP of resampled images; the same images in every draw for the maps and for each control."""
        rng = np.random.default_rng(self.seed)
        flat = histograms.reshape(len(histograms), -1).astype(np.float64)
        times = rng.multinomial(len(flat), np.full(len(flat), 1 / len(flat)), DRAWS).astype(np.float64)
        return np.array([pxap(pooled.reshape(2, -1)) for pooled in times @ flat])


def measure_pixels(maps: Sequence[Heatmap], masks: Sequence[Mask], *, seed: int = 0) -> PixelMeasurement:
    """Raw maps and masks (1 object, 0 background, 255 ignored; any size, resized nearest) -> PxAP and its controls.

    Raises BoxlessError when no mask has an object.
    """
    protocol, images = PROTOCOLS["pxap"], len(masks)
    small = [_squashed(mask, protocol.frame or 0) for mask in masks]
    if not any((mask == 1).any() for mask in small):
        raise BoxlessError(f"None of the {images} masks has an object pixel; PxAP cannot be measured.")

    def histograms(map_of: Callable[[int], Heatmap]) -> Histograms:
        def one(i: int) -> Any:
            return score_histograms(protocol.warm(map_of(i), (1, 1)), small[i], protocol.thresholds)

        return np.stack(each_image(one, images))

    centre = cv2.getGaussianKernel(7, 7 / 4)
    flat = {"constant map": np.array([[0.0]], np.float32), "centred Gaussian": (centre @ centre.T).astype(np.float32)}
    found = {name: histograms(lambda i, heat=heat: heat) for name, heat in flat.items()}  # type: ignore[misc]
    if images > 1:
        other = reordered(maps, derangement(images, seed))
        found["shuffled maps"] = histograms(other.__getitem__)
    return PixelMeasurement(protocol, histograms(maps.__getitem__), found, protocol.thresholds, seed)


def combine(mask: UInt8[np.ndarray, "h w"], ignore: UInt8[np.ndarray, "h w"] | None = None) -> UInt8[np.ndarray, "h w"]:
    """An object mask and an ignore mask (non-zero = yes) -> one mask of 1, 0 and 255; the object is never ignored."""
    one = (mask > 0).astype(np.uint8)
    return one if ignore is None else np.where((ignore > 0) & (one == 0), np.uint8(IGNORED), one)


def _squashed(mask: Mask, side: int) -> UInt8[np.ndarray, "{side} {side}"]:
    return np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_NEAREST))


def _middle(values: Float64[np.ndarray, "draw"]) -> list[float]:
    return [float(v) for v in np.nanpercentile(values, [2.5, 97.5])]


def _precision_recall(histograms: Histograms) -> tuple[list[float], list[float]]:
    """Percent at every threshold, ascending: of the pixels at or above it that are object, and of the object's."""
    true, false = (np.cumsum(h[::-1])[::-1].astype(np.float64) for h in histograms.sum(axis=0))
    precision = np.divide(100.0 * true, true + false, out=np.zeros_like(true), where=true + false > 0)
    return precision.tolist(), (100.0 * true / true[0]).tolist()
