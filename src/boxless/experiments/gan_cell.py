"""One cell of the GAN tables: train one GAN on one category, and measure it along the way beside what learnt nothing.

Training goes in stages. After each, the live D's maps are measured on images that it was not trained on, in every
reading, at a threshold transferred from boxes of training images and at the paper's fixed one. Last, label-free choice
and peak are then three ways to pick one of the stages. The stages measured so far are kept in the run folder.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from boxless import checkpoint, controls
from boxless.boxes import Heat
from boxless.data.sample import Boxes, Dataset
from boxless.data.splits import splits_for
from boxless.data.streaming import Watch, stream
from boxless.devices import device_named
from boxless.errors import BoxlessError, UsageError
from boxless.evaluating import maps_of
from boxless.experiments.cells import Clock, Result
from boxless.finders import discoverer
from boxless.gan.data import read_images
from boxless.gan.localizer import READOUTS, GanLocalizer
from boxless.gan.networks import Discriminator
from boxless.gan.settings import GanTraining
from boxless.gan.stopping import Judge, Scores, in_chunks, select
from boxless.gan.training import Progress, train_gan
from boxless.metrics import hits, iou_table
from boxless.protocols import DELTAS, PROTOCOLS
from boxless.results import data_hash, write_json
from boxless.thresholds import transferred

READINGS: tuple[Literal["cam", "ddt", "border"], ...] = ("cam", "ddt", "border")
STAGES = 10
"""Checkpoints of a run that are measured, evenly spaced."""
FIT = 500
"""Training images, evenly taken, whose boxes choose thresholds and the centred box."""
UNTRAINED = 3
"""Networks that were never trained, for that control; they differ between seeds."""
PROTOCOL = PROTOCOLS["boxless"]
FIXED = READOUTS["cam"].threshold

Score = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GanCell:
    """Which GAN, on which category, with or without augmentation, from which seed."""

    gan: str
    group: str
    augment: bool
    seed: int

    @property
    def name(self) -> str:
        """As it stands in file names."""
        return f"{self.gan}_{self.group}_{'augmented' if self.augment else 'plain'}_{self.seed}"


class Scene(NamedTuple):
    """Images of one split that have boxes, as D sees them, with their original sizes and boxes."""

    images: UInt8[Tensor, "n size size 3"]
    sizes: list[tuple[int, int]]
    truths: list[Boxes]


def run_cell(
    cell: GanCell, data: Path, settings: GanTraining, run: Path, clock: Clock, progress: Progress
) -> Result | None:
    """Train and measure one cell in the run folder `run`, going on where it stopped -> its result, None out of time.

    Raises what `train_gan` raises, UsageError for a run begun with other iterations, BoxlessError without boxes.
    """
    test, train = splits_for(data, classes=cell.group, one_category=True)
    if train is None or not train.boxed or not test.boxed:
        raise BoxlessError(f"{data} needs a train and a test or val split, both with boxes, to measure {cell.group}.")
    settings = replace(settings, augment=cell.augment, seed=cell.seed)
    measuring = _Measuring(read_images(train, settings.size), test, _some(train), settings, run)
    stages = measured_stages(run)
    ahead = steps(settings.iterations)
    if [stage["step"] for stage in stages] != ahead[: len(stages)]:
        raise UsageError(f"{run} was begun with another number of iterations. Use that, or choose another --out.")
    for step in ahead[len(stages) :]:
        if clock.over:
            return None
        upto = replace(settings, iterations=step, minutes=clock.left)
        train_gan(cell.gan, measuring.train, upto, run, resume=(run / "last.pt").exists(), progress=progress)
        content = checkpoint.read(run / "last.pt")
        if content["step"] < step:
            return None
        stages.append(measuring.stage(content, stages))
        write_json(run / "stages.json", {"stages": stages})
    last = checkpoint.read(run / "last.pt")
    return {
        "stages": stages,
        "label_free": measuring.chosen(last, stages),
        "controls": measuring.controls(last),
        "images": len(measuring.test.truths),
        "data": {"name": data.name, "hash": data_hash(test), "fit_hash": data_hash(train)},
        "training": settings.resolved(cell.gan),
    }


def measured_stages(run: Path) -> list[Result]:
    """The stages of a run that are measured, as its folder keeps them."""
    path = run / "stages.json"
    return json.loads(path.read_text(encoding="utf-8"))["stages"] if path.exists() else []


def steps(iterations: int) -> list[int]:
    """The iterations after which a run is measured; the last one is the last of the run."""
    return sorted({-(-iterations * stage // STAGES) for stage in range(1, STAGES + 1)})


class _Measuring:
    """Everything of one cell that is measured on the same images."""

    def __init__(
        self, train: UInt8[Tensor, "n size size 3"], test: Dataset, fit: Dataset, settings: GanTraining, run: Path
    ) -> None:
        self.run = run
        self._judge: Judge | None = None
        self.device = device_named(settings.device)
        self.train, self.seed = train.to(self.device), settings.seed
        self.datasets = test, fit
        self.test, self.fit = (_scene(dataset, settings.size) for dataset in self.datasets)

    def localizer(self, content: dict[str, Any], reading: Literal["cam", "ddt", "border"]) -> GanLocalizer:
        """The D of a last.pt under one reading."""
        network = Discriminator(**content["options"]["discriminator"])
        network.load_state_dict(content["trainer"]["discriminator"])
        return GanLocalizer(network, reading=reading).to(self.device).prepare(self.train)

    def stage(self, content: dict[str, Any], before: Sequence[Result]) -> Result:
        """The D of a last.pt after the stages `before`: the label-free criteria, and the scores of every reading."""
        readings = {reading: self.measured(self.localizer(content, reading)) for reading in READINGS}
        judge, step = self.judge(content), content["step"]
        if before and not len(judge.before):  # another process measured those
            judge.before = checkpoint.read(self._seen(before[-1]["step"]))["maps"].to(self.device)
        criteria = asdict(judge.score(self.localizer(content, "cam"), step))
        checkpoint.save(self._seen(step), {"maps": judge.before.cpu()})
        return {"step": step, "criteria": criteria, "readings": readings}

    def judge(self, content: dict[str, Any]) -> Judge:
        """What measures the label-free criteria, made once: it looks at untrained networks first."""
        if self._judge is None:
            self._judge = Judge(self.train, self.localizer(content, "cam"), self.seed)
        return self._judge

    def _seen(self, step: int) -> Path:
        return self.run / f"maps_{step}.pt"

    def measured(self, localizer: GanLocalizer) -> Result:
        """The scores of a localizer's maps at both thresholds, its own images' and shuffled."""
        maps, fit = (_maps(localizer, scene) for scene in (self.test, self.fit))
        order = controls.derangement(len(maps), self.seed) if len(maps) > 1 else np.zeros(1, np.intp)
        threshold = transferred(fit, self.fit.sizes, self.fit.truths, PROTOCOL).threshold
        return {
            "maps": self.scores(maps, threshold),
            "shuffled": self.scores(controls.Reordered(maps, order), threshold),
        }

    def scores(self, maps: Sequence[Heat], threshold: float) -> dict[str, Score]:
        """Test maps -> their scores at the transferred `threshold` and at the paper's fixed one."""
        table = iou_table(maps, self.test.sizes, self.test.truths, PROTOCOL, extra=[threshold, FIXED])
        return {
            "transferred": {"threshold": threshold, **_score(table.at(threshold))},
            "fixed": {"threshold": FIXED, **_score(table.at(FIXED))},
        }

    def chosen(self, last: dict[str, Any], stages: Sequence[Result]) -> int:
        """The step of the stage that the label-free criteria choose."""
        return select([Scores(**stage["criteria"]) for stage in stages], self.judge(last).untrained)

    def controls(self, last: dict[str, Any]) -> Result:
        """Untrained Ds in every reading, constant boxes, and border contrast: what no learning scores."""
        fresh = {
            reading: [
                self.measured(GanLocalizer.untrained(self.localizer(last, reading), self.train, self.seed + i))["maps"]
                for i in range(UNTRAINED)
            ]
            for reading in READINGS
        }
        share = controls.fit_centred_box(self.fit.sizes, self.fit.truths)
        return {
            "untrained": fresh,
            "whole image": self._constant((1.0, 1.0)),
            "centred box": {"share": list(share), **self._constant(share)},
            "no learning": self._contrast(),
        }

    def _constant(self, share: tuple[float, float]) -> Score:
        boxes = [controls.centred_box(size, share) for size in self.test.sizes]
        rows = zip(boxes, self.test.sizes, self.test.truths, strict=True)
        return _score(np.array([PROTOCOL.box_ious(box, size, truth)[0] for box, size, truth in rows], np.float32))

    def _contrast(self) -> Score:
        finder = discoverer("contrast", device=str(self.device))
        test, fit = (maps_of(finder, dataset, Watch()).boxed() for dataset in self.datasets)
        threshold = transferred(*fit.split(), PROTOCOL).threshold
        table = iou_table(*test.split(), PROTOCOL, extra=[threshold])
        return {"threshold": threshold, **_score(table.at(threshold))}


def _some(dataset: Dataset) -> Dataset:
    boxed = [sample for sample in dataset.samples if sample.boxes is not None and len(sample.boxes)]
    return replace(dataset, samples=boxed[:: max(1, -(-len(boxed) // FIT))])


def _scene(dataset: Dataset, size: int) -> Scene:
    found = Scene(torch.zeros(0), [], [])
    pictures = []
    for batch in stream(dataset, size, Watch()):
        for sample, original, picture in zip(batch.samples, batch.sizes, batch.pictures, strict=True):
            if sample.boxes is not None and len(sample.boxes):
                found.sizes.append(original)
                found.truths.append(sample.boxes)
                pictures.append(torch.from_numpy(picture))
    return found._replace(images=torch.stack(pictures))


def _maps(localizer: GanLocalizer, scene: Scene) -> list[Heat]:
    device = next(localizer.parameters()).device
    images = scene.images.to(device).permute(0, 3, 1, 2).float() / 255
    return list(in_chunks(localizer.heatmap, images).cpu().numpy())


def _score(ious: Float32[np.ndarray, "image"]) -> Score:
    """Accuracy in percent at IoU 0.3, 0.5, 0.7, and which images are hit at 0.5, a digit each."""
    accuracy = {f"{delta:g}": 100 * float(hits(ious, delta).mean()) for delta in DELTAS}
    return {"accuracy": accuracy, "hits": "".join("01"[hit] for hit in hits(ious, 0.5).astype(int))}
