"""What `find` would do with a folder, from a few of its images: what it would choose, and how the images look to it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from boxless.backbones.familiarity import Familiarity, Recorder
from boxless.data.dataset import Dataset
from boxless.discovery.discriminant import Discriminant
from boxless.discovery.notes import Notes
from boxless.inference.factory import discoverer
from boxless.runtime.progress import Progress

SAMPLE = 64
"""Images of a category that are looked at, evenly taken."""
CATEGORIES = 3
"""The largest ones, that are looked at."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Of one category."""

    category: str
    images: int
    familiarity: Familiarity
    notes: Notes
    closer: bool = False
    """Whether `find --closer` would look closer at most of its images."""

    def words(self) -> list[str]:
        """Whether it looks like what ImageNet knows, and what find would do, a sentence each."""
        seen = self.familiarity.images
        part = "" if seen >= self.images else f", from {seen} of {self.images} images,"
        choice = f"find would choose{part} {self.notes.choice}"
        sentences = [self.familiarity.words(), choice, self.notes.size, self.notes.alike, self.notes.mixture]
        return [f"{self.category}: {one}." for one in sentences if one]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for json."""
        return {
            "category": self.category,
            "images": self.images,
            "looked at": self.familiarity.images,
            "distance from ImageNet": None if np.isnan(self.familiarity.distance) else self.familiarity.distance,
            "confidence": self.familiarity.confidence,
            "notes": self.notes.to_dict(),
            "closer": self.closer,
        }


def preview(data: Dataset, progress: Progress) -> Iterator[Preview]:
    """The largest categories of a folder in turn; those without a readable image are left out."""
    predictor = discoverer("auto", engine="torch")  # an engine shows the recorder nothing of what it computes
    assert isinstance(predictor.method, Discriminant)
    recorder = Recorder(predictor.method.backbone)
    counts = Counter(sample.label for sample in data.samples)
    for label, count in counts.most_common(CATEGORIES):
        samples = [sample for sample in data.samples if sample.label == label]
        places = np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).round().astype(int))
        recorder.reset()
        maps = list(predictor.maps(replace(data, samples=[samples[place] for place in places]), progress))
        if maps:
            name = predictor.category if label is None else data.classes[label]
            larger = np.median([max(mapped.size) for mapped in maps]) > predictor.size
            yield Preview(name, count, recorder.result(), maps[0].notes, bool(larger and predictor.method.reads_parts))
