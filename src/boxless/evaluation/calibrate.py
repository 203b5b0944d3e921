"""A few boxed images -> method and threshold for the rest of the folder, with what to expect there.

Every method looks at all images; the boxed ones choose. With ten boxes over-fitting is the danger, so a choice must
beat the label-free one on them at 5 %, corrected for every method and threshold that was tried; else the label-free one
is kept. What to expect of it is measured leave-one-out: each boxed image is scored with what the others choose.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int

from boxless.data.annotation_files import read_truth
from boxless.data.dataset import Boxes, Dataset
from boxless.evaluation.baselines import centred_box, fit_centred_box
from boxless.evaluation.bootstrap import interval, surely_above_zero
from boxless.evaluation.evaluate import HeatmapSet
from boxless.evaluation.measure import Split
from boxless.evaluation.metrics import Ious, hits, iou_table
from boxless.evaluation.protocols import DELTAS, PROTOCOLS, Size, Thresholds
from boxless.evaluation.results import chosen
from boxless.inference.discovery_predictor import DiscoveryPredictor
from boxless.inference.predictors import Predictor
from boxless.runtime.errors import BoxlessError, number_of
from boxless.runtime.progress import ProgressFactory
from boxless.runtime.toml_settings import to_toml, toml_comment

log = logging.getLogger(__name__)

REFERENCE = "auto"
"""What chooses without boxes, and is kept where they choose nothing better."""
METHODS = (
    (REFERENCE, "discriminant", "discriminant-ddt", "discriminant-contrast"),
    ("ddt",),
    ("contrast",),
    ("saliency",),
)
"""What boxes may choose between, each at every threshold; methods in a row read the same descriptors."""
FEWEST = 5
"""Boxed images below which nothing can be chosen."""
CHOSEN = "chosen with boxes"
"""The row of what fits the boxed images best."""
LEVEL = 0.05
"""P-value up to which a choice is taken to beat the label-free one."""
IOU_SHARE = 0.1
"""Weight of the mean IoU beside the mean share of hits at IoU 0.3, 0.5 and 0.7: it decides between equals."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A method's IoUs on the boxed images at every threshold, and the threshold that is its own."""

    method: str
    ious: Float32[np.ndarray, "image threshold"]
    thresholds: Thresholds
    own: float
    noticed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the method noticed about each category of the folder."""

    @property
    def at_own(self) -> Ious:
        """The IoUs at the method's own threshold."""
        return np.asarray(self.ious[:, int(np.argmin(np.abs(self.thresholds - self.own)))])


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the boxes chose, and the IoU of every boxed image with what was chosen without it."""

    method: str
    threshold: float
    """The best method and threshold on all boxed images."""
    left_out: Ious
    """IoU of each image under what the other images choose."""
    reference: Ious
    """IoU of each image under the label-free choice."""
    controls: dict[str, Ious]
    p: float
    """Of the choice being no better than the label-free one on images like these, all candidates counted."""
    noticed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the label-free choice noticed about each category: which method it took, and in which size."""

    @property
    def chosen(self) -> bool:
        """Whether the choice beats the label-free one; else that is kept."""
        return self.p <= LEVEL

    def settings(self) -> dict[str, Any]:
        """What `find` is to be run with; the label-free method has a threshold of its own."""
        return {"method": self.method, "threshold": self.threshold} if self.chosen else {"method": REFERENCE}

    def rows(self) -> dict[str, dict[str, Any]]:
        """What to expect of each: per cent of images found at IoU 0.5 and mean IoU, with 95 % intervals."""
        each = {CHOSEN: self.left_out, REFERENCE: self.reference}
        first = dict(each.items() if self.chosen else reversed(each.items()))  # what `find` will be run with
        return {name: _expected(ious) for name, ious in {**first, **self.controls}.items()}

    def words(self) -> list[str]:
        """The choice and what to expect of it, in sentences."""
        difference = float(np.mean(self.left_out - self.reference))
        gain = f"mean IoU {difference:+.3f} against {REFERENCE} on images left out, p {self.p:.3f}, limit {LEVEL}"
        best = f"{self.method} at threshold {self.threshold:g}"
        verdict = (
            f"{best} is chosen by {len(self.left_out)} boxed images ({gain})."
            if self.chosen
            else f"{REFERENCE} is kept: {best} fits the {len(self.left_out)} boxed images best, but not surely "
            f"better ({gain})."
        )
        names = {} if self.chosen else {CHOSEN: f"{best}, not taken"}
        rows = [
            f"{names.get(name, name)}: {row['found']:.0f} % found at IoU 0.5 ({row['found_interval'][0]:.0f} to "
            f"{row['found_interval'][1]:.0f}), mean IoU {row['iou']:.2f} ({row['iou_interval'][0]:.2f} to "
            f"{row['iou_interval'][1]:.2f})"
            for name, row in self.rows().items()
        ]
        expected = "Expected on the rest, each image scored without its own box, 95 % intervals:"
        return [verdict, expected, *rows, *(f"{REFERENCE}, {said}" for said in chosen(self.noticed))]

    def to_toml(self) -> str:
        """The settings for `boxless find --config`, below the numbers as comments."""
        return "".join(map(toml_comment, self.words())) + to_toml(self.settings())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for json."""
        return {
            **self.settings(),
            "chosen": self.chosen,
            "best": {"method": self.method, "threshold": self.threshold},
            "images": len(self.left_out),
            "difference": {"mean_iou": float(np.mean(self.left_out - self.reference)), "p": self.p},
            "expected": self.rows(),
            "notes": dict(self.noticed),
        }


def with_boxes(data: Dataset, path: Path, *, strict: bool = False) -> Dataset:
    """The folder's images with the boxes of an annotation file and no others; `strict` is as for `read_truth`.

    Raises what `read_truth` raises, and BoxlessError for fewer than FEWEST images.
    """
    truth = read_truth(path, data.source, strict=strict)
    boxed = {
        name: (boxes, size)
        for name, boxes, size in zip(truth.names, truth.boxes, truth.sizes, strict=True)
        if boxes is not None and len(boxes)
    }
    boxed = {sample.name: boxed[sample.name] for sample in data.samples if sample.name in boxed}
    if len(boxed) < FEWEST:
        raise BoxlessError(
            f"{path} has boxes for {number_of(len(boxed), 'image')}, too few to choose by. Box {FEWEST} or more, "
            "ten to fifty are good."
        )
    if several := [name for name, (boxes, _) in boxed.items() if len(boxes) > 1]:
        log.warning(
            "%s several boxes, such as %s. Each image counts as one object, found where any of its boxes is; remove "
            "what is wrong.",
            *(number_of(len(several), "image has", "images have"), several[0]),
        )
    nothing = (None, None)
    samples = []
    for sample in data.samples:
        boxes, size = boxed.get(sample.name, nothing)
        samples.append(replace(sample, boxes=boxes, size=size, written=()))
    return replace(data, samples=samples)


def calibrated(data: Dataset, build: Callable[[str], DiscoveryPredictor], counting: ProgressFactory) -> Calibration:
    """Choose for a folder of which some images have boxes; `build` makes the predictor of a method by its name."""
    candidates, boxed = candidates_of(data, build, counting)
    return calibrate(candidates, candidates[0], control_ious(boxed.sizes, boxed.truths))


def candidates_of(
    data: Dataset, build: Callable[[str], DiscoveryPredictor], counting: ProgressFactory
) -> tuple[list[Candidate], Split]:
    """All candidates over the boxed images of a folder, the label-free one first, and these images with their boxes.

    Every method sees all images. Raises BoxlessError when no boxed image can be read.
    """
    candidates = []
    for names in METHODS:
        predictors, found = [build(name) for name in names], [HeatmapSet(classes=data.classes) for _ in names]
        with counting(f"looking, {' and '.join(names)}") as progress:
            progress.expect(len(data))
            for maps in predictors[0].maps_of([one.method for one in predictors], data, progress):
                for held, mapped in zip(found, maps, strict=True):
                    held.add(mapped)
        if not found[0].boxed().samples:
            raise BoxlessError("None of the images with boxes could be read; nothing can be chosen by them.")
        candidates += [
            replace(candidate(one, held), noticed=held.noticed(one.category))
            for one, held in zip(predictors, found, strict=True)
        ]
    return candidates, found[0].boxed().split()


def candidate(predictor: Predictor, maps: HeatmapSet) -> Candidate:
    """IoUs of a method's maps of boxed images, at thresholds that mean what they mean in `find`."""
    readout, boxed = predictor.readout, maps.boxed()
    protocol = replace(PROTOCOLS["boxless"], normalisation=readout.normalisation)
    table = iou_table(boxed.heats, boxed.sizes, boxed.split().truths, protocol, extra=[readout.threshold])
    return Candidate(predictor.name, table.ious, table.thresholds, readout.threshold)


def calibrate(candidates: Sequence[Candidate], reference: Candidate, controls: dict[str, Ious]) -> Calibration:
    """Choose between candidates over the same images, and say how well that goes on images left out."""
    ious = np.concatenate([one.ious for one in candidates], axis=1)
    scores = merits(ious)
    p = surely_above_zero(ious - reference.at_own[:, None])
    sure = p <= LEVEL
    best = int(np.argmax(np.where(sure | ~sure.any(), scores.sum(axis=0), -1)))
    method, threshold = [(one.method, float(at)) for one in candidates for at in one.thresholds][best]
    left_out = ious[np.arange(len(ious)), choices_without(scores)]
    return Calibration(method, threshold, left_out, reference.at_own, controls, float(p[best]), reference.noticed)


def merits(ious: Float32[np.ndarray, "image column"]) -> Float64[np.ndarray, "image column"]:
    """What an image says for each column: the mean of its hits at IoU 0.3, 0.5 and 0.7, and a little of its IoU."""
    return np.asarray(np.mean([hits(ious, delta) for delta in DELTAS], axis=0) + IOU_SHARE * ious.astype(np.float64))


def choices_without(scores: Float64[np.ndarray, "image column"]) -> Int[np.ndarray, "image"]:
    """For each image the column that all the others choose."""
    others = np.array([np.delete(scores, image, axis=0).sum(axis=0) for image in range(len(scores))])
    return np.asarray(others.argmax(axis=1))


def control_ious(sizes: Sequence[Size], truths: Sequence[Boxes]) -> dict[str, Ious]:
    """IoUs of the whole image, and of the centred box that the other images choose."""
    images = range(len(sizes))
    others = [[j for j in images if j != i] for i in images]
    shares = [fit_centred_box([sizes[j] for j in rest], [truths[j] for j in rest]) for rest in others]

    def ious(boxes: Sequence[Boxes]) -> Ious:
        protocol = PROTOCOLS["boxless"]
        return np.array([protocol.box_ious(boxes[i], sizes[i], truths[i])[0] for i in images], np.float32)

    return {
        "whole image": ious([centred_box(size, (1, 1)) for size in sizes]),
        "centred box": ious([centred_box(size, share) for size, share in zip(sizes, shares, strict=True)]),
    }


def _expected(ious: Ious) -> dict[str, Any]:
    hit = hits(ious)
    low, high = interval(ious)
    return {
        "found": 100 * float(hit.mean()),
        "found_interval": [100 * end for end in _wilson(int(hit.sum()), len(hit))],
        "iou": float(ious.mean()),
        "iou_interval": [low, high],
    }


def _wilson(won: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (JASA 1927), which has a width even where all or none are won."""
    share = won / of
    middle, half = share + z * z / (2 * of), z * float(np.sqrt(share * (1 - share) / of + z * z / (4 * of * of)))
    return max(0.0, (middle - half) / (1 + z * z / of)), min(1.0, (middle + half) / (1 + z * z / of))
