"""One cell of I2C's tables: train one variant with one seed, measure it beside its controls, keep what tables need.

All variants are the same program: the plain network is I2C with both factors zero, so that it starts with the same
weights and sees the same batches in the same order under the same head. Labels alone train; the boxes of the training
images choose the threshold and judge the seeds, the test boxes score. Frozen steps run once (`remembering.py`).
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from boxless.boxes import normalise
from boxless.data.labels import check_labels
from boxless.data.sample import Boxes, Dataset
from boxless.data.splits import splits_for
from boxless.data.streaming import Watch
from boxless.devices import device_named
from boxless.errors import UsageError
from boxless.evaluating import Maps, evaluate, maps_of
from boxless.experiments.cells import Clock, Result
from boxless.experiments.remembering import Remembered
from boxless.localizer import fresh, load
from boxless.metrics import in_top
from boxless.options import resolve_options
from boxless.predicting import Finder, How, Mapped, TrainedFinder
from boxless.results import evaluation_result
from boxless.run_folder import plain
from boxless.settings import Training
from boxless.training import Run

FITTED = 1000
"""Training images at most, evenly spaced, whose boxes choose the threshold and judge the seeds."""


@dataclass(frozen=True, slots=True)
class I2cCell:
    """One variant of a table with one seed: I2C's options, and the settings of its training."""

    variant: str
    options: Mapping[str, Any]
    training: Training

    @property
    def name(self) -> str:
        """As it stands in file names."""
        letters = (
            letter if letter.isascii() and (letter.isalnum() or letter == ".") else " " for letter in self.variant
        )
        return f"{'-'.join(''.join(letters).lower().split())}_{self.training.seed}"


class Study:
    """A data set with its two splits, and what its cells share: frozen features and the untrained networks' maps."""

    def __init__(self, data: Path, work: Path) -> None:
        """Cells train in the folder `work`; raises UsageError for data without a train and a test split, or boxes."""
        self.test, train = splits_for(data)
        if train is None:
            raise UsageError(f"{data} has no train split. Expected train/CLASS/img and test/CLASS/img (or val).")
        if not (train.boxed and self.test.boxed):
            raise UsageError(
                f"{data} lacks boxes of a split. Expected boxes_train.csv and boxes_{self.test.split}.csv."
            )
        check_labels("i2c", train, None)
        self.train, self.fit, self.work = train, spaced(train, FITTED), work
        self.remembered: dict[tuple[object, ...], Remembered] = {}
        self.untrained: dict[tuple[object, ...], Finder] = {}

    def run(self, cell: I2cCell, clock: Clock) -> Result | None:
        """Train and measure a cell -> everything as plain values, or None out of time.

        The next call then goes on from the last epoch. The run folder goes when it is measured.
        """
        out, began = self.work / cell.name, time.process_time()
        history = self.learn(cell, out, clock)
        if history is None:
            return None
        learnt = time.process_time()
        found = self.measure(out, cell.training)
        seconds = {"training": learnt - began, "measuring": time.process_time() - learnt}
        shutil.rmtree(out)
        described = {"variant": cell.variant, "options": dict(cell.options), "training": plain(cell.training)}
        return described | {"history": history, "cpu_seconds": seconds} | found

    def learn(self, cell: I2cCell, out: Path, clock: Clock) -> list[dict[str, float]] | None:
        """Train from the last epoch there is to the end -> the rows of metrics.csv, or None when the clock is over."""
        settings = cell.training

        def progress(step: int, steps: int, row: Mapping[str, float]) -> None:
            if clock.over:
                raise _OverError

        with torch.random.fork_rng([]):
            resume = (out / "last.pt").exists()
            run = Run("i2c", resolve_options("i2c", cell.options), self.train, None, settings, out, resume=resume)
            if settings.freeze and settings.resize == settings.size:  # the same pictures come again
                self.memory(settings).attach(run.network.backbone)  # type: ignore[arg-type]
            try:
                run.train(progress)
            except _OverError:
                return None
        return run.history

    def measure(self, out: Path, settings: Training) -> dict[str, Any]:
        """The localizer in `out` on the test images, beside its controls, with each image's hits."""
        localizer, how = load(out), How(16, settings.workers, device_named(settings.accelerator))
        key = (settings.backbone, settings.stride, settings.size, localizer.content["options"]["head"])
        if key not in self.untrained:
            self.untrained[key] = Once(TrainedFinder(fresh(localizer).to(how.device), how))
        if settings.freeze:
            localizer.network.backbone.freeze(settings.freeze)  # type: ignore[union-attr, operator]
            localizer.network.eval()
            self.memory(settings).attach(localizer.network.backbone)  # type: ignore[arg-type]
        finder, watch = Once(TrainedFinder(localizer.to(how.device), how)), Watch()
        measured, _ = evaluate(
            finder, self.test, watch, fit=self.fit, untrained=self.untrained[key], headline="transferred"
        )
        labels, ranked = measured.labels, measured.predictions
        assert labels is not None and ranked is not None
        oracle = next(row for row in measured.rows if row.kind == "oracle")
        hits = {"transferred": measured.rows[0].hits, "oracle": oracle.hits}
        told = evaluation_result(measured, finder, self.test, self.fit, watch, seed=settings.seed)
        return {
            "data": told["data"],
            "measurement": told["measurement"],
            "names": list(measured.names),
            "hits": {origin: hit.astype(int).tolist() for origin, hit in hits.items()},
            "known": in_top(ranked, labels, 1).astype(int).tolist(),
            "seeds": seeds(maps_of(finder, self.fit, watch).boxed(), localizer.content["options"]["delta"]),
        }

    def memory(self, settings: Training) -> Remembered:
        """What is remembered of the backbone with these settings."""
        key = (settings.backbone, settings.stride, settings.weights, settings.freeze)
        return self.remembered.setdefault(key, Remembered(settings.memory))


class _OverError(Exception):
    """The clock is over; what the last epoch left is taken up by the next call."""


class Once:
    """A finder that looks at each split once."""

    def __init__(self, finder: Finder) -> None:
        self.name, self.readout, self.classes = finder.name, finder.readout, finder.classes
        self.finder = finder
        self.found: dict[tuple[str | None, bool], list[Mapped]] = {}

    def maps(self, dataset: Dataset, watch: Watch, *, labels: bool = False) -> Iterator[Mapped]:
        """As the finder's."""
        key = dataset.split, labels
        if key not in self.found:
            self.found[key] = list(self.finder.maps(dataset, watch, labels=labels))
        yield from self.found[key]


def spaced(dataset: Dataset, most: int) -> Dataset:
    """At most `most` samples, evenly spaced."""
    kept = np.linspace(0, len(dataset) - 1, min(most, len(dataset))).round().astype(int)
    return replace(dataset, samples=[dataset.samples[int(index)] for index in kept])


def seeds(maps: Maps, delta: float) -> dict[str, Any]:
    """Where I2C may draw its seeds: places above `delta` in each map, and the percentage of them inside a true box.

    `chance` is the percentage of all places that are inside: what places drawn at random would reach.
    """
    counts, inside, chance = list[int](), list[float](), list[float]()
    for heat, size, truth in zip(maps.heats, maps.sizes, maps.truths, strict=True):
        warm, within = normalise(heat) > delta, places_inside(heat.shape, size, truth if truth is not None else _NONE)
        counts.append(int(warm.sum()))
        chance.append(float(100 * within.mean()))
        if warm.any():
            inside.append(float(100 * within[warm].mean()))
    return {
        "places": int(np.prod(maps.heats[0].shape)),
        "counts": counts,
        "inside": float(np.mean(inside)) if inside else None,
        "chance": float(np.mean(chance)),
    }


_NONE = np.zeros((0, 4), np.float32)


def places_inside(shape: tuple[int, ...], size: tuple[int, int], boxes: Boxes) -> Bool[np.ndarray, "h w"]:
    """Which places of a map have their centre in one of the boxes of an image of `size` (width, height)."""
    y, x = (((np.arange(n) + 0.5) / n * side) for n, side in zip(shape, size[::-1], strict=True))
    x0, y0, x1, y1 = boxes[:, None, None, :].transpose(3, 0, 1, 2)
    within = (x >= x0) & (x < x1) & (y[:, None] >= y0) & (y[:, None] < y1)
    return np.asarray(within.any(axis=0))
