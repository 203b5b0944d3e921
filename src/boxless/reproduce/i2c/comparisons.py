"""I2C's Tables 1 and 2: the published errors of every method on its backbone, and beside them those of boxless.

Each method is trained as the paper trains (recipe `paper`) on data in ILSVRC's or CUB's own layout, or any other with
two splits. Errors at the threshold that no test box chose stand beside the oracle's, which is what was published.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from boxless.backbones import BACKBONES
from boxless.data.dataset import Dataset
from boxless.methods import METHODS
from boxless.reproduce.classifier_runs import Experiment, Trial
from boxless.reproduce.grid import TimeBudget
from boxless.reproduce.i2c import published
from boxless.reproduce.recipes import RECIPES, Recipe
from boxless.reproduce.tables import Results, finished, markdown_row, percent, run_table, summary

HEAD = ("method", "backbone", "", "seeds", "Top-1 Loc", "Top-5 Loc", "GT-known", "Top-1 class", "Top-5 class")
PUBLISHED, OURS, ORACLE = "published", "boxless", "boxless, thresholds from the test boxes"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One of the two tables."""

    about: str
    rows: tuple[published.Row, ...]
    ten_crops: bool


COMPARISONS = {
    "i2c-table-1": Comparison("errors on ILSVRC validation images", published.TABLE_1, ten_crops=True),
    "i2c-table-2": Comparison("errors on CUB-200-2011 test images", published.TABLE_2, ten_crops=False),
}


def reproduce(
    name: str,
    data: Sequence[Path],
    out: Path,
    clock: TimeBudget,
    *,
    seeds: Sequence[int] = (0,),
    recipe: str = "paper",
    images_per_class: int | None = None,
    begun: Callable[[Trial], None] = lambda cell: None,
    **changed: Any,
) -> str:
    """Run what is left of a table of `COMPARISONS` -> its page, also written to `out`.

    Training images need no boxes (ILSVRC's are read without): thresholds are then each method's own. A setting
    `backbone` among the `changed` ones leaves out all rows of other backbones. Raises UsageError as `run_table` does.
    """
    table, only = COMPARISONS[name], changed.pop("backbone", None)
    made = RECIPES[recipe].with_training(**changed)
    study = Experiment(data, out / "runs", images_per_class=images_per_class, ten_crops=table.ten_crops, unboxed=True)
    grid = cells(name, study.train, made, seeds, only)

    def told(done: Results) -> str:
        return page(name, grid, done)

    return run_table(study, grid, made.training, out, name, clock, told, begun)


def cells(name: str, train: Dataset, recipe: Recipe, seeds: Sequence[int], only: str | None = None) -> list[Trial]:
    """A cell for each row whose method and backbone boxless has, seed by seed, the last row (I2C's) first."""
    there = [row for row in COMPARISONS[name].rows[::-1] if row.method in METHODS and row.backbone in BACKBONES]
    return [
        Trial(row.method, row.method, made.options(row.method, train), replace(made.training, seed=seed))
        for seed in seeds
        for row in there
        if only in (None, row.backbone)
        for made in [recipe.on(row.backbone)]
    ]


def page(name: str, grid: Sequence[Trial], found: Results) -> str:
    """Markdown: a published line and two of ours for each row."""
    table, whole = COMPARISONS[name], finished(found)
    lines = [f"# {name}: {table.about}\n", summary(grid, found) if grid else "No cell fits.\n"]
    lines += [f"Refused: {cell}: {result['refused']}" for cell, result in found.items() if "refused" in result]
    lines += ["", markdown_row(HEAD), "|---|---|---|" + "---:|" * (len(HEAD) - 3)]
    for row in table.rows:
        printed = ["-" if error is None else f"{error:.2f}" for error in row.errors]
        lines.append(markdown_row((row.method, row.backbone, PUBLISHED, "", *printed)))
        mine = [r for r in whole.values() if (r["method"], r["training"]["backbone"]) == (row.method, row.backbone)]
        if mine:
            lines += [markdown_row(("", "", *rest)) for rest in _ours(mine)]
        else:
            lines.append(markdown_row(("", "", OURS, "", _absent(row), *[""] * 4)))
    if whole:
        first = next(iter(whole.values()))
        told = first["measurement"]
        lines.append(f"\n{told['images']} test images of {first['data']['name']}; {told['rows'][0]['origin']}.")
        controls = [f"{control} {100 - row['accuracy']['0.5']:.2f}" for control, row in told["controls"].items()]
        lines.append(f"GT-known errors of the controls of {first['variant']}: {', '.join(controls)}.")
    return "\n".join([*lines, ""])


def errors(cell: Mapping[str, Any], origin: str) -> tuple[float, ...]:
    """The five errors in percent of one cell at the thresholds of that origin."""
    hit = percent(cell["hits"][origin]["0.5"])
    first, among = percent(cell["known"]), percent(cell["known_5"])
    right = (np.minimum(hit, first), np.minimum(hit, among), hit, first, among)
    return tuple(100 - float(values.mean()) for values in right)


def _ours(cells: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (title, str(len(cells)), *(f"{value:.2f}" for value in np.mean([errors(c, origin) for c in cells], axis=0)))
        for title, origin in ((OURS, "headline"), (ORACLE, "oracle"))
    ]


def _absent(row: published.Row) -> str:
    lacks = [name for name, there in ((row.method, METHODS), (row.backbone, BACKBONES)) if name not in there]
    return f"boxless has no {lacks[0]}" if lacks else "not run"
