"""One trial of the GAN tables: train one GAN on one category, and measure it along the way beside what learnt nothing.

Training goes in stages. After each, the live D's maps are measured on images that it was not trained on, in every
reading, at a threshold transferred from boxes of training images and at the paper's fixed one. Last, label-free choice
and peak are then three ways to pick one of the stages. The stages measured so far are kept in the run folder.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from boxless.data.dataset import data_hash
from boxless.gan import Preset
from boxless.gan.checkpoint_selection import CheckpointCriteria, CriteriaScores, select_checkpoint
from boxless.gan.data import Images, read_images
from boxless.gan.localizer import GanLocalizer
from boxless.gan.networks import Discriminator
from boxless.gan.sample_metrics import Distance, Lite0Features, kid
from boxless.gan.samples import generator_of, samples, similarity
from boxless.gan.settings import GanTraining, Reading
from boxless.gan.training import train_gan
from boxless.reproduce.gan.scoring import Scoring, category_splits
from boxless.reproduce.grid import Result, TimeBudget
from boxless.runtime import checkpoint
from boxless.runtime.devices import device_named
from boxless.runtime.errors import UsageError
from boxless.runtime.files import write_json
from boxless.runtime.progress import Report

READINGS: tuple[Reading, ...] = tuple(reading for reading in get_args(Reading) if reading != "position")
"""Those that a run is measured in along the way: a head for `position` would have to be trained at every stage."""
STAGES = 10
"""Checkpoints of a run that are measured, evenly spaced."""
UNTRAINED = 3
"""Networks that were never trained, for that control; they differ between seeds."""
SCORES = tuple(field.name for field in fields(CriteriaScores))
"""The criteria that the label-free choice reads; a stage has more."""
COMPARED = 512
"""Real and generated images at most that the distance between the two is measured on."""
PRESETS: dict[Preset, str] = {"paper": "the paper's optimizer", "reference": "each GAN as its own authors trained it"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GanTrial:
    """Which GAN, on which category, with or without augmentation, from which seed."""

    gan: str
    group: str
    augment: bool
    seed: int

    @property
    def name(self) -> str:
        """As it stands in file names."""
        return f"{self.gan}_{self.group}_{'augmented' if self.augment else 'plain'}_{self.seed}"

    @classmethod
    def named(cls, name: str) -> "GanTrial":
        """The trial of a file name; raises UsageError for a name that no trial has."""
        gan, _, rest = name.partition("_")
        parts = rest.rsplit("_", 2)
        if len(parts) != 3 or parts[1] not in ("augmented", "plain") or not parts[2].isdecimal():
            raise UsageError(
                f"{name!r} is no trial of a GAN table. Expected GAN_GROUP_plain_SEED or GAN_GROUP_augmented_SEED."
            )
        return cls(gan=gan, group=parts[0], augment=parts[1] == "augmented", seed=int(parts[2]))


def run_trial(
    trial: GanTrial, data: Path, settings: GanTraining, run: Path, budget: TimeBudget, progress: Report | None
) -> Result | None:
    """Train and measure one trial in the run folder `run`, going on where it stopped -> its result, None out of time.

    Raises what `train_gan` raises, UsageError for a run begun with other iterations, BoxlessError without boxes.
    """
    test, train = category_splits(data, trial.group)
    settings = replace(settings, augment=trial.augment, seed=trial.seed)
    device = device_named(settings.device)
    scoring = Scoring(test, train, size=settings.size, device=device, seed=settings.seed)
    measuring = _Measuring(read_images(train, settings.size, settings.workers).to(device), scoring, run)
    stages = measured_stages(run)
    planned = steps(settings.iterations)
    if [stage["step"] for stage in stages] != planned[: len(stages)]:
        raise UsageError(f"{run} was begun with another number of iterations. Use that, or choose another --out.")
    left = planned[len(stages) :]
    if left and (run / "last.pt").exists() and checkpoint.read(run / "last.pt")["step"] > left[0]:
        raise UsageError(
            f"{run} is past iteration {left[0]:,}, at which the table measures, as a figure trained it. Run the table "
            "first, or choose another --out."
        )
    for step in left:
        if budget.over:
            return None
        upto = replace(settings, iterations=step)
        content = train_further(trial.gan, measuring.train, upto, run, budget, progress)
        if content is None:
            return None
        stages.append(measuring.stage(content, stages))
        write_json(run / "stages.json", {"stages": stages})
    last = checkpoint.read(run / "last.pt")
    return {
        "stages": stages,
        "label_free": measuring.chosen(last, stages),
        "untrained_criteria": asdict(measuring.judge(last).untrained),
        "controls": measuring.controls(last),
        "images": len(scoring.asked.truths),
        "data": {"name": data.name, "hash": data_hash(test), "fit_hash": data_hash(train)},
        "training": settings.resolved(trial.gan),
    }


def train_further(
    gan: str, images: Images, settings: GanTraining, run: Path, budget: TimeBudget, progress: Report | None
) -> dict[str, Any] | None:
    """Train to the end of `settings`, going on where the run folder stopped -> its last.pt, None out of time."""
    last = run / "last.pt"
    train_gan(gan, images, replace(settings, minutes=budget.left), run, resume=last.exists(), progress=progress)
    content = checkpoint.read(last)
    return content if content["step"] >= settings.iterations else None


def measured_stages(run: Path) -> list[Result]:
    """The stages of a run that are measured, as its folder keeps them."""
    path = run / "stages.json"
    return json.loads(path.read_text(encoding="utf-8"))["stages"] if path.exists() else []


def steps(iterations: int) -> list[int]:
    """The iterations after which a run is measured; the last one is the last of the run."""
    return sorted({-(-iterations * stage // STAGES) for stage in range(1, STAGES + 1)})


def trained_d(content: dict[str, Any]) -> Discriminator:
    """The live D of a last.pt."""
    network = Discriminator(**content["options"]["discriminator"])
    network.load_state_dict(content["trainer"]["discriminator"])
    return network


class _Measuring:
    """Everything of one trial that is measured on the same images."""

    def __init__(self, train: Images, scoring: Scoring, run: Path) -> None:
        self.train, self.scoring, self.run = train, scoring, run
        self.device, self.seed = scoring.device, scoring.seed
        self._judge: CheckpointCriteria | None = None
        self._features: Lite0Features | None = None

    def localizer(self, content: dict[str, Any], reading: Reading) -> GanLocalizer:
        """The D of a last.pt under one reading."""
        return GanLocalizer(trained_d(content), reading=reading).to(self.device).prepare(self.train)

    def stage(self, content: dict[str, Any], before: Sequence[Result]) -> Result:
        """The D of a last.pt after the stages `before`: the label-free criteria, and the scores of every reading."""
        readings = {reading: self.scoring.score(self.localizer(content, reading).heatmap) for reading in READINGS}
        judge, step = self.judge(content), content["step"]
        if before and not len(judge.before):  # another process measured those
            judge.before = checkpoint.read(maps_file(self.run, before[-1]["step"]))["maps"].to(self.device)
        drawn = generator_of(content)
        criteria = asdict(judge.score(self.localizer(content, "cam"), step, similarity(*drawn)))
        criteria["fidelity"] = -self.distance(samples(*drawn, COMPARED)).mean
        checkpoint.save(maps_file(self.run, step), {"maps": judge.before.cpu()})
        return {"step": step, "criteria": criteria, "readings": readings}

    def distance(self, generated: Images) -> Distance:
        """KID of generated images from the same training images every time."""
        self._features = self._features or Lite0Features().to(self.device)
        return kid(self.train[:: -(-len(self.train) // COMPARED)], generated.to(self.device), self._features)

    def judge(self, content: dict[str, Any]) -> CheckpointCriteria:
        """What measures the label-free criteria, made once: it looks at untrained networks first."""
        if self._judge is None:
            self._judge = CheckpointCriteria(self.train, self.localizer(content, "cam"), self.seed)
        return self._judge

    def chosen(self, last: dict[str, Any], stages: Sequence[Result]) -> int:
        """The step of the stage that the label-free criteria choose."""
        rows = [{name: stage["criteria"][name] for name in SCORES} for stage in stages]
        return select_checkpoint([CriteriaScores(**row) for row in rows], self.judge(last).untrained)

    def controls(self, last: dict[str, Any]) -> Result:
        """Untrained Ds in every reading, constant boxes, and border contrast: what no learning scores."""
        fresh = {reading: self._untrained(self.localizer(last, reading)) for reading in READINGS}
        return {"untrained": fresh, **self.scoring.constants()}

    def _untrained(self, like: GanLocalizer) -> list[Result]:
        fresh = (GanLocalizer.untrained(like, self.train, self.seed + i) for i in range(UNTRAINED))
        return [self.scoring.score(localizer.heatmap)["maps"] for localizer in fresh]


def trained_at(training: Mapping[str, Any]) -> str:
    """What the runs of a table share beside their length, in words for its page."""
    return f"at width {training['width']:g}, {training['size']} pixels, {PRESETS[training['preset']]}"


def maps_file(run: Path, step: int) -> Path:
    """Where a run keeps the maps that the criteria of a stage were measured on."""
    return run / f"maps_{step}.pt"
