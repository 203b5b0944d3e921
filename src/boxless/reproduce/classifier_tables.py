"""A table or figure of classifiers, and the one way to make any of them: run what is left, and write its page."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boxless.data.dataset import Dataset, data_hash
from boxless.methods.settings import Training, plain
from boxless.report.drawing import Picture, save_picture
from boxless.reproduce.classifier_runs import Experiment, Trial, TrialMaps
from boxless.reproduce.grid import Result, TimeBudget, run_grid, stored
from boxless.reproduce.recipes import RECIPES, TableRecipe
from boxless.reproduce.trial_results import Outcomes, TrialResult

FREE = {"seed", "backbone", "stride", "freeze", "workers", "memory", "save_minutes", "device"}
"""Settings that do not make two tables different: a trial's own, and where and how fast it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierTable(ABC):
    """What is trained, how results become a page, and what each trial keeps for it."""

    name: str
    about: str
    ten_crops: bool = False
    """Classes are predicted from ten crops of each test image."""
    unboxed: bool = False
    """Training images may have no boxes, and each method then keeps its own threshold."""
    extra: frozenset[str] = frozenset()
    """What its trials keep beside what those of every table do; a result of another table may lack it."""

    @abstractmethod
    def trials(self, train: Dataset, recipe: TableRecipe, seeds: Sequence[int]) -> list[Trial]:
        """In the order in which they are run: seed by seed, so that whole seeds are there when time is over."""

    @abstractmethod
    def body(self, trials: Sequence[Trial], outcomes: Outcomes) -> Iterable[str]:
        """The parts of the page below its summary."""

    def extra_results(self, trial: Trial, maps: TrialMaps) -> Mapping[str, Any]:
        """What this table alone keeps of a trial's maps."""
        return {}

    def picture(self, test: Dataset, results: Sequence[TrialResult]) -> Picture | None:
        """The figure of all trials."""
        return None

    def page(self, trials: Sequence[Trial], outcomes: Outcomes) -> str:
        """Markdown: what was run and how, then the body."""
        head = summary(trials, outcomes) if trials else "No trial fits.\n"
        return "\n".join([f"# {self.name}: {self.about}\n", head, *self.body(trials, outcomes)]).rstrip("\n") + "\n"


def reproduce(
    table: ClassifierTable,
    data: Sequence[Path],
    out: Path,
    budget: TimeBudget,
    *,
    seeds: Sequence[int],
    recipe: str = "quick",
    images_per_class: int | None = None,
    begun: Callable[[Trial], None] = lambda trial: None,
    **changed: Any,
) -> str:
    """Run what is left of a table -> its page, also written to `out`/NAME.md, and the picture of a figure to NAME.png.

    A json for every trial is left in `out`/cells, which tables may share. `changed` are settings of training other than
    the recipe's. Raises UsageError for data without the splits and boxes that the table needs, and for an `out` made
    with other data or settings.
    """
    made = RECIPES[recipe].with_training(**changed)
    experiment = Experiment(
        data,
        out / "runs",
        images_per_class=images_per_class,
        ten_crops=table.ten_crops,
        unboxed=table.unboxed,
        extra_results=table.extra_results,
    )
    trials = table.trials(experiment.train, made, seeds)
    hashes = {"data": data_hash(experiment.test), "fit": data_hash(experiment.fit)}
    folder, settings = out / "cells", {**hashes, "training": deciding(made.training)}

    def run(trial: Trial, budget: TimeBudget) -> Result | None:
        begun(trial)
        others = [other for other in trials if other != trial and other.learnt.name == trial.learnt.name]
        keep = any(not (folder / f"{other.name}.json").exists() for other in others)
        result, path = experiment.run(trial, budget, keep=keep), folder / f"{trial.name}.json"
        before = stored(path)["result"] if path.exists() else {}
        return result and {**before, **result}  # with what another table keeps

    def complete(result: Result) -> bool:
        return not {"refused", "failed"}.isdisjoint(result) or table.extra <= result.keys()

    def page(results: Mapping[str, Result]) -> str:
        outcomes = Outcomes.from_json(results)
        if trials and len(outcomes.measured) == len(trials):
            picture = table.picture(experiment.test, [outcomes.measured[trial.name] for trial in trials])
            if picture is not None:
                save_picture(out / f"{table.name}.png", picture)
        return table.page(trials, outcomes)

    return run_grid(trials, run, folder, settings, budget, page, out / f"{table.name}.md", complete=complete)


def deciding(settings: Training) -> dict[str, Any]:
    """What makes two tables different."""
    return {name: value for name, value in plain(settings).items() if name not in FREE}


def summary(trials: Sequence[Trial], outcomes: Outcomes) -> str:
    """How many trials were run, how, in which time, and which ones failed."""
    settings, measured = trials[0].training, outcomes.measured
    ways = dict.fromkeys(_way(trial.training) for trial in trials)
    lines = [
        f"{len(measured)} of {len(trials)} trials run: {'; '.join(ways)}; {settings.epochs} epochs of batches of "
        f"{settings.batch_size}, learning rate {settings.lr:g}, the head's {settings.head_factor:g} times that."
    ]
    lines += [f"Failed: {trial}: {reason}" for trial, reason in outcomes.failed.items()]
    if measured:
        seconds = [result.cpu_seconds for result in measured.values()]
        lines.append(f"Processor seconds per trial: median {np.median(seconds):.0f}, most {max(seconds):.0f}.")
    return "\n".join([*lines, ""])


def _way(settings: Training) -> str:
    frozen = f"frozen up to {settings.freeze}" if settings.freeze else "nothing frozen"
    stride = "its own stride" if settings.stride is None else f"stride {settings.stride}"
    return f"{settings.backbone} at {stride}, {frozen}, {settings.size} pixels"
