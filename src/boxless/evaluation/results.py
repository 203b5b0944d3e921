"""A result as data: the numbers with all that is needed to judge and repeat them; and the page that shows it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from boxless.boxes.from_heatmap import Detections, boxes_at
from boxless.data.dataset import Dataset, data_hash
from boxless.data.images import read_shrunk
from boxless.evaluation.detection import METRICS, DetectionMeasurement
from boxless.evaluation.evaluate import HeatmapSet
from boxless.evaluation.measurement import Measurement
from boxless.inference.choice_charts import choice_charts
from boxless.inference.predictors import Predictor, TrainedPredictor
from boxless.inference.summary import CHOICES
from boxless.inference.tiles import TiledPredictor
from boxless.report.html import (
    THUMBNAIL,
    Accuracy,
    Bars,
    Card,
    Charts,
    Curve,
    ScoreTable,
    TableRow,
    make_card,
    write_report,
)
from boxless.runtime.errors import BoxlessError, number_of
from boxless.runtime.files import atomic_path, write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance

FAR = 8
"""Counting errors beyond which a plot tells them together."""


def evaluation_result(
    measured: Measurement, predictor: Predictor, test: Dataset, fit: Dataset | None, progress: Progress, *, seed: int
) -> dict[str, Any]:
    """The measurement of one predictor on one split, with its provenance."""
    return {
        "method": predictor.name,
        "data": {
            "name": test.source.root.name,
            "split": test.split,
            "classes": test.classes,
            "hash": data_hash(test),
            "fit_split": fit.split if fit else None,
            "fit_hash": data_hash(fit) if fit else None,
            "broken": progress.broken,
        },
        "readout": predictor.readout.to_dict(),
        "network": _network(predictor),
        "seed": seed,
        **provenance(),
        "measurement": measured.to_dict(),
    }


def _network(predictor: Predictor) -> dict[str, Any]:
    """What a checkpoint says of its network and of how far it was trained; nothing for a method without training."""
    whole = predictor.whole if isinstance(predictor, TiledPredictor) else predictor
    content = whole.localizer.content if isinstance(whole, TrainedPredictor) else {}
    return {key: content[key] for key in ("backbone", "options", "settings", "step", "boxes") if key in content}


def write_maps(path: Path, maps: HeatmapSet) -> None:
    """Write raw heat maps as one .npz under their images' names; raises BoxlessError when it cannot be written."""
    named = {sample.name: heat for sample, heat in zip(maps.samples, maps.heats, strict=True)}
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **named)
    except OSError as error:
        raise BoxlessError(f"Could not write {path}: {error}. Free space or choose another file.") from error


def write_evaluation(
    out: Path, content: dict[str, Any], measured: Measurement, maps: HeatmapSet, test: Dataset, predictor: Predictor
) -> None:
    """Write result.json and report.html into the folder `out`."""
    write_json(out / "result.json", content)
    notes = content.get("notes", {})
    write_report(
        out / "report.html",
        title=f"{predictor.name} on {test.source.root.name}",
        summary=[
            *in_words(measured, predictor.name),
            f"Threshold {predictor.readout.threshold:g}: {predictor.readout.origin}.",
            *([f"With {measured.detections.what}: {measured.detections.in_words()}"] if measured.detections else []),
            *chosen(notes),
        ],
        tables=[
            measurement_table(measured, predictor.name),
            *([detection_table(measured.detections, predictor.name)] if measured.detections else []),
        ],
        charts=replace(charts(measured), choices=choice_charts(notes)[:CHOICES]),
        cards=cards(measured, maps, test, predictor),
        images=len(measured.indices),
    )


def chosen(notes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a method without labels chose for each category, and how it looked at it again, a sentence each."""
    kinds = ("choice", "size", "closer")
    said = [(category, one[what]) for category, one in list(notes.items())[:CHOICES] for what in kinds]
    return [f"{category}: {words}." for category, words in said if words]


def in_words(measured: Measurement, name: str) -> list[str]:
    """The headline, and whether it beats the best control, in one sentence each."""
    row, best = measured.rows[0], max(measured.controls, key=lambda row: np.mean(measured.accuracies(row)))
    accuracies, (low, high), lift = measured.accuracies(row), measured.interval(row), measured.lift(best)
    points = f"{abs(lift.difference):.1f} points (95 % interval of the difference {lift.low:+.1f} to {lift.high:+.1f})"
    if lift.low > 0:
        verdict = f"{name} is above it by {points}"
    elif lift.high < 0:
        verdict = f"{name} is below it by {points} and finds less than no method at all"
    else:
        verdict = f"{name} differs from it by {points}, which may be chance: it has not shown that it finds anything"
    images = number_of(len(measured.indices), "image")
    return [
        f"{name} boxes {accuracies[1]:.1f} % of {images} with an IoU of at least 0.5. The mean over "
        f"IoU 0.3, 0.5 and 0.7 is {np.mean(accuracies):.1f} % (95 % interval {low:.1f} to {high:.1f}).",
        f"The best control, {best.name}, has a mean of {np.mean(measured.accuracies(best)):.1f} %. {verdict}.",
    ]


def measurement_table(measured: Measurement, name: str) -> ScoreTable:
    """The rows of a measurement as a table of the report."""
    rows = []
    for row in measured.rows:
        accuracies, (low, high) = measured.accuracies(row), measured.interval(row)
        at = "/".join(f"{threshold:.2f}" for threshold in row.threshold)
        scores = [*(Accuracy(value) for value in accuracies), Accuracy(float(np.mean(accuracies)), low, high)]
        rows.append(
            TableRow(
                row.name.replace("heat maps", name) if row.kind != "control" else row.name,
                scores,
                control=row.kind == "control",
                note=", ".join(part for part in (at, row.origin) if part),
            )
        )
    images = number_of(len(measured.indices), "image")
    return ScoreTable(
        f"Localization accuracy in percent, protocol {measured.protocol.name}, {images}",
        ["IoU 0.3", "IoU 0.5", "IoU 0.7", "mean"],
        rows,
        "Brackets: 95 % bootstrap interval of the mean over images.",
    )


def detection_table(measured: DetectionMeasurement, name: str) -> ScoreTable:
    """The rows of several objects per image as a table of the report."""
    rows = []
    for row in measured.rows:
        intervals = row.to_dict()["intervals"]
        scores = [Accuracy(float(value), *intervals[key]) for key, value in zip(METRICS, row.values, strict=True)]
        title = name if row.kind != "control" else row.name
        rows.append(TableRow(title, scores, control=row.kind == "control", note=row.note))
    images = number_of(len(measured.rows[0].counting), "image")
    caption = f"{measured.what.capitalize()}, as COCO scores it, in percent, {images}"
    return ScoreTable(
        caption, METRICS, rows, "Brackets: 95 % bootstrap intervals over images. All classes count as one."
    )


def detection_bars(measured: DetectionMeasurement) -> list[Bars]:
    """Counting error and reliability of the scores, as the report draws them."""
    off = np.clip(measured.rows[0].counting, -FAR, FAR)
    counts = [(k, int((off == k).sum())) for k in range(-FAR, FAR + 1)]
    named = [(f"{k:+d}" if k else "0", count, f"{number_of(count, 'image')} with {k:+d}") for k, count in counts]
    tenths = [
        (f"{one['high']:.2f}", one["precision"], f"{one['boxes']} boxes of {one['low']:.2f} to {one['high']:.2f}")
        for one in measured.reliability
    ]
    counting = Bars(
        "Images by counting error", f"found minus true; {FAR} and more at the ends", named, max(n for _, n in counts)
    )
    return [counting, Bars("Precision at IoU 0.5 by tenth of the score", "highest score of the tenth", tenths, 100)][
        : 1 + bool(tenths)
    ]


def charts(measured: Measurement) -> Charts:
    """Threshold curve, IoU histogram and error types of a measurement."""
    content = measured.to_dict()
    counts, _ = np.histogram(content["ious"], bins=20, range=(0, 1))
    threshold = measured.rows[0].threshold
    return Charts(
        Curve(content["thresholds"], content["curves"], threshold[0] if len(threshold) == 1 else None),
        counts.tolist(),
        content["anatomy"],
        bars=detection_bars(measured.detections) if measured.detections else [],
    )


def cards(measured: Measurement, maps: HeatmapSet, test: Dataset, predictor: Predictor) -> Iterator[Card]:
    """A card for every measured image, boxed at the headline's threshold for IoU 0.5."""
    threshold = measured.rows[0].threshold
    readout = replace(predictor.readout, threshold=threshold[len(threshold) // 2])
    for place, index in enumerate(measured.indices):
        sample, size, heat = maps.samples[index], maps.sizes[index], maps.heats[index]
        boxes, scores = boxes_at(readout, heat, size)
        label = maps.classes[sample.label] if sample.label is not None and maps.classes else "object"
        yield make_card(
            Detections(sample.name, size, boxes, scores, label),
            read_shrunk(test.source.read(sample.name), sample.name, THUMBNAIL)[0],
            heat,
            truth=sample.boxes,
            iou=float(measured.error_types.ious[place]),
            outcome=measured.error_types.kind(place),
            normalisation=readout.normalisation,
        )
