"""Every method that learns from labels under one protocol: the same data, budget, thresholds and controls for all.

Each method trains for the same epochs with the same optimizer and batches on the same backbone; a method that reads
differently what another one learns (its class says `trained_as`) is read from those weights. Thresholds come from the
boxes of the training images, and the oracle's stand below. Every method is compared with CAM on the same images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from boxless.data.dataset import Dataset
from boxless.methods import METHODS
from boxless.reproduce.accuracy_table import accuracy_table
from boxless.reproduce.classifier_runs import Trial
from boxless.reproduce.classifier_tables import ClassifierTable
from boxless.reproduce.recipes import TableRecipe
from boxless.reproduce.trial_results import Outcomes
from boxless.runtime.errors import UsageError

AGAINST = "cam"


@dataclass(frozen=True, slots=True, kw_only=True)
class WsolTable(ClassifierTable):
    """The table of `methods` on `backbones` (default: the recipe's)."""

    name: str = "wsol-table"
    about: str = "every method under one protocol"
    methods: Sequence[str] = tuple(METHODS)
    backbones: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Raise UsageError for a method that boxless does not have."""
        if unknown := [method for method in self.methods if method not in METHODS]:
            raise UsageError(f"There is no method {unknown[0]!r}. Choose from: {', '.join(METHODS)}.")

    def trials(self, train: Dataset, recipe: TableRecipe, seeds: Sequence[int]) -> list[Trial]:
        """Every method on every backbone with every seed, CAM first."""
        return [
            Trial(method, method, made.options(method, train), replace(made.training, seed=seed))
            for seed in seeds
            for made in map(recipe.on, self.backbones or [recipe.training.backbone])
            for method in sorted(self.methods, key=lambda method: method != AGAINST)
        ]

    def body(self, trials: Sequence[Trial], outcomes: Outcomes) -> Iterable[str]:
        """A table for every backbone."""
        for backbone in dict.fromkeys(trial.training.backbone for trial in trials):
            here = [trial for trial in trials if trial.training.backbone == backbone]
            own = outcomes.of(here)
            if own.measured or own.refused:
                variants = list(dict.fromkeys(trial.variant for trial in here))
                yield f"## {backbone}\n\n{accuracy_table(variants, own, against=AGAINST)}"
