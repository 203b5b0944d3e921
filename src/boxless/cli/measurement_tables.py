"""Measurements as tables on the terminal."""

import numpy as np
from rich.console import Console
from rich.table import Table

from boxless.evaluation.detection import METRICS, DetectionMeasurement
from boxless.evaluation.measurement import Measurement, Row
from boxless.evaluation.pixel_metrics import PixelMeasurement
from boxless.evaluation.score_files import Scores
from boxless.runtime.errors import number_of


def print_measurement(measurement: Measurement, console: Console) -> None:
    """Print a row for each: accuracy at IoU 0.3, 0.5, 0.7, mean, interval, lift over it, threshold and origin."""
    title = f"{measurement.protocol.name}: {number_of(len(measurement.indices), 'image')}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("", "IoU 0.3", "0.5", "0.7", "mean", "95 %", "lift of the first row", "threshold"):
        table.add_column(heading, justify="left" if heading in ("", "threshold") else "right", overflow="fold")
    for row in measurement.rows:
        table.add_row(*_cells(measurement, row), style="dim" if row.kind == "control" else None)
    console.print(table)
    for name, (value, low, high) in measurement.scores().items():
        console.print(f"{name} {value:.1f} ({low:.1f} to {high:.1f})", highlight=False)
    counts = ", ".join(f"{kind} {count}" for kind, count in measurement.error_types.totals().items())
    console.print(f"boxes of the first row: {counts}", highlight=False)
    if measurement.skipped:
        console.print(f"left out: {number_of(measurement.skipped, 'image')} without boxes", highlight=False)
    if measurement.detections is not None:
        print_detections(measurement.detections, console)


def print_detections(measurement: DetectionMeasurement, console: Console) -> None:
    """AP and AR of the maps' boxes and of each control, then how far the counting is off: all with 95 % intervals."""
    first = measurement.rows[0]
    title = f"{measurement.what}: {number_of(len(first.counting), 'image')}; {first.name}: {first.note}"
    scores = _table(title, *METRICS)
    # A table of its own: with both in one, a terminal of 80 columns has no room for the intervals.
    counts = _table(None, "lift in AP.5", "found - true", "off by")
    for row in measurement.rows:
        content, style = row.to_dict(), "dim" if row.kind == "control" else None
        intervals, error = content["intervals"], content["counting"]
        numbers = zip(row.values, (intervals[name] for name in METRICS), strict=True)
        scores.add_row(
            row.name, *("{:.1f} ({:.1f}-{:.1f})".format(value, *ends) for value, ends in numbers), style=style
        )
        lift = "{:+.1f} ({:+.1f} to {:+.1f})".format(*measurement.lift(row)) if row.kind == "control" else ""
        more = "{:+.1f} ({:+.1f} to {:+.1f})".format(error["mean"], *error["interval"])
        off = "{:.1f} ({:.1f}-{:.1f})".format(error["size"], *error["size_interval"])
        counts.add_row(row.name, lift, more, off, style=style)
    console.print(scores)
    console.print(counts)
    console.print(measurement.in_words(), highlight=False)


def _table(title: str | None, *headings: str) -> Table:
    """A table whose first column has names, and the others numbers."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("", *headings):  # a number too long for a narrow terminal goes on below, instead of ending in dots
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    return table


def _cells(measurement: Measurement, row: Row) -> list[str]:
    accuracies, (low, high) = measurement.accuracies(row), measurement.interval(row)
    at = "/".join(f"{threshold:.2f}" for threshold in row.threshold)
    lift = ""
    if row.kind == "control":
        over = measurement.lift(row)
        lift = f"{over.difference:+.1f} ({over.low:+.1f} to {over.high:+.1f}), p {over.p:.2g}"
    numbers = [f"{a:.1f}" for a in (*accuracies, float(np.mean(accuracies)))]
    return [row.name, *numbers, f"{low:.1f} to {high:.1f}", lift, ", ".join(part for part in (at, row.origin) if part)]


def print_pixels(measurement: PixelMeasurement, console: Console) -> None:
    """PxAP with its interval, and the lift over each control."""
    content = measurement.to_dict()
    low, high = content["intervals"]["PxAP"]
    value = f"PxAP {measurement.value:.1f} ({low:.1f} to {high:.1f})"
    console.print(f"pxap: {number_of(content['images'], 'image')}, {value}", highlight=False)
    for name, control in content["controls"].items():
        lift = "{difference:+.1f} ({low:+.1f} to {high:+.1f})".format(**control["lift"])
        console.print(f"  {name} {control['metrics']['PxAP']:.1f}, lift {lift}", highlight=False)


def print_scores(scores: Scores, console: Console) -> None:
    """The protocols side by side for the same maps, then each in full."""
    boxes = {name: m for name, m in scores.measurements.items() if isinstance(m, Measurement)}
    if len(boxes) > 1:
        console.print(_side_by_side(boxes))
    for measurement in scores.measurements.values():
        console.print()
        if isinstance(measurement, Measurement):
            print_measurement(measurement, console)
        else:
            print_pixels(measurement, console)
    for note in scores.notes:
        console.print(note, highlight=False)


def _side_by_side(measurements: dict[str, Measurement]) -> Table:
    """A column for each protocol: the headline's and the controls' mean over IoU 0.3, 0.5, 0.7."""
    table = Table(title="The same maps under each protocol (IoU 0.5, and mean over 0.3, 0.5, 0.7)", box=None)
    table.add_column("")
    for name in measurements:
        table.add_column(name, justify="right")
    accuracies = [{row.name: m.accuracies(row) for row in reversed(m.rows)} for m in measurements.values()]
    for name in reversed(accuracies[0]):
        cells = [f"{a[name][1]:.1f}  {np.mean(a[name]):.1f}" if name in a else "" for a in accuracies]
        table.add_row(name, *cells)
    table.add_row("threshold", *["/".join(f"{t:.2f}" for t in m.rows[0].threshold) for m in measurements.values()])
    table.add_row("", *[m.rows[0].origin.partition(":")[0] for m in measurements.values()])
    return table
