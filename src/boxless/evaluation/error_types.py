"""What kind of error each wrong box is: part of the object, too large, around several objects, or elsewhere.

After the error types of TS-CAM (Gao et al., ICCV 2021, released code), in this order, with IoB and IoG the overlap as a
share of the found box and of a truth box, on half-open boxes in original pixels:
hit: IoU >= 0.5; several: IoG > 0.3 for more than one truth box; part: IoB > 0.5 with the best truth box;
large: IoG >= 0.7 with it; missed: all else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int, Int8

from boxless.data.dataset import Boxes

KINDS = ("hit", "part", "large", "several", "missed")


@dataclass(frozen=True, slots=True)
class ErrorTypes:
    """The kind (index into KINDS), the IoU and the box of every image, and the class labels where they are known."""

    kinds: Int8[np.ndarray, "image"]
    ious: Float64[np.ndarray, "image"]
    boxes: Float32[np.ndarray, "image 4"]
    labels: Int[np.ndarray, "image"] | None = None

    def totals(self) -> dict[str, int]:
        """How many images there are of each kind."""
        return _count(self.kinds)

    def kind(self, image: int) -> str:
        """The kind of one image's box, by name."""
        return KINDS[self.kinds[image]]

    def per_class(self) -> dict[int, dict[str, int]]:
        """The same for every class label; empty where labels are not known."""
        if self.labels is None:
            return {}
        return {int(label): _count(self.kinds[self.labels == label]) for label in np.unique(self.labels)}

    def worst(self, how_many: int = 20) -> list[int]:
        """Indices of the images with the lowest IoU, worst first; ties in the order of the images."""
        return [int(i) for i in np.argsort(self.ious, kind="stable")[:how_many]]


def classify_errors(
    boxes: Float32[np.ndarray, "image 4"], truths: Sequence[Boxes], labels: Int[np.ndarray, "image"] | None = None
) -> ErrorTypes:
    """One found box for each image (zeros for none) and its truth boxes -> the kind of each."""
    judged = [
        _judge(box.astype(np.float64), truth.astype(np.float64)) for box, truth in zip(boxes, truths, strict=True)
    ]
    kinds = np.array([kind for kind, _ in judged], np.int8)
    return ErrorTypes(kinds, np.array([iou for _, iou in judged], np.float64), boxes, labels)


def _judge(box: Any, truth: Any) -> tuple[int, float]:
    shared = np.clip(np.minimum(box[2:], truth[:, 2:]) - np.maximum(box[:2], truth[:, :2]), 0, None).prod(axis=1)
    own, theirs = np.prod(box[2:] - box[:2]), np.prod(truth[:, 2:] - truth[:, :2], axis=1)
    iou = shared / (own + theirs - shared)
    best = int(np.argmax(iou))
    of_truth = shared / theirs
    if iou[best] >= 0.5:
        kind = "hit"
    elif (of_truth > 0.3).sum() > 1:
        kind = "several"
    elif shared[best] > 0.5 * own:
        kind = "part"
    elif of_truth[best] >= 0.7:
        kind = "large"
    else:
        kind = "missed"
    return KINDS.index(kind), float(iou[best])


def _count(kinds: Int8[np.ndarray, "image"]) -> dict[str, int]:
    return {kind: int((kinds == i).sum()) for i, kind in enumerate(KINDS)}
