"""Which classes a predictor can be measured on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from squares import make_squares

from boxless.boxes.from_heatmap import Readout
from boxless.data.dataset import Dataset
from boxless.evaluation.evaluate import compute_heatmaps
from boxless.inference.predictors import ImageHeatmap
from boxless.runtime.errors import BoxlessError
from boxless.runtime.progress import Progress


class Centre:
    """A predictor of two classes whose maps have the label in the middle."""

    name, readout, classes = "centre", Readout(0.5, "fixed"), ["green", "red"]

    def maps(self, dataset: Dataset, progress: Progress, *, labels: bool = False) -> Iterator[ImageHeatmap]:
        """A map for each sample."""
        for sample in dataset.samples:
            yield ImageHeatmap(sample, (32, 32), np.full((3, 3), float(sample.label or 0)), (0,))


def test_labels_are_put_into_the_predictors_order_and_unknown_classes_are_named(tmp_path: Path) -> None:
    squares = make_squares(tmp_path, 4)
    assert [sample.label for sample in squares.samples] == [0, 1, 0, 1]  # red, green, ...
    found = compute_heatmaps(Centre(), squares, Progress())
    assert [float(heat[1, 1]) for heat in found.heats] == [1, 0, 1, 0]
    with pytest.raises(BoxlessError, match=r"not trained on: blue\. It knows 2: green, red"):
        compute_heatmaps(Centre(), replace(squares, classes=["red", "blue"]), Progress())
