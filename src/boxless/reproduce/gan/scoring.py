"""How maps of one category are scored in the GAN tables: always at two thresholds and beside what no learning scores.

The one threshold is transferred from boxes of the other split, the other is the paper's. Every score keeps which images
it hits, so that tables can average seeds image by image and compare on the same images.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor

from boxless.boxes.from_heatmap import Heatmap
from boxless.data.dataset import Boxes, Dataset
from boxless.data.inference_batches import stream
from boxless.data.splits import splits_for
from boxless.evaluation import baselines
from boxless.evaluation.evaluate import compute_heatmaps
from boxless.evaluation.measure import Split
from boxless.evaluation.metrics import hits, iou_table
from boxless.evaluation.protocols import DELTAS, PROTOCOLS
from boxless.evaluation.thresholds import transferred
from boxless.gan.checkpoint_selection import in_chunks
from boxless.gan.localizer import READOUTS
from boxless.inference.factory import discoverer
from boxless.reproduce.grid import Result
from boxless.runtime.errors import BoxlessError
from boxless.runtime.progress import Progress

FIT = 500
"""Images of the other split, evenly taken, whose boxes choose thresholds and the centred box."""
PROTOCOL = PROTOCOLS["boxless"]
FIXED = READOUTS["cam"].threshold

Score = dict[str, Any]
HeatmapFunction = Callable[[Tensor], Tensor]
"""Images in 0..1 (batch, 3, size, size) -> raw maps (batch, h, w)."""


class Scene(NamedTuple):
    """Images of one split that have boxes, as D sees them, with their original sizes and boxes."""

    images: UInt8[Tensor, "n size size 3"]
    sizes: list[tuple[int, int]]
    truths: list[Boxes]


def boxed_splits(data: Path, group: str) -> tuple[Dataset, Dataset]:
    """The test and the training images of a group as one category; raises BoxlessError where boxes are missing."""
    test, train = splits_for(data, classes=group, one_category=True)
    if train is None or not train.boxed or not test.boxed:
        raise BoxlessError(f"{data} needs a train and a test or val split, both with boxes, to measure {group}.")
    return test, train


class Scoring:
    """The images of one category that everything is scored on, and some of others, whose boxes choose thresholds."""

    def __init__(self, asked: Dataset, others: Dataset, *, size: int, device: torch.device, seed: int) -> None:
        self.datasets = asked, some_boxed(others)
        self.device, self.seed = device, seed
        self.asked, self.fit = (_scene(dataset, size) for dataset in self.datasets)

    def measured(self, heatmap: HeatmapFunction) -> Result:
        """The scores of a network's maps at both thresholds, its own images' and shuffled."""
        return scored(*(self._split(heatmap, scene) for scene in (self.asked, self.fit)), seed=self.seed)

    def constants(self) -> Result:
        """What no learning scores: the whole image, the best centred box, border contrast."""
        share = baselines.fit_centred_box(self.fit.sizes, self.fit.truths)
        return {
            "whole image": self._constant((1.0, 1.0)),
            "centred box": {"share": list(share), **self._constant(share)},
            "no learning": self._contrast(),
        }

    def _split(self, heatmap: HeatmapFunction, scene: Scene) -> Split:
        images = scene.images.to(self.device).permute(0, 3, 1, 2).float() / 255
        return Split(list(in_chunks(heatmap, images).cpu().numpy()), scene.sizes, scene.truths)

    def _constant(self, share: tuple[float, float]) -> Score:
        boxes = [baselines.centred_box(size, share) for size in self.asked.sizes]
        rows = zip(boxes, self.asked.sizes, self.asked.truths, strict=True)
        return score(np.array([PROTOCOL.box_ious(box, size, truth)[0] for box, size, truth in rows], np.float32))

    def _contrast(self) -> Score:
        predictor = discoverer("contrast", device=str(self.device))
        asked, fit = (compute_heatmaps(predictor, dataset, Progress()).boxed() for dataset in self.datasets)
        threshold = transferred(*fit.split(), PROTOCOL).threshold
        table = iou_table(*asked.split(), PROTOCOL, extra=[threshold])
        return {"threshold": threshold, **score(table.at(threshold))}


def scored(asked: Split, fit: Split, *, seed: int) -> Result:
    """The scores of maps at the threshold best on `fit` and at the paper's, and of the same maps shuffled."""
    order = baselines.derangement(len(asked.maps), seed) if len(asked.maps) > 1 else np.zeros(1, np.intp)
    threshold = transferred(*fit, PROTOCOL).threshold

    def scores(maps: Sequence[Heatmap]) -> dict[str, Score]:
        table = iou_table(maps, asked.sizes, asked.truths, PROTOCOL, extra=[threshold, FIXED])
        return {
            "transferred": {"threshold": threshold, **score(table.at(threshold))},
            "fixed": {"threshold": FIXED, **score(table.at(FIXED))},
        }

    return {"maps": scores(asked.maps), "shuffled": scores(baselines.Reordered(asked.maps, order))}


def some_boxed(dataset: Dataset) -> Dataset:
    """At most `FIT` samples that have boxes, evenly taken."""
    boxed = [sample for sample in dataset.samples if sample.boxes is not None and len(sample.boxes)]
    return replace(dataset, samples=boxed[:: max(1, -(-len(boxed) // FIT))])


def score(ious: Float32[np.ndarray, "image"]) -> Score:
    """Accuracy in percent at IoU 0.3, 0.5, 0.7, and which images are hit at 0.5, a digit each."""
    accuracy = {f"{delta:g}": 100 * float(hits(ious, delta).mean()) for delta in DELTAS}
    return {"accuracy": accuracy, "hits": "".join("01"[hit] for hit in hits(ious, 0.5).astype(int))}


def mean_hits(scores: Sequence[Score]) -> Float64[np.ndarray, "image"]:
    """The share of scores that hit each image."""
    return np.asarray(np.mean([[float(digit) for digit in score["hits"]] for score in scores], axis=0))


def _scene(dataset: Dataset, size: int) -> Scene:
    found = Scene(torch.zeros(0), [], [])
    pictures = []
    for batch in stream(dataset, size, Progress()):
        for sample, original, picture in zip(batch.samples, batch.sizes, batch.pictures, strict=True):
            if sample.boxes is not None and len(sample.boxes):
                found.sizes.append(original)
                found.truths.append(sample.boxes)
                pictures.append(torch.from_numpy(picture))
    return found._replace(images=torch.stack(pictures))
