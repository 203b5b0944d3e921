"""The record of a run's label-free criteria, criteria.csv, and the choice that follows from it."""

from dataclasses import asdict, fields
from pathlib import Path

from boxless.gan.localizer import GanLocalizer
from boxless.gan.monitor import Table
from boxless.gan.stopping import PATIENCE, Judge, Scores, select


class Selection:
    """What has been measured of a run so far, and which of its checkpoints is the choice."""

    def __init__(self, path: Path, judge: Judge, step: int) -> None:
        self.judge = judge
        self.table = Table(path, [field.name for field in fields(Scores)], step)
        self.scores = [Scores(int(row.pop("step")), **row) for row in map(dict, self.table.rows)]

    def add(self, localizer: GanLocalizer, step: int, similarity: float) -> bool:
        """Measure the checkpoint of `step`, whose images have that MS-SSIM; whether it is now the choice."""
        self.scores.append(self.judge.score(localizer, step, similarity))
        self.table.append(asdict(self.scores[-1]))
        return self.chosen() == step

    def chosen(self) -> int:
        """The step that is the choice so far."""
        return select(self.scores, self.judge.untrained)

    def judged(self, step: int) -> bool:
        """Whether the checkpoint of `step` has been measured."""
        return bool(self.scores) and self.scores[-1].step == step

    def finished(self) -> bool:
        """Whether the choice has stood for so long that going on is not expected to change it."""
        return sum(scores.step > self.chosen() for scores in self.scores) >= PATIENCE if self.scores else False
