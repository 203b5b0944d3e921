"""A training-free method over any folder: it has to see a whole category before it can judge the first image of it.

Its descriptors wait in a temporary file on disk (half precision, about 350 kB per image with the defaults) instead of
being computed twice. A category is looked at again in larger images where the method asks for it, and what was found is
looked at closer where the user does (closer_look.py).
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import IO, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boxless.boxes.from_heatmap import Heatmap
from boxless.data.dataset import NO_CLASS, Dataset, Sample
from boxless.data.inference_batches import Batch, prefetch
from boxless.data.sources import Source
from boxless.data.transforms import to_images
from boxless.discovery import Discoverer
from boxless.discovery.notes import Notes
from boxless.discovery.pictures import EvenSample
from boxless.inference.closer_look import CloserLook
from boxless.inference.predictors import ImageHeatmap, Images, InferenceOptions, at_once, parallel_batches
from boxless.inference.sameness import Sameness
from boxless.runtime.errors import BrokenImageError
from boxless.runtime.progress import Progress

_Rows = list[tuple[Sample, tuple[int, int]]]
"""Images with their upright sizes (width, height)."""


@dataclass(slots=True)
class _Seen:
    """A category after the first look: its readable images with their sizes, and their descriptors in a file."""

    file: IO[bytes]
    source: Source
    shape: tuple[int, ...] = ()
    kept: _Rows = field(default_factory=list)

    def add(self, batch: Batch, descriptors: Tensor) -> None:
        self.shape = tuple(descriptors.shape[1:])
        self.file.write(descriptors.half().cpu().numpy().tobytes())
        self.kept += zip(batch.samples, batch.sizes, strict=True)


class DiscoveryPredictor:
    """A training-free method, category after category."""

    piece_by_piece = True

    def __init__(
        self,
        method: Discoverer,
        name: str,
        *,
        size: int,
        how: InferenceOptions,
        larger: tuple[int, ...] = (),
        closer: bool = False,
    ) -> None:
        self.name, self.readout, self.classes = name, method.readout, list[str]()
        self.category, self.method, self.size, self.how = NO_CLASS, method, size, how
        self.larger = larger
        """Sides that the method may choose for a category instead of `size`, ascending."""
        self.closer = closer
        """Whether it looks at the part of an image around what was found again, where the method reads parts."""

    def identity(self) -> dict[str, Any]:
        """The method, its network, and how images go through it."""
        network = getattr(self.method, "backbone", None)
        backbone, stride = (network.name, network.stride) if network else (None, self.method.stride)
        size = f"{', '.join(map(str, (self.size, *self.larger)))}, as it chooses" if self.larger else self.size
        how = {"stride": stride, "size": size, **self.how.identity()}
        return {"method": self.name, "backbone": backbone, **how} | ({"closer": True} if self.closer else {})

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

        same = Sameness()
        asking = [method for method in methods if method.looks_again]
        again = max((method.looks_again for method in asking), default=0)
        pictures, described, few = EvenSample(again), EvenSample(again), EvenSample(again)
        with tempfile.TemporaryFile(prefix="boxless-descriptors-") as file:
            seen = _Seen(file, dataset.source)
            with parallel_batches() as workers:
                batches = prefetch(look, how.stream(dataset, size, progress), workers=workers, window=workers + 1)
                for batch, descriptors in batches:
                    for method in methods:
                        method.partial_fit(descriptors)
                    if asking:
                        pictures.add(torch.from_numpy(batch.pictures))
                        described.add(descriptors)
                        few.add(torch.arange(len(seen.kept), len(seen.kept) + len(batch.samples)))
                    seen.add(batch, descriptors)
                    same.add(batch.pictures)
                    progress.advance(len(batch.samples))
            if not seen.kept:  # every image of the category was broken, and each is named in the progress
                return
            for method in asking:
                with how.precision():
                    method.look_again(to_images(pictures.stacked(), how.device), described.stacked())
            fitted = [
                (method, replace(self._fitted(method), alike=same.words(), size=why, closer=self._said(method)))
                for method in methods
            ]
            larger, words = size, ""
            if asking and size == self.size:
                some = replace(dataset, samples=[seen.kept[place][0] for place in few.stacked().tolist()])
                larger, words = self._better_size(asking[0], some, seen, progress)
            if larger == size:
                yield from self._waiting(fitted, seen, progress)
            else:
                progress.expect(progress.total + len(seen.kept))
                images = replace(dataset, samples=[sample for sample, _ in seen.kept])
                found = self._category(asking[:1], images, progress, larger, words)
                yield from self._beside(fitted, seen, asking[0], found)

    def _better_size(self, method: Discoverer, some: Dataset, seen: _Seen, progress: Progress) -> tuple[int, str]:
        """The side that suits the category best and why, by larger looks at `some` of its images."""
        longer = np.median([max(size) for _, size in seen.kept])
        sides = [side for side in self.larger if side <= longer]  # for which the usual image has pixels
        if not sides:
            return self.size, ""
        try:
            return method.better_size(sides, lambda side: self._described(some, side, progress))
        except BrokenImageError:  # what can no longer be read has its map from the first look
            return self.size, ""

    def _beside(
        self,
        fitted: Sequence[tuple[Discoverer, Notes]],
        seen: _Seen,
        method: Discoverer,
        better: Iterator[list[ImageHeatmap]],
    ) -> Iterator[list[ImageHeatmap]]:
        """The maps of all methods, those of `method` from its look at larger images."""
        place = [one for one, _ in fitted].index(method)
        rest = [one for one in fitted if one[0] is not method]
        if not rest:
            seen.file.truncate(0)  # nobody reads it again, and the larger images need five times as much
        others = self._waiting(rest, seen, Progress())
        for (mapped,) in better:
            beside = next(maps for maps in others if maps[0].sample is mapped.sample) if rest else []
            yield [*beside[:place], mapped, *beside[place:]]

    def _how_at(self, size: int) -> InferenceOptions:
        """As images of `size` go through the network: of larger ones fewer at once."""
        if size == self.size:
            return self.how
        return replace(self.how, batch_size=min(self.how.batch_size, at_once(size, self.how.device)))

    def _described(self, dataset: Dataset, size: int, progress: Progress) -> Float[Tensor, "image d h w"]:
        """Descriptors of the images that can be read; raises BrokenImageError where there is none."""
        how, parts = self._how_at(size), list[Tensor]()
        progress.expect(progress.total + len(dataset))
        with how.precision():
            for batch in how.stream(dataset, size, Progress()):  # broken ones were named in the first look
                parts.append(self.method.descriptors(to_images(batch.pictures, how.device)))
                progress.advance(len(batch.samples))
        if not parts:
            raise BrokenImageError("None of the images could be read again.")
        return torch.cat(parts)

    def _waiting(
        self, methods: Sequence[tuple[Discoverer, Notes]], seen: _Seen, progress: Progress
    ) -> Iterator[list[ImageHeatmap]]:
        """The maps of the images whose descriptors wait in the file, by methods that were fitted."""
        looks = [
            CloserLook(method, self.readout, self.size, self.how, seen.source)
            if self.closer and method.reads_parts
            else None
            for method, _ in methods
        ]

        def read(item: tuple[_Rows, Tensor]) -> tuple[_Rows, list[list[Heatmap]]]:
            rows, descriptors = item
            heats = [list(method.heatmap(descriptors).cpu().numpy()) for method, _ in methods]
            closer = [look.better(rows, maps) if look else maps for look, maps in zip(looks, heats, strict=True)]
            return rows, closer

        if any(looks):
            progress.expect(progress.total + len(seen.kept))
        with parallel_batches() if any(looks) else nullcontext(1) as workers:
            for rows, heats in prefetch(read, self._read_back(seen), workers=workers, window=workers + 1):
                for (sample, size), *maps in zip(rows, *heats, strict=True):
                    yield [
                        ImageHeatmap(sample, size, heat, notes=said)
                        for heat, (_, said) in zip(maps, methods, strict=True)
                    ]
                if any(looks):
                    progress.advance(len(rows))

    def _read_back(self, seen: _Seen) -> Iterator[tuple[_Rows, Tensor]]:
        """The images whose descriptors wait in the file, batch by batch."""
        seen.file.seek(0)
        for start in range(0, len(seen.kept), self.how.batch_size):
            rows = seen.kept[start : start + self.how.batch_size]
            raw = np.frombuffer(bytearray(seen.file.read(2 * len(rows) * int(np.prod(seen.shape)))), np.float16)
            yield rows, torch.from_numpy(raw.reshape(len(rows), *seen.shape)).to(self.how.device).float()

    def _said(self, method: Discoverer) -> str:
        """Of the closer look at a category that the method was fitted to."""
        if not self.closer:
            return ""
        if not method.reads_parts:
            return "not looked at closer: that is for categories in which ddt's maps are taken"
        return f"looked at closer, around what was found, where photographs have more than {self.size} pixels a side"


def _category(sample: Sample) -> int:
    return -1 if sample.label is None else sample.label
