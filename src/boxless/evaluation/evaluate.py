"""A predictor and two splits -> a measurement: threshold and centred box from one, scores on the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import UInt8

from boxless.boxes.from_heatmap import Heatmap
from boxless.boxes.suppression import Found
from boxless.data.annotations import check_size
from boxless.data.dataset import Boxes, Dataset, Sample
from boxless.data.images import read_resized
from boxless.discovery.notes import NOTHING, Notes
from boxless.evaluation.baselines import Lazy
from boxless.evaluation.measure import Headline, Split, measure
from boxless.evaluation.measurement import Measurement
from boxless.inference.predictors import ImageHeatmap, Predictor
from boxless.runtime.errors import BoxlessError
from boxless.runtime.progress import Progress


@dataclass(slots=True)
class HeatmapSet:
    """All maps of one data set by one predictor, in memory: a map is a few hundred values."""

    samples: list[Sample] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    heats: list[Heatmap] = field(default_factory=list)
    ranked: list[tuple[int, ...]] = field(default_factory=list)
    tiles: list[int] = field(default_factory=list)
    """Sides of the tiles that each map was joined from, 0 for whole images."""
    found: list[Found | None] = field(default_factory=list)
    notes: dict[int | None, Notes] = field(default_factory=dict)
    """What was noticed about the categories, by their labels."""
    classes: list[str] = field(default_factory=list)
    """What the labels count: the predictor's classes where it has some, else the data's."""

    @property
    def truths(self) -> list[Boxes | None]:
        """The true boxes, None where an image has no annotation."""
        return [sample.boxes for sample in self.samples]

    def add(self, mapped: ImageHeatmap) -> None:
        """Take in the map of an image; raises BoxlessError where its annotation states another size."""
        check_size(mapped.sample, mapped.size)
        self.samples.append(mapped.sample)
        self.sizes.append(mapped.size)
        self.heats.append(mapped.heat)
        self.ranked.append(mapped.ranked)
        self.tiles.append(mapped.tile)
        self.found.append(mapped.found)
        if mapped.notes != NOTHING:
            self.notes[mapped.sample.label] = mapped.notes

    def noticed(self, category: str) -> dict[str, dict[str, Any]]:
        """The notes as plain values, by the categories' names; `category` is that of images without a class."""
        return {category if label is None else self.classes[label]: one.to_dict() for label, one in self.notes.items()}

    def boxed(self) -> "HeatmapSet":
        """Those that have boxes, as thresholds and the centred box are fitted on them."""
        kept = [index for index, boxes in enumerate(self.truths) if boxes is not None and len(boxes)]
        lists = (self.samples, self.sizes, self.heats, self.ranked, self.tiles, self.found)
        return HeatmapSet(*([values[index] for index in kept] for values in lists), classes=self.classes)  # type: ignore[arg-type,misc]

    def split(self) -> Split:
        """Maps, sizes and true boxes of maps that all have boxes."""
        truths = [boxes for boxes in self.truths if boxes is not None]
        assert len(truths) == len(self.heats), "maps without boxes among them: take those of boxed()"
        return Split(self.heats, self.sizes, truths)


def small_pictures(dataset: Dataset, samples: list[Sample], size: int = 64) -> Lazy[UInt8[np.ndarray, "h w 3"]]:
    """The pictures of some samples, small, read when asked for."""
    names = [sample.name for sample in samples]
    return Lazy(lambda index: read_resized(dataset.source.read(names[index]), names[index], size)[0], len(names))


def compute_heatmaps(predictor: Predictor, dataset: Dataset, progress: Progress) -> HeatmapSet:
    """Every map of the data set; of the true classes where the predictor has classes of its own."""
    if predictor.classes and dataset.classes and predictor.classes != dataset.classes:
        dataset = _in_the_predictors_classes(dataset, predictor.classes)
    found = HeatmapSet(classes=dataset.classes)
    for mapped in predictor.maps(dataset, progress, labels=bool(predictor.classes) and dataset.labelled):
        found.add(mapped)
    if not found.samples:
        raise BoxlessError(f"None of the {len(dataset)} images could be read; nothing can be measured.")
    return found


def evaluate(
    predictor: Predictor,
    test: Dataset,
    progress: Progress,
    *,
    fit: Dataset | None = None,
    untrained: Predictor | None = None,
    several: Mapping[str, Any] | None = None,
    headline: Headline = "own",
    seed: int = 0,
) -> tuple[Measurement, HeatmapSet]:
    """Measure `predictor` on `test`, beside its controls; `fit` is another split whose boxes may choose a threshold.

    With `several`, what `find_boxes` is then asked for, the maps are also read and scored as detections.
    `headline` says whose threshold the first row and the controls have: the predictor's own, or the transferred one.
    Raises BoxlessError when `test` has no boxes, or classes that the predictor does not know.
    """
    if not test.boxed:
        where = f"the {test.split} split of {test.source.root}" if test.split else str(test.source.root)
        raise BoxlessError(f"No image of {where} has a box; nothing can be measured. Add a boxes.csv, or use predict.")
    found = compute_heatmaps(predictor, test, progress)
    known = bool(predictor.classes) and test.labelled
    other = compute_heatmaps(predictor, fit, progress).boxed() if fit is not None and fit.boxed else None
    measured = measure(
        found.heats,
        found.sizes,
        found.truths,
        readout=predictor.readout,
        fit=other.split() if other else None,
        untrained=compute_heatmaps(untrained, test, progress).heats if untrained is not None else None,
        pictures=small_pictures(test, found.samples),
        fit_pictures=small_pictures(fit, other.samples) if fit is not None and other else None,
        labels=[sample.label or 0 for sample in found.samples] if test.labelled else None,
        predictions=np.array(found.ranked) if known and all(found.ranked) and len(predictor.classes) > 1 else None,
        classes=found.classes,
        names=[sample.name for sample in found.samples],
        several=several,
        tiles=found.tiles,
        found=None if None in found.found else found.found,  # type: ignore[arg-type]  # none of them is None
        crowds=[sample.crowds for sample in found.samples],
        headline=headline,
        seed=seed,
    )
    return measured, found


def _in_the_predictors_classes(dataset: Dataset, classes: list[str]) -> Dataset:
    missing = sorted(set(dataset.classes) - set(classes))
    if len(classes) == 1:  # a GAN knows one category, whatever the folders are called
        return dataset
    if missing:
        raise BoxlessError(
            f"The data has classes that the network was not trained on: {', '.join(missing[:5])}. "
            f"It knows {len(classes)}: {', '.join(classes[:5])}..."
        )
    index = {name: position for position, name in enumerate(classes)}
    samples = [replace(s, label=None if s.label is None else index[dataset.classes[s.label]]) for s in dataset.samples]
    return replace(dataset, samples=samples, classes=classes)
