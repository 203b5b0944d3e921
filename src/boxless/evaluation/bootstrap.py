"""How sure a number is: bootstrap intervals over images, and paired comparisons on the same images.

An image has one of few values (a hit, or the mean of three hits), so a resample only has to draw how often each
distinct value occurs: one multinomial instead of an index per image, with the same distribution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import lgamma
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int, Num, Shaped

DRAWS = 5_000
FLIPS = 1024
"""Of signs, where there are too many to count them all."""
SPREAD = 0.01
"""Added to a standard deviation, in the values' own unit: on a few images one of many has hardly any by chance."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A minus B on the same images: difference of the means, its 95 % interval, and a p-value."""

    difference: float
    low: float
    high: float
    p: float

    def to_dict(self) -> dict[str, float]:
        """Plain values for json."""
        return {"difference": self.difference, "low": self.low, "high": self.high, "p": self.p}


def interval(
    values: Shaped[np.ndarray, "image"],
    strata: Int[np.ndarray, "image"] | None = None,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over images, of 95 % (Efron and Tibshirani 1993, chapter 13).

    With `strata` (class labels) it is that of the mean of the class means, each class resampled by itself; nan without
    images.
    """
    if not len(values):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    groups = [values] if strata is None else [values[strata == stratum] for stratum in np.unique(strata)]
    means = np.mean([_resampled_means(group.astype(np.float64), rng, draws) for group in groups], axis=0)
    low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def compare(
    a: Num[np.ndarray, "image"], b: Num[np.ndarray, "image"], *, seed: int = 0, draws: int = DRAWS
) -> Comparison:
    """Paired comparison of two methods' values on the same images, in the values' own unit.

    The p-value is two-sided, of the sign-flip test (each image's difference is as likely with the other sign, Fisher
    1935); for differences of one size, as for hits, all flips are counted, which is McNemar's exact test (1947).
    """
    difference = a.astype(np.float64) - b.astype(np.float64)
    low, high = interval(difference, seed=seed, draws=draws)
    return Comparison(float(difference.mean()), low, high, _sign_flip_p(difference, np.random.default_rng(seed), draws))


def holm(p: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which of several p-values stand below `level` when all of them are asked at once (Holm 1979), in their order."""
    order = sorted(range(len(p)), key=lambda place: p[place])
    sure = takewhile(lambda one: p[one[1]] * (len(p) - one[0]) < level, enumerate(order))
    rejected = {place for _, place in sure}
    return [place in rejected for place in range(len(p))]


def surely_above_zero(
    differences: Float[np.ndarray, "image candidate"], *, seed: int = 0
) -> Float64[np.ndarray, "candidate"]:
    """P-value of each candidate's mean difference being above zero, corrected for all candidates that were tried.

    The largest of the candidates' t statistics, when the sign of every image's differences is flipped at random and for
    all candidates at once (max T, Westfall and Young 1993, section 2.6): however many candidates there are, and however
    alike, the share of families without a difference in which any p is 0.05 or less is at most 5 %. All flips up to 10
    images, else `FLIPS` of them.
    """
    count, rng = len(differences), np.random.default_rng(seed)
    if count <= 10:
        signs = 1.0 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
    else:
        signs = np.concatenate([np.ones((1, count)), rng.choice([-1.0, 1.0], (FLIPS - 1, count))])
    means = signs @ differences.astype(np.float64) / count  # (flip, candidate); the first flip is none
    spread = np.sqrt(np.maximum((differences**2).mean(axis=0) - means**2, 0)) + SPREAD
    largest = (means / spread).max(axis=1)
    observed = means[0] / spread[0]
    return np.asarray((largest[:, None] >= observed - 1e-9).mean(axis=0))


def _resampled_means(values: Float[np.ndarray, "image"], rng: np.random.Generator, draws: int) -> Any:
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size <= 64:
        return rng.multinomial(values.size, counts / values.size, draws) @ distinct / values.size
    return np.array([rng.choice(values, values.size).mean() for _ in range(draws)])


def _sign_flip_p(difference: Float64[np.ndarray, "image"], rng: np.random.Generator, draws: int) -> float:
    sizes, counts = np.unique(np.round(np.abs(difference[difference != 0]), 9), return_counts=True)
    if not sizes.size:
        return 1.0
    if sizes.size == 1:
        return _two_sided_binomial(int((difference > 0).sum()), int(counts[0]))
    flipped = (2 * rng.binomial(counts, 0.5, (draws, sizes.size)) - counts) @ sizes
    reached = int((np.abs(flipped) >= abs(difference.sum()) - 1e-6).sum())
    return (reached + 1) / (draws + 1)  # the observed signs are one of the flips


def _two_sided_binomial(wins: int, n: int) -> float:
    """P of a split at least as uneven as `wins` of `n` fair coins."""
    k = np.arange(min(wins, n - wins) + 1)
    logs = np.array([lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) for i in k]) - n * np.log(2)
    return min(1.0, 2.0 * float(np.exp(logs).sum()))
