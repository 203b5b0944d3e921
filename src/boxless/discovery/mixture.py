"""Two kinds of thing in one folder: where the mean descriptors of its images fall apart in two.

Two-means on a half of the images, measured on the other half: along the line between the two centres, Ashman's D
(Ashman, Bird and Zepf, AJ 1994) of those that fall to one centre and those that fall to the other. On the half that it
was fitted to, two-means would part any cloud of a hundred dimensions.
"""

import numpy as np
from jaxtyping import Bool, Float32

FEWEST = 24
"""Images below which nothing is said."""
APART = 5.5
"""D above which a folder is said to hold two kinds."""
SPLITS, STARTS, ROUNDS, SMALLEST = 4, 8, 20, 3

Means = Float32[np.ndarray, "image d"]
Centre = Float32[np.ndarray, "d"]


def apartness(means: Means, seed: int = 0) -> float:
    """D of two kinds, averaged over halves taken at random; 0 for too few images, and for images all alike."""
    if len(means) < FEWEST:
        return 0.0
    rng, found = np.random.default_rng(seed), []
    for _ in range(SPLITS):
        order = rng.permutation(len(means))
        halves = order[: len(means) // 2], order[len(means) // 2 :]
        found += [_held_out(means[one], means[other], rng) for one, other in (halves, halves[::-1])]
    return float(np.mean(found))


def words(means: Means) -> str:
    """That a category looks like two, in a sentence without its full stop; empty where it does not."""
    apart = apartness(means)
    if apart < APART:
        return ""
    return (
        f"its images look like two kinds of thing ({apart:.1f} spreads apart, limit {APART}); one folder for each kind "
        "may find more"
    )


def _held_out(fitted: Means, other: Means, rng: np.random.Generator) -> float:
    centres = _two_means(fitted, rng)
    if centres is None:
        return 0.0
    along = (other - (centres[0] + centres[1]) / 2) @ (centres[0] - centres[1])
    first = along > 0
    if min(first.sum(), (~first).sum()) < SMALLEST:
        return 0.0
    spread = along[first].var() + along[~first].var()
    return float(np.sqrt(2) * (along[first].mean() - along[~first].mean()) / np.sqrt(max(spread, 1e-12)))


def _two_means(points: Means, rng: np.random.Generator) -> tuple[Centre, Centre] | None:
    """The centres of the best of several two-means, one of them begun along the first principal direction."""
    off = points - points.mean(0)
    longest = np.linalg.svd(off, full_matrices=False)[2][0]
    begun = [off @ longest > 0]
    for _ in range(STARTS):
        one, two = rng.choice(len(points), 2, replace=False)
        begun.append(_nearer(points, points[one], points[two]))
    found = [sides for first in begun if (sides := _settled(points, first)) is not None]
    if not found:
        return None
    first = min(found, key=lambda side: _within(points[side]) + _within(points[~side]))
    return points[first].mean(0), points[~first].mean(0)


def _settled(points: Means, first: Bool[np.ndarray, "image"]) -> Bool[np.ndarray, "image"] | None:
    """The two sides that two-means ends with, None where one of them is empty."""
    for _ in range(ROUNDS):
        if first.all() or not first.any():
            return None
        before, first = first, _nearer(points, points[first].mean(0), points[~first].mean(0))
        if (before == first).all():
            break
    return None if first.all() or not first.any() else first


def _within(points: Means) -> float:
    return float(((points - points.mean(0)) ** 2).sum())


def _nearer(points: Means, one: Centre, two: Centre) -> Bool[np.ndarray, "image"]:
    return np.asarray(((points - one) ** 2).sum(1) < ((points - two) ** 2).sum(1))
