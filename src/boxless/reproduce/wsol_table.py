"""Every method that learns from labels under one protocol: the same data, budget, thresholds and controls for all.

Each method trains for the same epochs with the same optimizer and batches on the same backbone; a method that reads
differently what another one learns (its class says `trained_as`) is read from those weights. Thresholds come from the
boxes of the training images, and the oracle's stand below. Every method is compared with CAM on the same images.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boxless.data.dataset import Dataset
from boxless.methods import METHODS
from boxless.reproduce.classifier_runs import Experiment, Trial
from boxless.reproduce.grid import TimeBudget
from boxless.reproduce.recipes import RECIPES, Recipe
from boxless.reproduce.tables import Results, finished, results_table, run_table, summary
from boxless.runtime.errors import UsageError

NAME, AGAINST = "wsol-table", "cam"


def reproduce(
    data: Sequence[Path],
    out: Path,
    clock: TimeBudget,
    *,
    methods: Sequence[str] = (),
    backbones: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    recipe: str = "quick",
    images_per_class: int | None = None,
    begun: Callable[[Trial], None] = lambda cell: None,
    **changed: Any,
) -> str:
    """Run what is left of the table of `methods` (default: all) on `backbones` -> its page, also written to `out`.

    `changed` are settings of training other than the recipe's. Raises UsageError for unknown names, for data without
    boxes in both splits, and for an `out` made with other data or settings.
    """
    if unknown := [method for method in methods if method not in METHODS]:
        raise UsageError(f"There is no method {unknown[0]!r}. Choose from: {', '.join(METHODS)}.")
    made = RECIPES[recipe].with_training(**changed)
    chosen = [made.on(backbone) for backbone in backbones or [made.training.backbone]]
    study = Experiment(data, out / "runs", images_per_class=images_per_class)
    grid = cells(study.train, chosen, list(methods) or list(METHODS), seeds)

    def told(done: Results) -> str:
        return page(grid, done)

    return run_table(study, grid, made.training, out, NAME, clock, told, begun)


def cells(train: Dataset, recipes: Sequence[Recipe], methods: Sequence[str], seeds: Sequence[int]) -> list[Trial]:
    """Seed by seed, so that whole seeds are there when time is over; CAM first in each."""
    ordered = sorted(methods, key=lambda method: method != AGAINST)
    return [
        Trial(method, method, recipe.options(method, train), replace(recipe.training, seed=seed))
        for seed in seeds
        for recipe in recipes
        for method in ordered
    ]


def page(grid: Sequence[Trial], found: Results) -> str:
    """Markdown: a table for every backbone."""
    lines = [f"# {NAME}: every method under one protocol\n", summary(grid, found)]
    for backbone in dict.fromkeys(cell.training.backbone for cell in grid):
        here = [cell for cell in grid if cell.training.backbone == backbone]
        own = {cell.name: found[cell.name] for cell in here if cell.name in found}
        if finished(own) or any("refused" in result for result in own.values()):
            variants = list(dict.fromkeys(cell.variant for cell in here))
            lines.append(f"## {backbone}\n\n{results_table(variants, own, against=AGAINST)}")
    return "\n".join(lines)
