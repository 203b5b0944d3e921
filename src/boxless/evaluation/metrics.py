"""One table iou[image, threshold]; every metric is a short reduction of it.

A hit is an IoU that reaches delta; accuracies are percentages of images, or the mean of the class percentages. Errors
are 100 - accuracy (`error`). Intervals and comparisons of these numbers: `bootstrap.py`.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Num, UInt8

from boxless.boxes.from_heatmap import Heatmap
from boxless.data.dataset import Boxes
from boxless.evaluation.protocols import DELTAS, Protocol, Size, Thresholds
from boxless.runtime.progress import track

Ious = Float32[np.ndarray, "image"]
Hits = Bool[np.ndarray, "image"]
Labels = Int[np.ndarray, "image"]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class IouTable:
    """IoU of every image's box with its truth at every threshold of a protocol."""

    ious: Float32[np.ndarray, "image threshold"]
    thresholds: Thresholds
    protocol: Protocol
    labels: Labels | None = None
    """Classes, over which a protocol may take the mean."""
    covered: Float64[np.ndarray, "threshold"] | None = None
    """Share of the images that the largest components' boxes cover, on average; None where it was not asked for."""

    def at(self, threshold: float) -> Ious:
        """The column of a threshold that the table holds; raises KeyError for another."""
        (columns,) = np.nonzero(self.thresholds == threshold)
        if not columns.size:
            raise KeyError(threshold)
        return np.asarray(self.ious[:, columns[0]])


def each_image(work: Callable[[int], Found], images: int, threads: int | None = None) -> list[Found]:
    """`work(i)` for every image, in order, on `threads` threads (one per processor); kernels release Python's lock."""
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        return list(track(pool.map(work, range(images)), "measuring", images))


def iou_table(
    maps: Sequence[Heatmap],
    sizes: Sequence[Size],
    truths: Sequence[Boxes],
    protocol: Protocol,
    *,
    extra: Sequence[float] = (),
    labels: Labels | None = None,
    threads: int | None = None,
    covered: bool = False,
) -> IouTable:
    """Raw maps -> iou[image, threshold] under `protocol`, at its own thresholds and the `extra` ones.

    With `covered` also what share of the images the boxes cover.
    """
    thresholds = np.unique(np.concatenate([protocol.thresholds, np.asarray(extra, np.float64)]))
    if covered:
        both = each_image(
            lambda i: protocol.ious_and_covered(maps[i], sizes[i], truths[i], thresholds), len(truths), threads
        )
        shares = sum((share for _, share in both), np.zeros(thresholds.size)) / len(both)
        return IouTable(np.stack([row for row, _ in both]), thresholds, protocol, labels, shares)
    rows = each_image(lambda i: protocol.ious(maps[i], sizes[i], truths[i], thresholds), len(truths), threads)
    ious = np.stack(rows) if rows else np.zeros((0, thresholds.size), np.float32)
    return IouTable(ious, thresholds, protocol, labels)


def ious_at(
    threshold: float, maps: Sequence[Heatmap], sizes: Sequence[Size], truths: Sequence[Boxes], protocol: Protocol
) -> Ious:
    """The column of one threshold, without the rest of the table."""
    alone = np.array([threshold])
    found = each_image(lambda i: protocol.ious(maps[i], sizes[i], truths[i], alone)[0], len(truths))
    return np.array(found, np.float32)


def hits(ious: Float32[np.ndarray, "*any"], delta: float = 0.5, strictly: bool = False) -> Bool[np.ndarray, "*any"]:
    """Whether each IoU reaches `delta`, or exceeds it with `strictly`; compared in float32, as the table is kept."""
    return np.asarray(ious > np.float32(delta) if strictly else ious >= np.float32(delta))


def accuracy(
    hit: Bool[np.ndarray, "image *more"] | Float64[np.ndarray, "image *more"], labels: Labels | None = None
) -> Float64[np.ndarray, "*more"]:
    """Percentage of hits over images, or with `labels` the mean of the class percentages; nan without images."""
    if not len(hit):
        return np.full(hit.shape[1:], np.nan)
    if labels is None:
        return np.asarray(100.0 * hit.mean(axis=0))
    return np.asarray(np.mean([100.0 * hit[labels == label].mean(axis=0) for label in np.unique(labels)], axis=0))


def curve(table: IouTable, delta: float = 0.5) -> Float64[np.ndarray, "threshold"]:
    """Box accuracy in percent at every threshold; over classes where the protocol says so and they are known."""
    over = table.labels if table.protocol.mean_over == "classes" else None
    return accuracy(hits(table.ious, delta, table.protocol.strictly), over)


def max_box_accuracy(table: IouTable, delta: float = 0.5) -> tuple[float, float]:
    """MaxBoxAcc (Choe et al., CVPR 2020): the best of the curve and its threshold, which is one for all images."""
    accuracies = curve(table, delta)
    best = int(np.argmax(accuracies))
    return float(accuracies[best]), float(table.thresholds[best])


def max_box_accuracy_v2(table: IouTable) -> float:
    """MaxBoxAccV2 (Choe et al., TPAMI 2022): from a table of all contours, the mean of the bests at three IoUs."""
    return float(np.mean([max_box_accuracy(table, delta)[0] for delta in DELTAS]))


def in_top(predictions: Int[np.ndarray, "image k"], labels: Labels, k: int) -> Hits:
    """Whether the true class is among the first `k` predicted."""
    return np.asarray((predictions[:, :k] == labels[:, None]).any(axis=1))


def score_histograms(
    warm: Float64[np.ndarray, "h w"], mask: UInt8[np.ndarray, "h w"], thresholds: Thresholds
) -> Int[np.ndarray, "2 bin"]:
    """Scores of object (mask 1) and background pixels (mask 0) in bins [t_i, t_i+1), [last, 1), [1, 2), [2, 3]."""
    edges = np.concatenate([thresholds, [1.0, 2.0, 3.0]])
    return np.stack([np.histogram(warm[mask == kind], bins=edges)[0] for kind in (1, 0)])


def pxap(histograms: Num[np.ndarray, "2 bin"]) -> float:
    """PxAP (Choe et al., CVPR 2020): area under precision over recall of all pixels; nan without object pixels."""
    true, false = (np.cumsum(histogram[::-1]).astype(np.float64) for histogram in histograms)
    if true[-1] == 0:
        return float("nan")
    with np.errstate(invalid="ignore"):
        precision, recall = true / (true + false), true / true[-1]
    return float(100.0 * np.nansum(precision[1:] * np.diff(recall)))
