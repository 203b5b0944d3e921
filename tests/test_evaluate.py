"""Which classes a predictor can be measured on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from squares import make_squares

from boxless.boxes.from_heatmap import Readout
from boxless.data.dataset import Dataset
from boxless.discovery.notes import NOTHING, Notes
from boxless.evaluation.evaluate import compute_heatmaps, evaluate
from boxless.evaluation.results import chosen, write_evaluation
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


def test_what_a_method_chose_is_said_of_each_category_of_which_something_was_noticed(tmp_path: Path) -> None:
    class Choosing(Centre):
        def maps(self, dataset: Dataset, progress: Progress, *, labels: bool = False) -> Iterator[ImageHeatmap]:
            for mapped in super().maps(dataset, progress):
                noticed = Notes("ddt: it is clear", size="looked at larger")
                yield replace(mapped, notes=noticed if mapped.sample.label else NOTHING)

    found = compute_heatmaps(Choosing(), make_squares(tmp_path, 4), Progress())
    noticed = found.noticed("object")
    assert list(noticed) == ["red"]
    assert chosen(noticed) == ["red: ddt: it is clear.", "red: looked at larger."]
    alone = replace(found.samples[0], label=None)
    found.add(ImageHeatmap(alone, (32, 32), np.zeros((3, 3)), (), notes=Notes("contrast: small")))
    assert "object: contrast: small." in chosen(found.noticed("object"))


def test_a_network_of_more_classes_than_the_data_has_names_them_rightly(tmp_path: Path) -> None:
    predictor, squares = Centre(), make_squares(tmp_path, 4)
    predictor.classes = ["blue", "green", "red"]
    measured, found = evaluate(predictor, squares, Progress())
    assert {name: one["images"] for name, one in measured.to_dict()["per_class"].items()} == {"green": 2, "red": 2}
    content = {"notes": {}}
    write_evaluation(tmp_path / "out", content, measured, found, squares, predictor)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('"green"') >= 2 and page.count('"red"') >= 2 and '"blue"' not in page


def test_maps_are_never_paired_with_the_boxes_of_other_images(tmp_path: Path) -> None:
    """Where an image in between has none."""
    squares = make_squares(tmp_path, 4)
    squares = replace(
        squares, samples=[replace(one, boxes=None) if i == 1 else one for i, one in enumerate(squares.samples)]
    )
    found = compute_heatmaps(Centre(), squares, Progress())
    with pytest.raises(AssertionError, match="take those of boxed"):
        found.split()
    truths = found.boxed().split().truths
    wanted = [one.boxes for one in squares.samples if one.boxes is not None]
    assert len(truths) == 3 and all(ours is theirs for ours, theirs in zip(truths, wanted, strict=True))
