"""Where a threshold comes from: fixed, transferred from other images, label-free, or the test boxes (oracle).

A threshold is a fraction of the normalised map's range. Its origin travels with it in words, into every table.
"""

from collections.abc import Sequence

import numpy as np

from boxless.boxes.from_heatmap import Heatmap, Normalisation, Readout
from boxless.boxes.otsu import otsu
from boxless.data.dataset import Boxes
from boxless.evaluation.metrics import IouTable, curve, each_image, iou_table, max_box_accuracy
from boxless.evaluation.protocols import DELTAS, PROTOCOLS, Protocol, Size


def best_threshold(table: IouTable) -> float:
    """The threshold with the best mean over IoU 0.3, 0.5 and 0.7; among equals, the middle one."""
    accuracies = np.mean([curve(table, delta) for delta in DELTAS], axis=0)
    (best,) = np.nonzero(accuracies == accuracies.max())
    return float(table.thresholds[best[(best.size - 1) // 2]])


def transferred(
    maps: Sequence[Heatmap], sizes: Sequence[Size], truths: Sequence[Boxes], protocol: Protocol = PROTOCOLS["boxless"]
) -> Readout:
    """The threshold that is best on these images (mean over IoU 0.3, 0.5, 0.7), for use on others."""
    table = iou_table(maps, sizes, truths, protocol)
    origin = f"transferred from {len(truths)} other images"
    return Readout(best_threshold(table), origin, protocol.normalisation)


def oracle(table: IouTable) -> tuple[float, ...]:
    """The best threshold at each IoU on the very images it is scored on: an upper bound, never to stand alone."""
    return tuple(max_box_accuracy(table, delta)[1] for delta in DELTAS)


def label_free(maps: Sequence[Heatmap], normalisation: Normalisation = "minmax") -> Readout:
    """One threshold for all images without any box: the median of the maps' Otsu thresholds."""
    each = each_image(lambda i: otsu(maps[i], normalisation), len(maps))
    return Readout(float(np.median(each)), f"label-free: median of Otsu's over {len(maps)} maps", normalisation)


def area_matched(table: IouTable, share: float = 0.5) -> Readout:
    """One threshold for all images without any box: the one whose boxes cover `share` of the image on average.

    `table` is one that was made with `covered`.
    """
    protocol, own = table.protocol, np.isin(table.thresholds, table.protocol.thresholds)
    if table.covered is None:
        raise ValueError("a table without what its boxes cover")
    nearest = np.argmin(np.abs(table.covered[own] - share))
    origin = f"label-free: boxes cover {share:.0%} of the image on average"
    return Readout(float(protocol.thresholds[nearest]), origin, protocol.normalisation)
