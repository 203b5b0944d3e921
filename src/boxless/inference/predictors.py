"""Any folder -> heat maps -> boxes, streamed: reading, network and boxes overlap, and memory does not grow.

A predictor turns a data set into a stream of maps. A trained network needs one look at each image; a training-free
method has to see a whole category before it can judge the first image of it, so its descriptors wait in a temporary
file on disk (half precision, about 125 kB per image with the defaults) instead of being computed twice.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import IO, Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boxless.boxes.from_heatmap import Detections, Heatmap, Readout, boxes_at
from boxless.boxes.suppression import Found, given, in_pixels
from boxless.data.dataset import NO_CLASS, Dataset, Sample
from boxless.data.inference_batches import Batch, prefetch, stream
from boxless.data.transforms import to_images
from boxless.discovery import Discoverer
from boxless.discovery.notes import NOTHING, Notes
from boxless.discovery.pictures import EvenSample
from boxless.inference.localizer import Localizer
from boxless.inference.sameness import Sameness
from boxless.runtime.progress import Progress

Images = Float[Tensor, "batch 3 height width"]


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """How images go through a network: how many at once, read by how many threads, where, and in which numbers."""

    batch_size: int = 16
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


class DiscoveryPredictor:
    """A training-free method, category after category."""

    def __init__(
        self, method: Discoverer, name: str, *, size: int, how: InferenceOptions, larger: tuple[int, ...] = ()
    ) -> None:
        self.name, self.readout, self.classes = name, method.readout, list[str]()
        self.category, self.method, self.size, self.how = NO_CLASS, method, size, how
        self.larger = larger
        """Sides that the method may choose for a category instead of `size`, ascending."""

    def identity(self) -> dict[str, Any]:
        """The method, its network, and how images go through it."""
        backbone = getattr(getattr(self.method, "backbone", None), "name", None)
        larger = {"larger": list(self.larger)} if self.larger else {}
        how = {"stride": self.method.stride, "size": self.size, **larger, **self.how.identity()}
        return {"method": self.name, "backbone": backbone, **how}

    @property
    def several(self) -> bool:
        """Whether it finds several objects in an image unasked."""
        return self.name == "several"

    def learn_tiles(self, parts: Iterable[Tensor], edge: float) -> Notes:
        """Fit the method to batches of a category's tiles, without `edge` of their sides -> what it noticed."""
        self.method.reset()
        for images in parts:
            with self.how.precision():
                descriptors = self.method.descriptors(images)
            y, x = (round(edge * side) for side in descriptors.shape[-2:])
            self.method.partial_fit(descriptors[:, :, y : descriptors.shape[-2] - y, x : descriptors.shape[-1] - x])
        self.method.tiled = True
        notes = self._fitted(self.method)
        self.method.tiled = False
        return notes

    def look(self, images: Images, label: int | None = None) -> tuple[Float[Tensor, "batch h w"], tuple[int, ...]]:
        """Images of the category that was learnt -> raw maps, and no classes."""
        with self.how.precision():
            descriptors = self.method.descriptors(images)
        return self.method.heatmap(descriptors).float().cpu(), ()

    def _fitted(self, method: Discoverer) -> Notes:
        with self.how.precision() if method.trains else nullcontext():  # with all threads
            method.fit_done()
        return method.notes()

    def pieces(self, dataset: Dataset) -> list[list[Sample]]:
        """Category by category."""
        return [list(samples) for _, samples in groupby(sorted(dataset.samples, key=_category), key=_category)]

    def maps(self, dataset: Dataset, progress: Progress, *, labels: bool = False) -> Iterator[ImageHeatmap]:
        """Heat maps, category by category; `labels` changes nothing, the categories are the data set's classes."""
        for (mapped,) in self.maps_of([self.method], dataset, progress):
            yield mapped

    def maps_of(
        self, methods: Sequence[Discoverer], dataset: Dataset, progress: Progress
    ) -> Iterator[list[ImageHeatmap]]:
        """Each image's heat maps by several methods that read the descriptors of this one, computed once."""
        for samples in self.pieces(dataset):
            yield from self._category(methods, replace(dataset, samples=samples), progress, self.size)

    def _category(
        self, methods: Sequence[Discoverer], dataset: Dataset, progress: Progress, size: int, why: str = ""
    ) -> Iterator[list[ImageHeatmap]]:
        for method in methods:
            method.reset()
        how = self._how_at(size)

        def look(batch: Batch) -> tuple[Batch, Tensor]:
            with how.precision():
                return batch, self.method.descriptors(to_images(batch.pictures, how.device))

        kept: list[tuple[Sample, tuple[int, int]]] = []
        same = Sameness()
        asking = [method for method in methods if method.looks_again]
        again = max((method.looks_again for method in asking), default=0)
        pictures, described, few = EvenSample(again), EvenSample(again), EvenSample(again)
        with tempfile.TemporaryFile(prefix="boxless-descriptors-") as file:
            shape: tuple[int, ...] = ()
            with parallel_batches() as workers:
                batches = prefetch(look, how.stream(dataset, size, progress), workers=workers, window=workers + 1)
                for batch, descriptors in batches:
                    for method in methods:
                        method.partial_fit(descriptors)
                    if asking:
                        pictures.add(torch.from_numpy(batch.pictures))
                        described.add(descriptors)
                        few.add(torch.arange(len(kept), len(kept) + len(batch.samples)))
                    shape = tuple(descriptors.shape[1:])
                    file.write(descriptors.half().cpu().numpy().tobytes())
                    kept += zip(batch.samples, batch.sizes, strict=True)
                    same.add(batch.pictures)
                    progress.advance(len(batch.samples))
            if not kept:  # every image of the category was broken, and each is named in the progress
                return
            for method in asking:
                with how.precision():
                    method.look_again(to_images(pictures.stacked(), how.device), described.stacked())
            notes = [replace(self._fitted(method), alike=same.words(), size=why) for method in methods]
            own = self._waiting(list(zip(methods, notes, strict=True)), file, shape, kept)
            if size != self.size or not asking or not (sides := self._sides(kept)):
                yield from own
                return
            some = replace(dataset, samples=[kept[place][0] for place in few.stacked().tolist()])
            larger, words = asking[0].better_size(sides, lambda side: self._described(some, side))
            if larger == size:
                yield from own
                return
            seen = replace(dataset, samples=[sample for sample, _ in kept])
            progress.expect(progress.total + len(seen))
            place = methods.index(asking[0])
            rest = [(one, said) for one, said in zip(methods, notes, strict=True) if one is not asking[0]]
            others = self._waiting(rest, file, shape, kept)
            for (better,) in self._category(asking[:1], seen, progress, larger, words):
                beside = next(maps for maps in others if maps[0].sample is better.sample) if rest else []
                yield [*beside[:place], better, *beside[place:]]

    def _how_at(self, size: int) -> InferenceOptions:
        """As images of `size` go through the network: of larger ones as many at once as need the same memory."""
        return replace(self.how, batch_size=max(1, round(self.how.batch_size * (self.size / size) ** 2)))

    def _sides(self, kept: list[tuple[Sample, tuple[int, int]]]) -> list[int]:
        """The larger sides that the usual one of these images has pixels for."""
        longer = np.median([max(size) for _, size in kept])
        return [side for side in self.larger if side <= longer]

    def _described(self, dataset: Dataset, size: int) -> Float[Tensor, "image d h w"]:
        how = self._how_at(size)
        with how.precision():
            parts = [
                self.method.descriptors(to_images(batch.pictures, how.device))
                for batch in how.stream(dataset, size, Progress())
            ]
        return torch.cat(parts)

    def _waiting(
        self,
        methods: Sequence[tuple[Discoverer, Notes]],
        file: IO[bytes],
        shape: tuple[int, ...],
        kept: list[tuple[Sample, tuple[int, int]]],
    ) -> Iterator[list[ImageHeatmap]]:
        """The maps of the images whose descriptors wait in the file, by methods that were fitted."""
        file.seek(0)
        for start in range(0, len(kept), self.how.batch_size):
            rows = kept[start : start + self.how.batch_size]
            raw = np.frombuffer(bytearray(file.read(2 * len(rows) * int(np.prod(shape)))), np.float16)
            descriptors = torch.from_numpy(raw.reshape(len(rows), *shape)).to(self.how.device).float()
            heats = [method.heatmap(descriptors).cpu().numpy() for method, _ in methods]
            for (sample, size), *maps in zip(rows, *heats, strict=True):
                yield [
                    ImageHeatmap(sample, size, heat, notes=said) for heat, (_, said) in zip(maps, methods, strict=True)
                ]


def _category(sample: Sample) -> int:
    return -1 if sample.label is None else sample.label


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
