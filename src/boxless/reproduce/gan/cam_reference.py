"""The reference of the GAN paper's Table 3: CAM of a pre-activation ResNet-34 that was trained with class labels.

It sees what the GANs do not, the other categories as negatives with their labels, and is therefore an upper limit in
the paper. One classifier of all classes of the data serves all groups; each group is scored on the maps of the true
classes, at thresholds from boxes of its own training images, as the GANs are. The paper tells neither the network's
stem nor its stride; its maps of 8 x 8 at 64 pixels are four times as fine as D's, which must be kept in mind.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from boxless.data.dataset import Dataset, data_hash
from boxless.data.published_datasets import GROUPS
from boxless.evaluation.evaluate import compute_heatmaps
from boxless.gan.settings import GanTraining
from boxless.inference.localizer import Localizer, fresh, load
from boxless.inference.predictors import InferenceOptions, TrainedPredictor
from boxless.methods.settings import Training, plain
from boxless.reproduce.classifier_runs import Experiment, Trial
from boxless.reproduce.gan.run import UNTRAINED, GanTrial
from boxless.reproduce.gan.scoring import Scoring, category_splits, score_maps, some_boxed
from boxless.reproduce.grid import Result, TimeBudget
from boxless.runtime.devices import device_named
from boxless.runtime.errors import BoxlessError
from boxless.runtime.progress import Progress

CAM = "cam"
"""As it stands among the GANs of the table."""
ITERATIONS = 100_000 / 250_000
"""Steps of the classifier for an iteration of the GANs, in the paper."""


def schedule(settings: GanTraining, images: int, seed: int) -> Training:
    """The paper's: SGD with momentum .9, lr .1 divided by 10 at each quarter, weight decay 1e-4, batch 256.

    As many steps for the GANs' iterations as in the paper. Here momentum is Nesterov's, biases learn twice as fast, and
    augmentation is shifts by 5 % and mirroring without changes of colour: those of the one loop for classifiers.
    """
    batch = min(256, images)
    epochs = max(1, round(settings.iterations * ITERATIONS * batch / images))
    return Training(
        backbone="preresnet34",
        weights="none",
        epochs=epochs,
        batch_size=batch,
        size=settings.size,
        resize=round(1.1 * settings.size),
        lr=0.1,
        decay=tuple(sorted({round(epochs * quarter / 4) for quarter in (1, 2, 3)} - {0, epochs})),
        weight_decay=1e-4,
        head_factor=1.0,
        seed=seed,
        device=str(device_named(settings.device)),
    )


def run_reference(trial: GanTrial, data: Path, settings: GanTraining, runs: Path, budget: TimeBudget) -> Result | None:
    """The scores of one group as those of a GAN that has one stage, None out of time.

    The classifier is trained in a run folder that all groups share, going on where it stopped. Raises UsageError
    without boxes of both splits, BoxlessError for a group that the data does not hold.
    """
    experiment = Experiment([data], runs)
    names = _classes(experiment.test, trial.group)
    training = schedule(settings, len(experiment.train), trial.seed)
    run = f"{CAM}_{trial.seed}"
    if experiment.learn(Trial(CAM, CAM, {"head": "linear"}, training), runs / run, budget) is None:
        return None
    how = InferenceOptions(64, training.workers, device_named(settings.device))
    localizer = load(runs / run)
    test, fit = _of(experiment.test, names), some_boxed(_of(experiment.train, names))

    def scores(network: Localizer) -> Result:
        predictor = TrainedPredictor(network.to(how.device), how)
        return score_maps(
            *(compute_heatmaps(predictor, part, Progress()).boxed().split() for part in (test, fit)), seed=trial.seed
        )

    step = training.epochs * (len(experiment.train) // training.batch_size)
    scoring = Scoring(*category_splits(data, trial.group), size=settings.size, device=how.device, seed=trial.seed)
    fresh_scores = [scores(fresh(localizer, trial.seed + i))["maps"] for i in range(UNTRAINED)]
    return {
        "stages": [{"step": step, "readings": {"cam": scores(localizer)}}],
        "label_free": step,
        "controls": {"untrained": {"cam": fresh_scores}, **scoring.constants()},
        "images": len(test),
        "data": {"name": data.name, "hash": data_hash(test), "fit_hash": data_hash(fit)},
        "training": plain(training),
    }


def _classes(dataset: Dataset, group: str) -> list[str]:
    names = [group] if group in dataset.classes else list(GROUPS.get(group, group.split(",")))
    if missing := sorted({*names} - {*dataset.classes}):
        raise BoxlessError(
            f"The data has no class {', '.join(missing)} of {group}. It has: {', '.join(dataset.classes)}."
        )
    return names


def _of(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """The boxed samples of these classes, whose labels stay those of the classifier."""
    labels = {dataset.classes.index(name) for name in names}
    kept = [s for s in dataset.samples if s.label in labels and s.boxes is not None and len(s.boxes)]
    return replace(dataset, samples=kept)
