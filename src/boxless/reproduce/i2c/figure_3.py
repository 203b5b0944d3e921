"""I2C's Figure 3: found boxes and heat maps beside those of ACoL, on the same test images.

As in the paper found boxes are green and true boxes red. A trial keeps its maps of the few images as hexadecimal
digits and their boxes at the threshold from the training boxes, so that the figure is drawn from the results alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from boxless.boxes.from_heatmap import find_boxes, normalise
from boxless.data.dataset import Dataset, Sample
from boxless.data.images import read_picture, shrink
from boxless.methods import method_class
from boxless.report.drawing import FOUND, Colour, Picture, outline, overlay, sheet
from boxless.reproduce.classifier_runs import Trial, TrialMaps, spaced
from boxless.reproduce.classifier_tables import ClassifierTable
from boxless.reproduce.recipes import TableRecipe
from boxless.reproduce.trial_results import Outcomes, TrialResult

METHODS = ("i2c", "acol")
SHOWN = 12
RED: Colour = (255, 40, 40)
SIDE = 224
"""Longer side of each picture of the figure, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure3(ClassifierTable):
    """Two trials, of the first seed, and a picture once both are there."""

    name: str = "i2c-figure-3"
    about: str = "boxes on test images"
    extra: frozenset[str] = frozenset({"shown"})

    def trials(self, train: Dataset, recipe: TableRecipe, seeds: Sequence[int]) -> list[Trial]:
        """One of each method."""
        settings = replace(recipe.training, seed=seeds[0])
        return [Trial(method, method, recipe.options(method, train), settings) for method in METHODS]

    def body(self, trials: Sequence[Trial], outcomes: Outcomes) -> Iterable[str]:
        """What the picture shows."""
        if len(outcomes.measured) == len(METHODS):
            yield f"{self.name}.png: {' | '.join(METHODS)}; found green, true red; images evenly spaced by name.\n"

    def extra_results(self, trial: Trial, maps: TrialMaps) -> dict[str, Any]:
        """The map (a byte for each place) and the boxes of a few test images."""
        normalisation, found = method_class(trial.method).readout.normalisation, {}
        for place in spaced(len(maps.test.samples), SHOWN):
            heat, size = maps.test.heats[place], maps.test.sizes[place]
            boxes, _ = find_boxes(heat, size, maps.threshold, normalisation=normalisation)
            levels = np.rint(255 * normalise(heat, normalisation)).astype(np.uint8)
            found[maps.test.samples[place].name] = {
                "boxes": np.round(boxes, 1).tolist(), "rows": len(levels), "heat": levels.tobytes().hex()
            }  # fmt: skip
        return {"shown": found}

    def picture(self, test: Dataset, results: Sequence[TrialResult]) -> Picture:
        """Six images a row, a line for each method: map and boxes laid over the picture."""
        columns = [result.extra["shown"] for result in results]
        samples = [sample for sample in test.samples if sample.name in columns[0]]
        parts = [samples[start : start + 6] for start in range(0, len(samples), 6)]
        panels = [panel(test, sample, column[sample.name]) for part in parts for column in columns for sample in part]
        return sheet(panels, columns=min(6, len(samples)))


def panel(test: Dataset, sample: Sample, shown: Mapping[str, Any]) -> Picture:
    """One image with what was found on it, and the truth."""
    whole = read_picture(test.source.read(sample.name), sample.name)
    picture = shrink(whole, SIDE)
    scale = picture.shape[1] / whole.shape[1]
    levels = np.frombuffer(bytes.fromhex(shown["heat"]), np.uint8).reshape(shown["rows"], -1)
    drawn = overlay(picture, levels.astype(np.float32), opacity=0.4)
    for boxes, colour in ((sample.boxes, RED), (np.array(shown["boxes"], np.float32).reshape(-1, 4), FOUND)):
        if boxes is not None:
            drawn = outline(drawn, np.asarray(boxes * scale, np.float32), colour)
    return drawn
