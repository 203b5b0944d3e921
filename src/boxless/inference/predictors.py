"""Any folder -> heat maps -> boxes, streamed: reading, network and boxes overlap, and memory does not grow.

A predictor turns a data set into a stream of maps. A trained network needs one look at each image; what has to see a
whole category first is in discovery_predictor.py.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from boxless.boxes.from_heatmap import Detections, Heatmap, Readout, boxes_at
from boxless.boxes.suppression import Found, given, in_pixels
from boxless.data.dataset import NO_CLASS, Dataset, Sample
from boxless.data.inference_batches import Batch, prefetch, stream
from boxless.data.transforms import to_images
from boxless.discovery.notes import NOTHING, Notes
from boxless.inference.localizer import Localizer
from boxless.runtime.progress import Progress

Images = Float[Tensor, "batch 3 height width"]

AT_ONCE, LARGER, AREA = 16, 288, 576**2
"""Images per forward pass; of those with more than LARGER pixels a side as many as have this area, on a processor.

There a network's first features are so large that memory for them is asked of the system anew in every pass.
"""


def at_once(size: int, device: torch.device) -> int:
    """How many images of `size` pixels a side go through a network at once."""
    return max(1, AREA // size**2) if size > LARGER and device.type == "cpu" else AT_ONCE


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """How images go through a network: how many at once, read by how many threads, where, and in which numbers."""

    batch_size: int = AT_ONCE
    workers: int = 2
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    bf16: bool = False
    engine: str = "torch"
    """What computes the network: torch, or in words in what numbers another engine does."""

    def stream(self, dataset: Dataset, size: int, progress: Progress) -> Iterator[Batch]:
        """The data set as batches of pictures of `size` pixels."""
        return stream(dataset, size, progress, batch_size=self.batch_size, workers=self.workers)

    def precision(self) -> torch.autocast:
        """A context, to be entered by the thread that runs the network."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def identity(self) -> dict[str, Any]:
        """Plain values that differ wherever what leaves a network could; torch, once the only engine, is not named."""
        engine = {} if self.engine == "torch" else {"engine": self.engine}
        return {"batch size": self.batch_size, "bf16": self.bf16, **engine}


@dataclass(frozen=True, slots=True)
class ImageHeatmap:
    """The raw heat map of one image, with its upright size and the classes a network saw in it, likeliest first."""

    sample: Sample
    size: tuple[int, int]
    heat: Heatmap
    ranked: tuple[int, ...] = ()
    notes: Notes = NOTHING
    """What a method without labels noticed about the image's category."""
    tile: int = 0
    """Side in pixels of the tiles that the map was joined from, 0 for the map of a whole image."""
    found: Found | None = None
    """The boxes in pixels, best first, of a detector, whose map is drawn from them."""

    @property
    def label(self) -> int | None:
        """The class that the boxes are given: the likeliest, else the one that the image came with, if it has one."""
        return self.ranked[0] if self.ranked else self.sample.label


@runtime_checkable
class Predictor(Protocol):
    """Whatever turns images into heat maps: a trained network or a training-free method."""

    name: str
    readout: Readout
    classes: list[str]

    def maps(self, dataset: Dataset, progress: Progress, *, labels: bool = False) -> Iterator[ImageHeatmap]:
        """A map for every readable image; of its true class with `labels`, else of the class the network sees in it."""
        ...


@runtime_checkable
class DivisiblePredictor(Predictor, Protocol):
    """A predictor whose work can be stopped, gone on with, and shared by several processes."""

    category: str
    """What the boxes of images without a class are called, where the predictor has no classes of its own."""
    piece_by_piece: bool
    """Whether it learns from a piece before its first map comes: then nothing is asked for ahead of the piece's end."""

    def identity(self) -> dict[str, Any]:
        """Plain values that differ wherever its maps of an image could."""
        ...

    def pieces(self, dataset: Dataset) -> list[list[Sample]]:
        """The samples in the order of `maps`, cut where it does not matter: the maps of one piece need no other."""
        ...


def detections_in(mapped: ImageHeatmap, readout: Readout, label: str, **several: Any) -> Detections:
    """The boxes of one map, in pixels of its image; `several`: what `find_boxes` is asked for."""
    if mapped.found is None:
        boxes, scores = boxes_at(readout, mapped.heat, mapped.size, tile=mapped.tile, **several)
        note = "" if len(boxes) else "no place of the heat map is above the threshold"
    else:
        boxes, scores = given(mapped.found, mapped.size, **several)
        note = "" if len(boxes) else "no box has a score that is high enough"
    return Detections(mapped.sample.name, mapped.size, boxes, scores, label, note)


class TrainedPredictor:
    """A trained network: one forward pass per image."""

    piece_by_piece = False

    def __init__(self, localizer: Localizer, how: InferenceOptions) -> None:
        self.name, self.readout, self.classes = localizer.method, localizer.readout, localizer.classes
        self.category: str = localizer.content.get("category", NO_CLASS)
        self.localizer, self.size, self.how = localizer, localizer.size, how

    def identity(self) -> dict[str, Any]:
        """The weights, and how images go through them."""
        digest = hashlib.sha256()
        for name, value in self.localizer.network.state_dict().items():
            digest.update(name.encode() + value.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return {"method": self.name, "weights": digest.hexdigest()[:16], "size": self.size, **self.how.identity()}

    def pieces(self, dataset: Dataset) -> list[list[Sample]]:
        """Batch by batch."""
        size = self.how.batch_size
        return [dataset.samples[start : start + size] for start in range(0, len(dataset), size)]

    @property
    def several(self) -> bool:
        """Whether it finds several objects in an image unasked, as a detector does."""
        return self.localizer.several

    def look(self, images: Images, label: int | None = None) -> tuple[Float[Tensor, "batch h w"], tuple[int, ...]]:
        """Images -> raw maps of the class `label`, else of the likeliest, and the likeliest classes of the first."""
        with self.how.precision():
            heat, ranked = self.localizer.localize(images, None if label is None else torch.full((len(images),), label))
        return heat, tuple(ranked[0].tolist())

    def maps(self, dataset: Dataset, progress: Progress, *, labels: bool = False) -> Iterator[ImageHeatmap]:
        """Heat maps in the order of the data set."""

        def look(batch: Batch) -> tuple[Batch, Tensor, Tensor | None, list[Tensor] | None]:
            true = torch.tensor([sample.label for sample in batch.samples]) if labels else None
            images = to_images(batch.pictures, self.how.device)
            with self.how.precision():
                if self.localizer.several:
                    heat, found = self.localizer.detect(images)
                    return batch, heat, None, found
                return batch, *self.localizer.localize(images, true), None

        batches = self.how.stream(dataset, self.size, progress)
        with parallel_batches() as workers:
            for batch, heat, ranked, found in prefetch(look, batches, workers=workers, window=workers + 1):
                for index, (sample, size) in enumerate(zip(batch.samples, batch.sizes, strict=True)):
                    classes = () if ranked is None else tuple(ranked[index].tolist())
                    boxes = None if found is None else in_pixels(found[index].numpy(), size)
                    yield ImageHeatmap(sample, size, heat[index].numpy(), classes, found=boxes)
                progress.advance(len(batch.samples))


@contextmanager
def parallel_batches() -> Iterator[int]:
    """Run as many networks side by side as torch has threads, each on one thread; yields that number.

    On a CPU, batches side by side are faster than one batch split over the cores: no thread waits for another after
    every layer, and reading fills the gaps.
    """
    threads = torch.get_num_threads()
    workers = 1 if torch.cuda.is_available() else min(threads, os.cpu_count() or 1)
    torch.set_num_threads(max(1, threads // workers))
    try:
        yield workers
    finally:
        torch.set_num_threads(threads)
