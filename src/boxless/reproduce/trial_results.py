"""What the trials of a table of classifiers measured: the one place that reads their json."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from boxless.evaluation.protocols import DELTAS
from boxless.methods.settings import training
from boxless.reproduce.classifier_runs import Trial

PerImage = Float64[np.ndarray, "image"]
"""100 or 0 for each image."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trained and measured trial."""

    trial: Trial
    data: str
    image_set: str
    """A hash of the names of the test images."""
    threshold: float
    """The headline's, and in words where it comes from."""
    origin: str
    hits: Mapping[str, Float64[np.ndarray, "image delta"]]
    """100 or 0 for each image and IoU, at the headline's threshold and at the oracle's."""
    top_1: PerImage
    """Whether the class is right."""
    top_5: PerImage
    v2: float
    """MaxBoxAccV2 in percent."""
    controls: Mapping[str, list[float]]
    """Accuracy in percent at each IoU."""
    cpu_seconds: float
    epoch_seconds: list[float]
    step_bytes: int | None
    extra: Mapping[str, Any]
    """The whole json, for what only one table's trials hold."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "TrialResult":
        """What `Experiment.run` returned, and json kept; raises UsageError for settings that no training has."""
        measured = content["measurement"]
        headline = measured["rows"][0]
        settings = training(content["training"], "the results of a trial")
        return cls(
            trial=Trial(content["variant"], content["method"], content["options"], settings),
            data=content["data"]["name"],
            image_set=content["images"],
            threshold=headline["threshold"][0],
            origin=headline["origin"],
            hits={
                origin: np.stack([percent(digits) for digits in hits.values()], axis=1)
                for origin, hits in content["hits"].items()
            },
            top_1=percent(content["known"]),
            top_5=percent(content["known_5"]),
            v2=content["v2"],
            controls={
                name: [row["accuracy"][f"{delta:g}"] for delta in DELTAS] for name, row in measured["controls"].items()
            },
            cpu_seconds=sum(content["cpu_seconds"].values()),
            epoch_seconds=content["epoch_seconds"],
            step_bytes=content["step_bytes"],
            extra=content,
        )

    @property
    def about(self) -> str:
        """The data and the threshold, in words for a page."""
        return f"{len(self.top_1)} test images of {self.data}; {self.origin}."

    @property
    def top_1_loc(self) -> PerImage:
        """Top-1 Loc: box right at IoU 0.5 and class right."""
        return np.asarray(np.minimum(self.hits["headline"][:, 1], self.top_1))

    def errors(self, origin: str) -> tuple[float, ...]:
        """Errors in percent at the thresholds of that origin: Top-1 and Top-5 Loc, GT-known, Top-1 and Top-5 class."""
        hit = self.hits[origin][:, 1]
        right = (np.minimum(hit, self.top_1), np.minimum(hit, self.top_5), hit, self.top_1, self.top_5)
        return tuple(100 - float(values.mean()) for values in right)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How the trials of a table ended, by their names."""

    measured: Mapping[str, TrialResult]
    refused: Mapping[str, tuple[str, str]]
    """Variant, and why its method cannot be combined with its options and backbone."""
    failed: Mapping[str, str]

    @classmethod
    def from_json(cls, results: Mapping[str, Mapping[str, Any]]) -> "Outcomes":
        """The results of a grid of trials."""
        return cls(
            {name: TrialResult.from_json(result) for name, result in results.items() if "hits" in result},
            {name: (result["variant"], result["refused"]) for name, result in results.items() if "refused" in result},
            {name: result["failed"] for name, result in results.items() if "failed" in result},
        )

    def of(self, trials: Iterable[Trial]) -> "Outcomes":
        """Those of some trials alone."""
        names = {trial.name for trial in trials}
        parts: Any = (self.measured, self.refused, self.failed)
        return Outcomes(*({name: one for name, one in part.items() if name in names} for part in parts))


def percent(digits: str) -> PerImage:
    """A digit for each image, 1 or 0, as 100 or 0."""
    return 100.0 * (np.frombuffer(digits.encode(), np.uint8) - ord("0")).astype(np.float64)
