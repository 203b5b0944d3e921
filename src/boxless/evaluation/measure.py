"""A measurement: the maps' accuracy under one protocol, beside the controls, with intervals and thresholds' origins.

`measure` composes the modules around it: IoU table, thresholds, baselines, bootstrap and error types. A best threshold
chosen with the test boxes (oracle) always stands beside one that was not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8

from boxless.boxes.from_heatmap import Heatmap, Readout
from boxless.boxes.suppression import Found
from boxless.data.dataset import Boxes
from boxless.evaluation import baselines, metrics, thresholds
from boxless.evaluation.detection import measure_detections
from boxless.evaluation.error_types import classify_errors
from boxless.evaluation.measurement import Measurement, Row
from boxless.evaluation.metrics import IouTable, Labels
from boxless.evaluation.protocols import DELTAS, PROTOCOLS, Protocol, Size
from boxless.runtime.errors import BoxlessError

Headline = Literal["own", "transferred"]
"""Whose threshold the first row has, and with it the controls."""


class Split(NamedTuple):
    """Maps of other images (training images) with their sizes and boxes, on which thresholds and boxes are fitted."""

    maps: Sequence[Heatmap]
    sizes: Sequence[Size]
    truths: Sequence[Boxes]


def measure(
    maps: Sequence[Heatmap],
    sizes: Sequence[Size],
    truths: Sequence[Boxes | None],
    *,
    readout: Readout | None = None,
    fit: Split | None = None,
    untrained: Sequence[Heatmap] | None = None,
    pictures: Sequence[UInt8[np.ndarray, "_h _w 3"]] | None = None,
    fit_pictures: Sequence[UInt8[np.ndarray, "_h _w 3"]] | None = None,
    labels: Sequence[int] | None = None,
    predictions: Int[np.ndarray, "image k"] | None = None,
    classes: Sequence[str] = (),
    names: Sequence[str] = (),
    several: Mapping[str, Any] | None = None,
    tiles: Sequence[int] | None = None,
    found: Sequence[Found] | None = None,
    crowds: Sequence[Boxes | None] | None = None,
    headline: Headline = "own",
    protocol: Protocol = PROTOCOLS["boxless"],
    seed: int = 0,
) -> Measurement:
    """Raw maps of images of `sizes` with half-open `truths` -> the measurement under `protocol`.

    The headline is at the threshold the protocol fixes, else of `readout` (its `own`), else transferred from `fit`,
    else label-free; a `transferred` headline comes before both. `wsoleval-*` and `psol` keep their own, the oracle,
    with the fair ones below it. `pictures` and `fit_pictures` are small RGB pictures of the maps' images and of those
    in `fit`, for the saliency control. With `several`, under protocol `boxless`, the boxes are scored as detections,
    too; it, `tiles`, `found` and `crowds` are as for `measure_detections`. Images without boxes are counted and left
    out. Raises BoxlessError for lists of different lengths, no boxes at all and maps with nan or inf.
    """
    chosen = _measurable(maps, sizes, truths)
    keep = [int(i) for i in chosen]
    kept = Split(baselines.reordered(maps, chosen), [sizes[i] for i in keep], [_boxes(truths[i]) for i in keep])
    known = None if labels is None else np.asarray(labels)[chosen]
    if readout is not None and protocol.name == "boxless":
        protocol = replace(protocol, normalisation=readout.normalisation)
    ground = _Ground(kept, protocol, known)
    readouts = _readouts(ground, readout, fit, headline)
    table = ground.table(kept.maps, [r.threshold for r in readouts], covered=True)
    readouts.append(thresholds.area_matched(table))
    rows = [_row("heat maps", "maps", table, r.threshold, r.origin) for r in readouts]
    best = _oracle_row("heat maps", "oracle", table)
    rows = [best, *rows] if protocol.name != "boxless" and protocol.threshold is None else [*rows, best]
    rows += _constant_rows(ground, fit) + _map_rows(ground, rows[0], seed)
    if untrained is not None:
        rows.append(_like(rows[0], "untrained network", baselines.reordered(untrained, chosen), ground))
    if pictures is not None:
        maps_of_pictures = baselines.salient(baselines.reordered(pictures, chosen))
        rows.append(_saliency_row(rows[0], maps_of_pictures, ground, fit, fit_pictures))
    detections = None
    if several is not None and protocol.name == "boxless":
        first = readouts[0]
        detections = measure_detections(
            maps,
            sizes,
            truths,
            replace(first, saddle=readout.saddle, faint=readout.faint) if readout else first,
            several=several,
            tiles=tiles,
            found=found,
            crowds=crowds,
            share=baselines.fit_centred_box(fit.sizes, fit.truths) if fit else baselines.DEFAULT_SHARE,
            seed=seed,
        )
    return Measurement(
        protocol=protocol,
        rows=rows,
        table=table,
        error_types=classify_errors(ground.boxes(rows[0]), kept.truths, known),
        indices=chosen,
        skipped=len(truths) - len(keep),
        labels=known,
        predictions=None if predictions is None else predictions[chosen],
        classes=tuple(classes),
        names=tuple(names[i] for i in keep) if names else (),
        seed=seed,
        detections=detections,
    )


@dataclass(frozen=True, slots=True)
class _Ground:
    """The images that are measured, and how: the same for the maps and for every control."""

    kept: Split
    protocol: Protocol
    labels: Labels | None

    def table(self, maps: Sequence[Heatmap], extra: Sequence[float] = (), *, covered: bool = False) -> IouTable:
        _, sizes, truths = self.kept
        return metrics.iou_table(maps, sizes, truths, self.protocol, extra=extra, labels=self.labels, covered=covered)

    def control(self, name: str, maps: Sequence[Heatmap], threshold: float, origin: str) -> Row:
        """The row of other maps at one threshold."""
        _, sizes, truths = self.kept
        values = metrics.ious_at(threshold, maps, sizes, truths, self.protocol)
        return Row(name, "control", _hits(values, self.protocol), (threshold,), origin)

    def boxes(self, row: Row) -> Boxes:
        """The boxes in original pixels at a row's threshold, of several at the one for IoU 0.5."""
        at = np.array([row.threshold[len(row.threshold) // 2]])
        (maps, sizes, truths), protocol = self.kept, self.protocol
        found = metrics.each_image(lambda i: protocol.boxes(maps[i], sizes[i], at)[0], len(truths))
        return np.stack(found)


def _measurable(
    maps: Sequence[Heatmap], sizes: Sequence[Size], truths: Sequence[Boxes | None]
) -> Int[np.ndarray, "image"]:
    if not len(maps) == len(sizes) == len(truths):
        raise BoxlessError(
            f"{len(maps)} maps, {len(sizes)} sizes and {len(truths)} truths: expected one of each per image."
        )
    chosen = np.array([i for i, boxes in enumerate(truths) if boxes is not None and len(boxes)], np.intp)
    if not chosen.size:
        raise BoxlessError(f"None of the {len(truths)} images has a box; nothing can be measured. Give a boxes.csv.")
    for i in chosen:
        if not np.isfinite(maps[int(i)]).all():
            raise BoxlessError(f"The heat map of image {i + 1} of {len(maps)} has values that are not finite.")
    return chosen


def _boxes(truth: Boxes | None) -> Boxes:
    return np.zeros((0, 4), np.float32) if truth is None else truth


def _readouts(ground: _Ground, readout: Readout | None, fit: Split | None, headline: Headline) -> list[Readout]:
    """The thresholds that know nothing of these images' boxes, the headline's first; not yet the area's."""
    protocol, found = ground.protocol, list[Readout]()
    if protocol.threshold is not None:
        found.append(Readout(protocol.threshold, f"fixed by {protocol.name}", protocol.normalisation))
    if readout is not None and protocol.name == "boxless":
        found.append(readout)
    if fit is not None and len(fit.truths):
        at = len(found) if headline == "own" else 0
        found.insert(at, thresholds.transferred(*fit, protocol))
    return [*found, thresholds.label_free(ground.kept.maps, protocol.normalisation)]


def _row(name: str, kind: Any, table: IouTable, threshold: float, origin: str) -> Row:
    values = table.at(threshold)
    return Row(name, kind, _hits(values, table.protocol), (threshold,), origin)


def _hits(values: metrics.Ious, protocol: Protocol) -> Bool[np.ndarray, "image delta"]:
    return np.stack([metrics.hits(values, delta, protocol.strictly) for delta in DELTAS], axis=1)


def _oracle_row(name: str, kind: Any, table: IouTable) -> Row:
    best = thresholds.oracle(table)
    hits = [metrics.hits(table.at(t), d, table.protocol.strictly) for t, d in zip(best, DELTAS, strict=True)]
    return Row(name, kind, np.stack(hits, axis=1), best, "oracle: best for each IoU, chosen with the test boxes")


def _constant_rows(ground: _Ground, fit: Split | None) -> list[Row]:
    fitted = baselines.fit_centred_box(fit.sizes, fit.truths) if fit else baselines.DEFAULT_SHARE
    origin = f"{fitted[0]:g} x {fitted[1]:g} of the sides, " + ("fitted on other images" if fit else "not fitted")
    protocol, rows = ground.protocol, []
    for name, share, words in (("whole image", (1.0, 1.0), ""), ("centred box", fitted, origin)):
        values = [
            protocol.box_ious(protocol.detections_in(baselines.centred_box(size, share), size), size, truth)[0]
            for size, truth in zip(ground.kept.sizes, ground.kept.truths, strict=True)
        ]
        rows.append(Row(name, "control", _hits(np.array(values, np.float32), protocol), (), words))
    return rows


def _map_rows(ground: _Ground, headline: Row, seed: int) -> list[Row]:
    images = len(ground.kept.truths)
    if images < 2:
        return []
    other = baselines.reordered(ground.kept.maps, baselines.derangement(images, seed))
    return [_like(headline, "shuffled maps", other, ground)]


def _like(headline: Row, name: str, maps: Sequence[Heatmap], ground: _Ground) -> Row:
    """A control's maps read out as the headline's are: at its threshold, or each at its own oracle."""
    if headline.kind == "oracle":
        return _oracle_row(name, "control", ground.table(maps, headline.threshold))
    return ground.control(name, maps, headline.threshold[0], "as the heat maps")


def _saliency_row(
    headline: Row, maps: Sequence[Heatmap], ground: _Ground, fit: Split | None, fit_pictures: Sequence[Any] | None
) -> Row:
    """Saliency has a range of its own: beside a fair headline its threshold is transferred as well, or label-free."""
    if ground.protocol.normalisation == "none":  # which is for maps that lie in 0..1 as they are
        ground = replace(ground, protocol=replace(ground.protocol, normalisation="minmax"))
    protocol = ground.protocol
    if headline.kind == "oracle":
        return _like(headline, "saliency", maps, ground)
    if fit is not None and fit_pictures is not None:
        readout = thresholds.transferred(baselines.salient(fit_pictures), fit.sizes, fit.truths, protocol)
    else:
        readout = thresholds.label_free(maps, protocol.normalisation)
    return ground.control("saliency", maps, readout.threshold, readout.origin)
