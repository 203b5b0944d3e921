"""One trial of a table of classifiers: train a method with one seed, measure it beside its controls, keep the numbers.

A trial is a method with its options, the settings of its training (backbone, budget, seed), and the name of the variant
that it is in its table. Labels alone train; the boxes of the training images choose the threshold, the test boxes
score. Frozen steps run once for all trials (`feature_cache.py`). What is kept is small enough to be committed: an image
is one digit at each IoU.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from boxless.backbones import build_backbone
from boxless.data.dataset import Dataset
from boxless.data.splits import check_labels, joined, splits_for
from boxless.evaluation.evaluate import HeatmapSet, compute_heatmaps, evaluate
from boxless.evaluation.measurement import Measurement
from boxless.evaluation.metrics import in_top, iou_table, max_box_accuracy_v2
from boxless.evaluation.protocols import DELTAS, PROTOCOLS
from boxless.evaluation.results import evaluation_result
from boxless.inference.localizer import Localizer, fresh, load, read_as
from boxless.inference.predictors import ImageHeatmap, InferenceOptions, Predictor, TrainedPredictor
from boxless.methods import method_class, options_for
from boxless.methods.options import method_options, resolve_options
from boxless.methods.settings import Training, plain
from boxless.reproduce.cost_profile import ProfiledRun
from boxless.reproduce.feature_cache import FeatureCache
from boxless.reproduce.grid import Result, TimeBudget
from boxless.reproduce.ten_crops import TenCropped
from boxless.runtime.devices import device_named
from boxless.runtime.errors import UsageError
from boxless.runtime.progress import Progress, progress_to

FITTED = 1000
"""Training images at most, evenly spaced, whose boxes choose the threshold."""
BULKY = ("ious", "worst", "curves", "thresholds", "per_class")
"""Parts of a measurement that no table of many trials needs."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One variant of a table with one seed."""

    variant: str
    method: str
    options: Mapping[str, Any]
    training: Training

    @property
    def name(self) -> str:
        """As it stands in file names: unique among the variants, backbones and seeds of a table."""
        words = f"{self.variant} {self.training.backbone}".lower()
        letters = (letter if letter.isascii() and (letter.isalnum() or letter in "._") else " " for letter in words)
        return f"{'-'.join(''.join(letters).split())}_{self.training.seed}"

    @property
    def learnt(self) -> "Trial":
        """The trial whose training this one needs: itself, or that of the method whose weights it reads differently."""
        other = method_class(self.method).trained_as or self.method
        if other == self.method:
            return self
        known = {option.name for option in method_options(other)}
        options = {name: value for name, value in self.options.items() if name in known}
        return replace(self, variant=other, method=other, options=options)


class TrialMaps(NamedTuple):
    """What a trial's network saw: its maps of the training images whose boxes fit, and of the test images."""

    fit: HeatmapSet
    test: HeatmapSet
    threshold: float
    """The headline's."""


class Experiment:
    """A data set with its two splits, and what its trials share: frozen features and the untrained networks' maps."""

    def __init__(
        self,
        data: Sequence[Path],
        work: Path,
        *,
        images_per_class: int | None = None,
        ten_crops: bool = False,
        unboxed: bool = False,
        extra_results: Callable[[Trial, TrialMaps], Mapping[str, Any]] = lambda trial, maps: {},
    ) -> None:
        """Trials train in the folder `work`, on at most `images_per_class`; `data` are the parts of one data set.

        With `ten_crops` classes are predicted from ten crops of each test image. With `unboxed` the training images
        may have no boxes, and each method then keeps its own threshold. `extra_results` are what a table adds to the
        results of a trial from its maps. Raises UsageError for data without a train and a test split, or without boxes.
        """
        self.test, self.train = two_splits(data, unboxed=unboxed)
        if images_per_class is not None:
            self.train = first_of_each_class(self.train, images_per_class)
        self.fit, self.work = evenly_spaced(self.train, FITTED), work
        self.extra_results, self.ten_crops = extra_results, ten_crops
        self.remembered: dict[tuple[object, ...], FeatureCache] = {}
        self.untrained: dict[tuple[object, ...], Predictor] = {}

    def refused(self, trial: Trial) -> str | None:
        """Why a method cannot be combined with these options and this backbone; None when it can."""
        settings = trial.training
        options = options_for(trial.method, resolve_options(trial.method, trial.options), self.train.classes)
        with torch.random.fork_rng([]):
            backbone = build_backbone(settings.backbone, stride=settings.stride, weights="none")
            if settings.freeze:
                backbone.freeze(settings.freeze)
            try:
                network = method_class(trial.method)(backbone, len(self.train.classes), **options)
                network.check_size(trial.method, settings.size)
            except UsageError as error:
                return str(error)
        return None

    def run(self, trial: Trial, budget: TimeBudget, *, keep: bool = False) -> Result | None:
        """Train and measure a trial -> everything as plain values, or None out of time.

        The next call then goes on from the last epoch. The run folder goes when it is measured, unless another trial
        needs it (`keep`).
        """
        if reason := self.refused(trial):
            return {"variant": trial.variant, "method": trial.method, "refused": reason}
        out, began = self.work / trial.learnt.name, time.process_time()
        cost = self.learn(trial.learnt, out, budget)
        if cost is None:
            return None
        learnt = time.process_time()
        found = self.measure(trial, out)
        seconds = {"training": learnt - began, "measuring": time.process_time() - learnt}
        if not keep:
            shutil.rmtree(out)
        described = {"variant": trial.variant, "method": trial.method, "options": dict(trial.options)}
        return described | {"training": plain(trial.training), "cpu_seconds": seconds} | cost | found

    def learn(self, trial: Trial, out: Path, budget: TimeBudget) -> Result | None:
        """Train from the last epoch there is to the end -> rows of metrics.csv and costs, or None when time is over."""
        settings = trial.training
        check_labels(trial.method, self.train, None)

        with torch.random.fork_rng([]), progress_to(f"training {trial.name}") as tell:
            resume, options = (out / "last.pt").exists(), resolve_options(trial.method, trial.options)
            run = ProfiledRun(trial.method, options, self.train, None, settings, out, resume=resume)
            # Only where the same pictures come again.
            repeats = settings.resize == settings.size and not run.network.alters_images
            if settings.freeze and repeats:
                self.memory(settings).attach(run.network.backbone)  # type: ignore[arg-type]

            def progress(step: int, steps: int, row: Mapping[str, float]) -> None:
                tell(step, steps, row)
                if budget.over:
                    raise _OverError

            try:
                run.train(progress)
            except _OverError:
                return None
        return {"history": run.history, "step_bytes": run.step_bytes, "epoch_seconds": run.epoch_seconds}

    def measure(self, trial: Trial, out: Path) -> Result:
        """The weights in `out` read out by the trial's method on the test images, beside its controls."""
        settings, options = trial.training, resolve_options(trial.method, trial.options)
        how = InferenceOptions(16, settings.workers, device_named(settings.device))
        localizer = read_as(load(out), trial.method, options)
        blank = self.blank(localizer, settings, how)
        if settings.freeze:
            localizer.network.backbone.freeze(settings.freeze)
            localizer.network.eval()
            self.memory(settings).attach(localizer.network.backbone)
        trained = TrainedPredictor(localizer.to(how.device), how)
        predictor, progress = Once(TenCropped(trained, settings.resize) if self.ten_crops else trained), Progress()
        measured, maps = evaluate(predictor, self.test, progress, fit=self.fit, untrained=blank, headline="transferred")
        result = evaluation_result(measured, predictor, self.test, self.fit, progress, seed=settings.seed)
        kept = {name: value for name, value in result["measurement"].items() if name not in BULKY}
        fitted = compute_heatmaps(predictor, self.fit, progress).boxed() if self.fit.boxed else HeatmapSet()
        extra = self.extra_results(trial, TrialMaps(fitted, maps, measured.rows[0].threshold[0]))
        found = {"data": result["data"], "measurement": kept, "v2": box_accuracy_v2(maps)}
        return found | per_image(measured) | dict(extra)

    def blank(self, localizer: Localizer, settings: Training, how: InferenceOptions) -> Predictor:
        """The same network with random weights, which looks at each image once for all trials that share it."""
        shapes = tuple((name, tuple(value.shape)) for name, value in localizer.network.state_dict().items())
        key = (localizer.method, settings.backbone, settings.stride, settings.size, shapes)
        if key not in self.untrained:
            self.untrained[key] = Once(TrainedPredictor(fresh(localizer).to(how.device), how))
        return self.untrained[key]

    def memory(self, settings: Training) -> FeatureCache:
        """What is remembered of the backbone with these settings."""
        key = (settings.backbone, settings.stride, settings.weights, settings.freeze)
        return self.remembered.setdefault(key, FeatureCache(settings.memory))


class _OverError(Exception):
    """The minutes are over; what the last epoch left is taken up by the next call."""


class Once:
    """A predictor that looks at each split once."""

    def __init__(self, predictor: Predictor) -> None:
        self.name, self.readout, self.classes = predictor.name, predictor.readout, predictor.classes
        self.predictor = predictor
        self.found: dict[tuple[str | None, bool], list[ImageHeatmap]] = {}

    def maps(self, dataset: Dataset, progress: Progress, *, labels: bool = False) -> Iterator[ImageHeatmap]:
        """As the predictor's."""
        key = dataset.split, labels
        if key not in self.found:
            self.found[key] = list(self.predictor.maps(dataset, progress, labels=labels))
        yield from self.found[key]


def per_image(measured: Measurement) -> dict[str, Any]:
    """What pairs of trials are compared by: a digit per image (1: right), and a hash that says which images they are.

    `hits` at each IoU with the headline's threshold and the oracle's; `known`: whether the class is right, `known_5`:
    whether it is among the first five.
    """
    labels, ranked = measured.labels, measured.predictions
    assert labels is not None and ranked is not None
    oracle = next(row for row in measured.rows if row.kind == "oracle")
    origins = {"headline": measured.rows[0].hits, "oracle": oracle.hits}
    hits = {
        origin: {f"{delta:g}": digits(column) for delta, column in zip(DELTAS, hit.T, strict=True)}
        for origin, hit in origins.items()
    }
    names = sha256("\n".join(measured.names).encode()).hexdigest()[:16]
    known, among = (digits(in_top(ranked, labels, count)) for count in (1, 5))
    return {"images": names, "hits": hits, "known": known, "known_5": among}


def digits(right: np.ndarray) -> str:
    """Booleans as a string of 0 and 1."""
    return "".join("1" if one else "0" for one in right)


def box_accuracy_v2(maps: HeatmapSet) -> float:
    """MaxBoxAccV2 (Choe et al., TPAMI 2022) of maps under its own protocol: all contours, best thresholds."""
    kept = maps.boxed().split()
    return max_box_accuracy_v2(iou_table(kept.maps, kept.sizes, kept.truths, PROTOCOLS["wsoleval-v2"]))


def two_splits(data: Sequence[Path], *, unboxed: bool = False) -> tuple[Dataset, Dataset]:
    """The split that is scored and the one that is trained on, of a data set in one or more parts.

    Raises UsageError for data without a train and a test split, or without boxes of both (`unboxed`: of the test one).
    """
    found = [splits_for(path) for path in data]
    for path, (test, train) in zip(data, found, strict=True):
        if train is None:
            raise UsageError(f"{path} has no train split. Expected train/CLASS/img and test/CLASS/img (or val).")
        if not (test.boxed and (train.boxed or unboxed)):
            raise UsageError(f"{path} lacks boxes of a split. Expected boxes_train.csv and boxes_{test.split}.csv.")
    return joined([test for test, _ in found]), joined([train for _, train in found if train is not None])


def spaced(count: int, most: int) -> list[int]:
    """At most `most` indices of `count`, evenly spaced from the first to the last."""
    return [int(index) for index in np.linspace(0, count - 1, min(most, count)).round()]


def evenly_spaced(dataset: Dataset, most: int) -> Dataset:
    """At most `most` samples, evenly spaced."""
    return replace(dataset, samples=[dataset.samples[index] for index in spaced(len(dataset), most)])


def first_of_each_class(dataset: Dataset, most: int) -> Dataset:
    """At most `most` samples of each class, the first by name."""
    seen: dict[int | None, int] = {}
    kept = []
    for sample in dataset.samples:
        seen[sample.label] = seen.get(sample.label, 0) + 1
        if seen[sample.label] <= most:
            kept.append(sample)
    return replace(dataset, samples=kept)
