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
from jaxtyping import Bool
from torch import Tensor

from boxless.boxes.from_heatmap import Heatmap
from boxless.data.dataset import Boxes, Dataset
from boxless.data.inference_batches import stream
from boxless.data.splits import splits_for
from boxless.evaluation import baselines
from boxless.evaluation.evaluate import compute_heatmaps
from boxless.evaluation.measure import Split, measure
from boxless.evaluation.metrics import accuracy, hits, iou_table
from boxless.evaluation.protocols import DELTAS, PROTOCOLS
from boxless.evaluation.thresholds import transferred
from boxless.gan.checkpoint_selection import in_chunks
from boxless.gan.data import Images
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
"""Accuracy in percent at IoU 0.3, 0.5, 0.7, and `hits`: a digit per image, 1 where it is hit at 0.5."""
HeatmapFunction = Callable[[Tensor], Tensor]
"""Images in 0..1 (batch, 3, size, size) -> raw maps (batch, h, w)."""


class Scene(NamedTuple):
    """Images of one split that have boxes, as D sees them, with their original sizes and boxes."""

    images: Images
    sizes: list[tuple[int, int]]
    truths: list[Boxes]


def category_splits(data: Path, group: str, *, boxed: bool = True) -> tuple[Dataset, Dataset]:
    """The test and the training images of a group as one category.

    Raises BoxlessError without a training split, and where a split has no boxes though they are needed (`boxed`).
    """
    test, train = splits_for(data, classes=group, one_category=True)
    if train is None:
        raise BoxlessError(f"{data} has no train split. Expected train/CLASS/img and test/CLASS/img (or val).")
    if boxed and not (train.boxed and test.boxed):
        raise BoxlessError(f"{data} has a split without boxes of {group}. To measure it, give boxes of both splits.")
    return test, train


class Scoring:
    """The images of one category that everything is scored on, and some of others, whose boxes choose thresholds."""

    def __init__(self, asked: Dataset, others: Dataset, *, size: int, device: torch.device, seed: int) -> None:
        self.datasets = asked, some_boxed(others)
        self.device, self.seed = device, seed
        self.asked, self.fit = (_scene(dataset, size) for dataset in self.datasets)

    def score(self, heatmap: HeatmapFunction) -> Result:
        """The scores of a network's maps at both thresholds, its own images' and shuffled."""
        return score_maps(*(self._split(heatmap, scene) for scene in (self.asked, self.fit)), seed=self.seed)

    def constants(self) -> Result:
        """What no learning scores: the whole image, the best centred box, border contrast."""
        predictor = discoverer("contrast", device=str(self.device))
        asked, fit = (compute_heatmaps(predictor, dataset, Progress()).boxed().split() for dataset in self.datasets)
        measured = measure(*asked, fit=fit, headline="transferred", seed=self.seed)
        whole, centred = (_score(row.hits) for row in measured.controls if row.name in ("whole image", "centred box"))
        return {
            "whole image": whole,
            "centred box": {"share": list(baselines.fit_centred_box(fit.sizes, fit.truths)), **centred},
            "no learning": {"threshold": measured.rows[0].threshold[0], **_score(measured.rows[0].hits)},
        }

    def _split(self, heatmap: HeatmapFunction, scene: Scene) -> Split:
        images = scene.images.to(self.device).permute(0, 3, 1, 2).float() / 255
        return Split(list(in_chunks(heatmap, images).cpu().numpy()), scene.sizes, scene.truths)


def score_maps(asked: Split, fit: Split, *, seed: int) -> Result:
    """The scores of maps at the threshold best on `fit` and at the paper's, and of the same maps shuffled."""
    order = baselines.derangement(len(asked.maps), seed) if len(asked.maps) > 1 else np.zeros(1, np.intp)
    thresholds = {"transferred": transferred(*fit, PROTOCOL).threshold, "fixed": FIXED}

    def scores(maps: Sequence[Heatmap]) -> dict[str, Score]:
        table = iou_table(maps, asked.sizes, asked.truths, PROTOCOL, extra=list(thresholds.values()))
        return {
            name: {"threshold": at, **_score(np.stack([hits(table.at(at), delta) for delta in DELTAS], axis=1))}
            for name, at in thresholds.items()
        }

    return {"maps": scores(asked.maps), "shuffled": scores(baselines.reordered(asked.maps, order))}


def some_boxed(dataset: Dataset) -> Dataset:
    """At most `FIT` samples that have boxes, evenly taken."""
    boxed = [sample for sample in dataset.samples if sample.boxes is not None and len(sample.boxes)]
    return replace(dataset, samples=boxed[:: max(1, -(-len(boxed) // FIT))])


def _score(hit: Bool[np.ndarray, "image delta"]) -> Score:
    accuracies = {f"{delta:g}": float(value) for delta, value in zip(DELTAS, accuracy(hit), strict=True)}
    return {"accuracy": accuracies, "hits": "".join("01"[one] for one in hit[:, DELTAS.index(0.5)].astype(int))}


def _scene(dataset: Dataset, size: int) -> Scene:
    pictures, sizes, truths = list[Tensor](), list[tuple[int, int]](), list[Boxes]()
    for batch in stream(dataset, size, Progress()):
        for sample, original, picture in zip(batch.samples, batch.sizes, batch.pictures, strict=True):
            if sample.boxes is not None and len(sample.boxes):
                pictures.append(torch.from_numpy(picture))
                sizes.append(original)
                truths.append(sample.boxes)
    return Scene(torch.stack(pictures), sizes, truths)
