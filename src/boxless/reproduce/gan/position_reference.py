"""A reference beside the GANs of Table 3 that has as little as they do: `position`, learnt from the images of a group.

It is no GAN and stands in no table of the paper. What it finds is what a GAN's discriminator would have to beat.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from boxless.data.dataset import data_hash
from boxless.discovery.position import train_run
from boxless.discovery.position_settings import STEPS, PositionTraining
from boxless.evaluation.evaluate import compute_heatmaps
from boxless.gan.data import read_images
from boxless.gan.settings import GanTraining
from boxless.inference.factory import trained, untrained
from boxless.inference.predictors import Predictor
from boxless.reproduce.gan.run import UNTRAINED, GanTrial
from boxless.reproduce.gan.scoring import Scoring, category_splits, score_maps
from boxless.reproduce.grid import Result, TimeBudget
from boxless.runtime.devices import device_named
from boxless.runtime.progress import Progress

POSITION = "position"
"""As it stands among the GANs of the table."""


def run_position(trial: GanTrial, data: Path, settings: GanTraining, run: Path, budget: TimeBudget) -> Result | None:
    """The scores of one group as those of a GAN that has one stage, None out of time.

    A run that lies in `run` already is measured as it is. Raises BoxlessError without boxes, and for images that have
    nothing to learn from.
    """
    if budget.over:
        return None
    test, train = category_splits(data, trial.group)
    training = PositionTraining(size=settings.size, steps=STEPS, seed=trial.seed, device=settings.device)
    if not (run / "best.pt").exists():
        train_run(read_images(train, training.size), training, run, category=train.classes[0])
    predictor = trained(run, device=settings.device)
    scoring = Scoring(test, train, size=training.size, device=device_named(settings.device), seed=trial.seed)

    def scores(of: Predictor | None) -> dict[str, Any]:
        assert of is not None, "position has an untrained control"
        asked, fit = (compute_heatmaps(of, part, Progress()).boxed().split() for part in scoring.datasets)
        return score_maps(asked, fit, seed=trial.seed)

    fresh = [untrained(predictor, scoring.datasets[1], seed=trial.seed + i) for i in range(UNTRAINED)]
    return {
        "stages": [{"step": training.steps, "readings": {POSITION: scores(predictor)}}],
        "label_free": training.steps,
        "controls": {"untrained": {POSITION: [scores(one)["maps"] for one in fresh]}, **scoring.constants()},
        "images": len(scoring.asked.truths),
        "data": {"name": data.name, "hash": data_hash(test), "fit_hash": data_hash(train)},
        "training": asdict(training),
    }
