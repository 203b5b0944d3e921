"""I2C's Figure 3: found boxes and heat maps beside those of ACoL, on the same test images.

As in the paper found boxes are green and true boxes red. A cell keeps its maps of the few images as hexadecimal
digits and their boxes at the threshold from the training boxes, so that the figure is drawn from the results alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from boxless.boxes.from_heatmap import find_boxes, normalise
from boxless.data.dataset import Dataset, Sample
from boxless.data.images import read_picture, shrink
from boxless.methods import method_class
from boxless.report.drawing import FOUND, Colour, Picture, outline, overlay, save, sheet
from boxless.reproduce.classifier_runs import Experiment, Trial, TrialMaps, spaced
from boxless.reproduce.grid import TimeBudget
from boxless.reproduce.recipes import RECIPES
from boxless.reproduce.tables import Results, finished, run_table, summary

SHOWN = 12
RED: Colour = (255, 40, 40)
SIDE = 224
"""Longer side of each picture of the figure, in pixels."""


def reproduce(
    name: str,
    data: Sequence[Path],
    out: Path,
    clock: TimeBudget,
    *,
    seeds: Sequence[int] = (0,),
    recipe: str = "quick",
    images_per_class: int | None = None,
    begun: Callable[[Trial], None] = lambda cell: None,
    **changed: Any,
) -> str:
    """Run what is left of the cells -> a page, and `out`/`name`.png of the first seed once all are there.

    Raises UsageError for data without boxes in both splits, and for an `out` made with other data or settings.
    """
    made = RECIPES[recipe].with_training(**changed)
    chosen: list[Sample] = []

    def look(cell: Trial, seen: TrialMaps) -> dict[str, Any]:
        return {"shown": shown(cell, seen, [sample.name for sample in chosen])}

    study = Experiment(data, out / "runs", images_per_class=images_per_class, look=look)
    chosen += spaced(study.test, SHOWN).samples
    methods = ["i2c", "acol"]
    settings = replace(made.training, seed=seeds[0])
    grid = [Trial(method, method, made.options(method, study.train), settings) for method in methods]

    def told(done: Results) -> str:
        whole = finished(done)
        lines = [f"# {name}: boxes on test images\n", summary(grid, done)]
        if len(whole) == len(grid):
            save(out / f"{name}.png", figure(study.test, [whole[cell.name]["shown"] for cell in grid]))
            lines.append(f"{name}.png: {' | '.join(methods)}; found green, true red; images evenly spaced by name.\n")
        return "\n".join(lines)

    return run_table(study, grid, made.training, out, name, clock, told, begun)


def shown(cell: Trial, seen: TrialMaps, names: Sequence[str]) -> dict[str, Any]:
    """The map (a byte for each place) and the boxes of the named test images."""
    normalisation, found = method_class(cell.method).readout.normalisation, {}
    for sample, size, heat in zip(seen.test.samples, seen.test.sizes, seen.test.heats, strict=True):
        if sample.name in names:
            boxes, _ = find_boxes(heat, size, seen.threshold, normalisation=normalisation)
            levels = np.rint(255 * normalise(heat, normalisation)).astype(np.uint8)
            found[sample.name] = {
                "boxes": np.round(boxes, 1).tolist(), "rows": len(levels), "heat": levels.tobytes().hex()
            }  # fmt: skip
    return found


def figure(test: Dataset, columns: Sequence[Mapping[str, Any]]) -> Picture:
    """Six images a row, a line for each method: map and boxes laid over the picture."""
    samples = [sample for sample in test.samples if sample.name in columns[0]]
    parts = [samples[start : start + 6] for start in range(0, len(samples), 6)]
    panels = [panel(test, sample, column[sample.name]) for part in parts for column in columns for sample in part]
    return sheet(panels, columns=min(6, len(samples)))


def panel(test: Dataset, sample: Sample, told: Mapping[str, Any]) -> Picture:
    """One image with what was found on it, and the truth."""
    whole = read_picture(test.source.read(sample.name), sample.name)
    picture = shrink(whole, SIDE)
    scale = picture.shape[1] / whole.shape[1]
    levels = np.frombuffer(bytes.fromhex(told["heat"]), np.uint8).reshape(told["rows"], -1)
    drawn = overlay(picture, levels.astype(np.float32), opacity=0.4)
    for boxes, colour in ((sample.boxes, RED), (np.array(told["boxes"], np.float32).reshape(-1, 4), FOUND)):
        if boxes is not None:
            drawn = outline(drawn, np.asarray(boxes * scale, np.float32), colour)
    return drawn
