"""Otsu's threshold of a heat map: where it falls into two sides, without any box."""

import numpy as np

from boxless.boxes.from_heatmap import Heatmap, Normalisation, normalise


def otsu(heat: Heatmap, normalisation: Normalisation = "minmax") -> float:
    """Otsu's threshold (1979) of one map: where the variance between the two sides of 256 bins is largest.

    0.5 for a constant map. Among equally good thresholds, the middle one.
    """
    values = normalise(heat, normalisation)
    counts = np.histogram(values, bins=256, range=(0.0, 1.0))[0].astype(np.float64)
    centres = (np.arange(256) + 0.5) / 256
    below, total = np.cumsum(counts), counts.sum()
    weighted = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (weighted[-1] * below / total - weighted) ** 2 / (below * (total - below))
    between = np.where(np.isfinite(between), between, 0.0)
    if between.max() <= 0:
        return 0.5
    (best,) = np.nonzero(between >= between.max() * (1 - 1e-12))
    return float((best[(best.size - 1) // 2] + 1) / 256)
