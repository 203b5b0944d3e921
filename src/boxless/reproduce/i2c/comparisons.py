"""I2C's Tables 1 and 2: the published errors of every method on its backbone, and beside them those of boxless.

Each method is trained as the paper trains (recipe `paper`) on data in ILSVRC's or CUB's own layout, or any other with
two splits. Errors at the threshold that no test box chose stand beside the oracle's, which is what was published.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from boxless.backbones import BACKBONES
from boxless.data.dataset import Dataset
from boxless.methods import METHODS
from boxless.reproduce.classifier_runs import Trial
from boxless.reproduce.classifier_tables import ClassifierTable
from boxless.reproduce.i2c import published
from boxless.reproduce.markdown import markdown_table
from boxless.reproduce.recipes import TableRecipe
from boxless.reproduce.trial_results import Outcomes, TrialResult

COLUMNS = ("method", "backbone", "", "seeds", "Top-1 Loc", "Top-5 Loc", "GT-known", "Top-1 class", "Top-5 class")
PUBLISHED, OURS, ORACLE = "published", "boxless", "boxless, thresholds from the test boxes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTable(ClassifierTable):
    """One of the two tables; training images need no boxes, as those of ILSVRC are read without."""

    rows: tuple[published.PublishedRow, ...]
    unboxed: bool = True

    def trials(self, train: Dataset, recipe: TableRecipe, seeds: Sequence[int]) -> list[Trial]:
        """One for each row whose method and backbone boxless has, the last row (I2C's) first."""
        there = [row for row in self.rows[::-1] if row.method in METHODS and row.backbone in BACKBONES]
        return [
            Trial(row.method, row.method, made.options(row.method, train), replace(made.training, seed=seed))
            for seed in seeds
            for row in there
            for made in [recipe.on(row.backbone)]
        ]

    def body(self, trials: Sequence[Trial], outcomes: Outcomes) -> Iterable[str]:
        """A published line and two of ours for each row."""
        yield from (f"Refused: {trial}: {reason}" for trial, (_, reason) in outcomes.refused.items())
        results, rows = list(outcomes.measured.values()), []
        for row in self.rows:
            printed = ["-" if error is None else f"{error:.2f}" for error in row.errors]
            rows.append([row.method, row.backbone, PUBLISHED, "", *printed])
            mine = [r for r in results if (r.trial.method, r.trial.training.backbone) == (row.method, row.backbone)]
            rows += _ours(mine) if mine else [["", "", OURS, "", _absent(row), *[""] * 4]]
        yield from ["", *markdown_table(COLUMNS, rows, text=3)]
        if results:
            controls = (f"{control} {100 - half:.2f}" for control, (_, half, _) in results[0].controls.items())
            yield f"\n{results[0].about}"
            yield f"GT-known errors of the controls of {results[0].trial.variant}: {', '.join(controls)}."


TABLES: tuple[ClassifierTable, ...] = (
    ErrorTable(name="i2c-table-1", about="errors on ILSVRC validation images", rows=published.TABLE_1, ten_crops=True),
    ErrorTable(name="i2c-table-2", about="errors on CUB-200-2011 test images", rows=published.TABLE_2),
)


def _ours(results: Sequence[TrialResult]) -> list[list[str]]:
    rows = []
    for title, origin in ((OURS, "headline"), (ORACLE, "oracle")):
        errors = np.mean([result.errors(origin) for result in results], axis=0)
        rows.append(["", "", title, str(len(results)), *(f"{error:.2f}" for error in errors)])
    return rows


def _absent(row: published.PublishedRow) -> str:
    lacks = [name for name, there in ((row.method, METHODS), (row.backbone, BACKBONES)) if name not in there]
    return f"boxless has no {lacks[0]}" if lacks else "not run"
