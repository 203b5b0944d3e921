"""Small trials for the tests of tables: settings of seconds, made photographs, and minutes that end early."""

from pathlib import Path
from typing import Any

from boxless.data.synthetic import make_scenes
from boxless.reproduce.classifier_runs import Trial
from boxless.reproduce.grid import TimeBudget
from boxless.reproduce.recipes import RECIPES, TableRecipe

SMALL: dict[str, Any] = {
    "backbone": "tiny", "stride": 4, "weights": "none", "freeze": "", "size": 32, "resize": 32, "batch_size": 8,
    "epochs": 3, "lr": 0.05, "head_factor": 1.0, "device": "cpu", "workers": 1,
}  # fmt: skip


def small_data(out: Path) -> Path:
    """Twenty images to train on and twelve to test, of two classes."""
    make_scenes(out / "two-kinds", 32, kinds=("star", "leaf"), size=32, test=0.375)
    return out / "two-kinds"


def small_recipe() -> TableRecipe:
    """The quick one with the small settings."""
    return RECIPES["quick"].with_training(**SMALL)


class Looks(TimeBudget):
    """Minutes that are over after some looks at them."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @property
    def over(self) -> bool:
        """Whether all looks were taken."""
        self.looks -= 1
        return self.looks < 0


def never(trial: Trial) -> None:
    """For tables that are finished: nothing may begin."""
    raise AssertionError(trial.name)
