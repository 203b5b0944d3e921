"""What a finished run of a GAN measured: the one place that reads its json. A score is whether each image is hit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from boxless.reproduce.gan.run import GanTrial
from boxless.reproduce.grid import Result

ImageHits = Float64[np.ndarray, "image"]
"""1 for each image whose box reaches IoU 0.5, else 0; or the mean over runs."""
MapKind = Literal["maps", "shuffled"]


@dataclass(frozen=True, slots=True)
class GanRun:
    """A trial of a gan-table-3, or the attribution methods applied to its last state."""

    trial: GanTrial
    content: Result

    @property
    def images(self) -> int:
        """How many images were scored."""
        return int(self.content["images"])

    @property
    def steps(self) -> list[int]:
        """The iteration of each measured stage."""
        return [stage["step"] for stage in self.content["stages"]]

    @property
    def readings(self) -> list[str]:
        """How the maps of the last stage were read."""
        return list(self.content["stages"][-1]["readings"])

    @property
    def chosen(self) -> int:
        """The stage that the label-free criteria chose."""
        return self.steps.index(self.content["label_free"])

    def stages(self, reading: str, threshold: str, kind: MapKind = "maps") -> list[ImageHits]:
        """The score of each stage, of its maps or of shuffled ones."""
        return [_hits(stage["readings"][reading][kind][threshold]) for stage in self.content["stages"]]

    def peak(self, reading: str, threshold: str) -> ImageHits:
        """The best of the stages, chosen with the test boxes, as the paper reports it."""
        return max(self.stages(reading, threshold), key=lambda hits: float(hits.mean()))

    def untrained(self, reading: str, threshold: str) -> list[ImageHits]:
        """Networks that were never trained."""
        return [_hits(scores[threshold]) for scores in self.content["controls"]["untrained"][reading]]

    @property
    def controls(self) -> list[str]:
        """The names of what needs no D: a score each, border contrast first."""
        return ["no learning", "centred box", "whole image", *(n for n in self.content["controls"] if "pixels" in n)]

    def control(self, name: str) -> ImageHits:
        """What no learning scores on the images of the run."""
        return _hits(self.content["controls"][name])

    def criterion(self, name: str) -> Float64[np.ndarray, "stage"]:
        """What a label-free criterion says of each stage; nan where it was not measured."""
        return np.array([stage["criteria"].get(name, np.nan) for stage in self.content["stages"]], float)

    @property
    def attribution_methods(self) -> list[str]:
        """The ways to read the last state that were measured."""
        return list(self.content["readouts"])

    def attribution(self, method: str, kind: Literal["maps", "shuffled", "untrained"]) -> list[ImageHits]:
        """The scores of the last state read by one of them, of the same maps shuffled, or of untrained networks."""
        scores = self.content["readouts"][method][kind]
        return [_hits(one["transferred"]) for one in (scores if kind == "untrained" else [scores])]


def runs_in(trials: Sequence[GanTrial], results: Mapping[str, Result], key: str = "stages") -> dict[GanTrial, GanRun]:
    """The trials that hold what `key` names, in their order; others failed or are not finished."""
    return {trial: GanRun(trial, results[trial.name]) for trial in trials if key in results.get(trial.name, {})}


def over_groups(runs: Iterable[GanRun], pick: Callable[[GanRun], Iterable[ImageHits]]) -> ImageHits:
    """The mean of the picked scores image by image in every group, one group after the other."""
    groups: dict[str, list[ImageHits]] = {}
    for run in runs:
        groups.setdefault(run.trial.group, []).extend(pick(run))
    return np.concatenate([np.mean(scores, axis=0) for scores in groups.values()])


def _hits(score: Mapping[str, Any]) -> ImageHits:
    return np.array([float(digit) for digit in score["hits"]])
