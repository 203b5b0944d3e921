"""Large photographs with small objects: looked at in overlapping tiles, whose raw maps are joined into one.

A photograph is decoded once, cut, and forgotten; what stays is its map, so that memory does not grow with the folder.
An object that a tile's edge cuts lies whole in the next tile, or its parts meet in the joined map: it comes out once.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int
from torch import Tensor

from boxless.boxes import FINEST
from boxless.boxes.from_heatmap import Heatmap, boxes_at
from boxless.data.dataset import Dataset, Sample
from boxless.data.images import Picture, read_picture, read_size, squash
from boxless.data.inference_batches import prefetch
from boxless.data.transforms import to_images
from boxless.discovery.notes import NOTHING
from boxless.discovery.pictures import evenly
from boxless.inference.discovery_predictor import DiscoveryPredictor
from boxless.inference.predictors import (
    ImageHeatmap,
    InferenceOptions,
    TrainedPredictor,
    parallel_batches,
)
from boxless.runtime.errors import BrokenImageError, UsageError
from boxless.runtime.progress import Progress

Tiles = int | Literal["auto", "off"]
"""Side of a tile in pixels of the photograph, chosen for each category, or none."""
EDGE, SHARED = 1 / 9, 0.1
"""The part of a tile's side that is left out along each edge, and the part of the rest that the next one shows, too."""
PROBED, LEARNT = 32, 128
"""Tiles that auto looks at, and that a category without labels is learnt from: of photographs evenly taken."""
LARGE, SMALL, FITTING = 2, 1 / 6, 0.35
"""The longer side of a large photograph for auto, in sides of a tile, and the usual one of objects that tiles fit.

Objects that are SMALL even in such tiles are looked at in tiles of half the side, enlarged.
"""

Whole = DiscoveryPredictor | TrainedPredictor
"""A predictor whose maps can be joined."""
Corners = Int[np.ndarray, "tile 4"]


def tile_corners(size: tuple[int, int], side: int) -> Corners:
    """Tiles of `side` pixels whose inner parts cover an image of `size` (width, height): x0 y0 x1 y1, by rows.

    They reach over the image's edges by EDGE of their side. Where the image with that is smaller than a tile, the tile
    is as small.
    """
    margin = round(EDGE * side)
    (xs, ys), (width, height) = zip(*(_starts(length + 2 * margin, side) for length in size), strict=True)
    return np.array([(x, y, x + width, y + height) for y in ys for x in xs]) - margin


def _starts(length: int, side: int) -> tuple[list[int], int]:
    more = max(0, -((side - length) // int(side * (1 - 2 * EDGE - SHARED))))
    return [round(place * (length - side) / max(1, more)) for place in range(more + 1)], min(side, length)


def join(size: tuple[int, int], side: int, tiles: Corners, heats: Sequence[Heatmap]) -> Float32[np.ndarray, "H W"]:
    """The raw maps of tiles of `side` pixels of an image of `size` -> its map, as fine as theirs.

    The edges of a tile, where a network sees the picture end, are left out, and near them it counts less.
    """
    finer = np.array(heats[0].shape[::-1]) / (tiles[0, 2:] - tiles[0, :2])
    margin = np.rint(EDGE * side * finer).astype(int)
    margin = np.minimum(margin, (np.array(heats[0].shape[::-1]) - 1) // 2)  # of a picture that is narrower than edges
    finer *= min(1, FINEST / (finer * size).max())
    width, height = np.maximum(1, np.rint(finer * size)).astype(int)
    total, weights = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    inner = tiles + round(EDGE * side) * np.array([1, 1, -1, -1])
    ends = np.rint(inner * np.tile([width / size[0], height / size[1]], 2)).astype(int)
    ends[:, 2:] = np.maximum(ends[:, 2:], ends[:, :2] + 1)
    for (x0, y0, x1, y1), heat in zip(ends.tolist(), heats, strict=True):
        weight = np.outer(_taper(y1 - y0), _taper(x1 - x0))
        middle = heat[margin[1] : len(heat) - margin[1], margin[0] : heat.shape[1] - margin[0]].astype(np.float32)
        total[y0:y1, x0:x1] += weight * cv2.resize(middle, (x1 - x0, y1 - y0))
        weights[y0:y1, x0:x1] += weight
    return total / weights


def _taper(count: int) -> Float32[np.ndarray, "count"]:
    """1 in the middle, falling towards both ends over what tiles share."""
    inwards = np.minimum(np.arange(count), np.arange(count)[::-1]) + 0.5
    return np.minimum(1, inwards / max(1, SHARED * count)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Decision:
    """How the photographs of a category are looked at."""

    side: int | None
    """Of the tiles, None for photographs as they are."""
    words: str


def in_tiles(whole: Whole, tiles: Tiles, images: Dataset) -> "Whole | TiledPredictor":
    """The predictor, which looks at `images` in tiles unless those are off."""
    return whole if tiles == "off" else TiledPredictor(whole, tiles, images)


class TiledPredictor:
    """A predictor that looks at large photographs in tiles, where that is asked for or where their objects are small.

    `images` are all that it is for: what auto chooses is the same whichever of them one process looks at. Raises
    UsageError for a method whose maps cannot be joined, and for tiles that are larger than every photograph.
    """

    def __init__(self, whole: Whole, tiles: Tiles, images: Dataset) -> None:
        if not _joinable(whole):
            raise UsageError(
                f"The maps of {whole.name} mean something else in each tile and cannot be joined. Use several, or a "
                "classifier such as cam, or --tiles off."
            )
        if tiles != "auto" and (tiles == "off" or tiles < 32):
            raise UsageError(f"Tiles of {tiles} pixels show nothing. Expected 32 or more, auto or off.")
        self.name, self.readout, self.classes, self.category = whole.name, whole.readout, whole.classes, whole.category
        self.whole, self.tiles, self.images = whole, tiles, images
        self.piece_by_piece = whole.piece_by_piece
        self.decisions: dict[int | None, Decision] = {}
        if isinstance(tiles, int) and not any(max(size) > tiles for _, size in _sizes(images, images.samples)):
            raise UsageError(
                f"Tiles of {tiles} pixels are larger than every photograph. Expected fewer pixels, auto or off."
            )

    def over(self, other: Whole) -> "TiledPredictor":
        """Another predictor, that looks at the same tiles."""
        found = copy(self)
        found.whole = other
        return found

    @property
    def several(self) -> bool:
        """Whether it finds several objects in an image unasked, as the predictor of whole photographs does."""
        return self.whole.several

    @property
    def how(self) -> InferenceOptions:
        """As the predictor's of whole photographs."""
        return self.whole.how

    def identity(self) -> dict[str, Any]:
        """That of the predictor of whole photographs, and the tiles."""
        return {**self.whole.identity(), "tiles": self.tiles}

    def pieces(self, dataset: Dataset) -> list[list[Sample]]:
        """As without tiles."""
        return self.whole.pieces(dataset)

    def maps(self, dataset: Dataset, progress: Progress, *, labels: bool = False) -> Iterator[ImageHeatmap]:
        """A map for every readable photograph, joined where it was looked at in tiles."""
        for samples in self.pieces(dataset):
            piece, decision = replace(dataset, samples=samples), self.decision(samples[0])
            found = (
                self.whole.maps(piece, progress, labels=labels)
                if decision.side is None
                else self._joined(piece, decision.side, progress, labels=labels)
            )
            for mapped in found:
                yield replace(mapped, notes=replace(mapped.notes, tiles=decision.words))

    def decision(self, of: Sample) -> Decision:
        """For the category of a sample; a trained network takes all images for one."""
        own = isinstance(self.whole, DiscoveryPredictor)
        key = of.label if own else None
        if key not in self.decisions:
            kin = [sample for sample in self.images.samples if sample.label == key or not own]
            self.decisions[key] = self._decide(evenly(kin, LEARNT))
        return self.decisions[key]

    def _decide(self, samples: list[Sample]) -> Decision:
        sizes = dict(_sizes(self.images, samples))
        if isinstance(self.tiles, int):
            return Decision(self.tiles, _cost(self.tiles, list(sizes.values())))
        large = [sample for sample in samples if max(sizes.get(sample.name, (0,))) >= LARGE * self.whole.size]
        if 2 * len(large) <= len(samples):
            return Decision(None, f"no tiles: most photographs have sides below {LARGE * self.whole.size} pixels")
        side, seen = self.whole.size, replace(self.images, samples=large)
        part = self._usual_side(seen, side)
        if part > FITTING:
            return Decision(None, f"no tiles: what tiles of {side} pixels show is large, {part:.0%} of their side")
        if part < SMALL and (half := self._usual_side(seen, side // 2)) <= FITTING:
            side, part = side // 2, half
        cost = _cost(side, [sizes[sample.name] for sample in large])
        return Decision(side, f"{cost}: what they show fits into them, {part:.0%} of their side")

    def _usual_side(self, dataset: Dataset, side: int) -> float:
        """The median side of what is found in some tiles of `side`, as a fraction of it; 1 where nothing is found."""
        tiles, sides = list(self._some_tiles(dataset, side, PROBED)), list[float]()
        if tiles and isinstance(self.whole, DiscoveryPredictor):
            self.whole.learn_tiles(tiles, EDGE)
        for images in tiles:
            for heat in self.whole.look(images)[0].numpy():
                boxes, _ = boxes_at(self.readout, heat, (1000, 1000), multiple=True)
                sides += np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1) / 1000**2).tolist()
        return float(np.median(sides)) if sides else 1.0

    def _joined(self, dataset: Dataset, side: int, progress: Progress, *, labels: bool) -> Iterator[ImageHeatmap]:
        notes, own = NOTHING, self.whole
        if isinstance(own, DiscoveryPredictor):
            parts = self._some_tiles(dataset, side, LEARNT)
            if first := list(islice(parts, 1)):  # else no image can be read, and each is named below
                notes = own.learn_tiles(chain(first, parts), EDGE)

        def look(sample: Sample) -> ImageHeatmap | None:
            try:
                picture = read_picture(dataset.source.read(sample.name), sample.name)
            except BrokenImageError as error:
                progress.broken[sample.name] = str(error)
                return None
            size = picture.shape[1], picture.shape[0]
            tiles, label, ranked = tile_corners(size, side), sample.label if labels else None, tuple[int, ...]()
            if self.classes:  # the class is that of the whole photograph
                _, ranked = self.whole.look(self._images([squash(picture, self.whole.size)]), label)
                label = ranked[0] if label is None else label
            parts = self._in_batches(picture, tiles)
            heats = [heat for part in parts for heat in self.whole.look(part, label)[0].numpy()]
            return ImageHeatmap(sample, size, join(size, side, tiles, heats), ranked, notes, side)

        with parallel_batches() as workers:
            for mapped in prefetch(look, dataset.samples, workers=workers, window=workers + 1):
                progress.advance(1)
                if mapped is not None:
                    yield mapped

    def _some_tiles(self, dataset: Dataset, side: int, count: int) -> Iterator[Float[Tensor, "batch 3 size size"]]:
        """About `count` tiles of photographs that are evenly taken, as many of each, at random places.

        Where none of these can be read, of the first one that can.
        """
        samples = evenly(dataset.samples, count // 2)
        pictures = _readable(dataset, samples)
        first = next(pictures, None) or next(_readable(dataset, dataset.samples), None)
        for number, picture in chain([first] if first else [], pictures):
            tiles = tile_corners((picture.shape[1], picture.shape[0]), side)
            drawn = np.random.default_rng(number).permutation(len(tiles))[: max(2, count // len(samples))]
            yield from self._in_batches(picture, tiles[drawn])

    def _in_batches(self, picture: Picture, tiles: Corners) -> Iterator[Float[Tensor, "batch 3 size size"]]:
        """Tiles of a photograph, which is mirrored at its edges."""
        margin = -min(0, int(tiles.min()))
        right, below = (max(0, int(tiles[:, 2 + k].max()) - picture.shape[1 - k]) for k in (0, 1))
        wide = cv2.copyMakeBorder(picture, margin, below, margin, right, cv2.BORDER_REFLECT)
        for start in range(0, len(tiles), self.how.batch_size):
            part = (tiles[start : start + self.how.batch_size] + margin).tolist()
            yield self._images([squash(wide[y0:y1, x0:x1], self.whole.size) for x0, y0, x1, y1 in part])

    def _images(self, pictures: list[Picture]) -> Float[Tensor, "batch 3 size size"]:
        return to_images(np.stack(pictures), self.how.device)


def _readable(dataset: Dataset, samples: Iterable[Sample]) -> Iterator[tuple[int, Picture]]:
    """The pictures of the samples that can be read, with their places."""
    for number, sample in enumerate(samples):
        try:
            picture = read_picture(dataset.source.read(sample.name), sample.name)
        except BrokenImageError:  # it is named when it is looked at
            continue
        yield number, picture


def _joinable(whole: Whole) -> bool:
    """Whether a value of its raw maps means the same in all tiles, and zero the background."""
    if isinstance(whole, DiscoveryPredictor):
        return whole.method.tiled is not None
    return whole.readout.normalisation == "max" and not whole.several


def _sizes(dataset: Dataset, samples: Iterable[Sample]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name and size of each readable photograph; the headers alone are read."""
    for sample in samples:
        with suppress(BrokenImageError):
            yield sample.name, sample.size or read_size(dataset.source.read(sample.name), sample.name)


def _cost(side: int, sizes: list[tuple[int, int]]) -> str:
    passes = np.median([len(tile_corners(size, side)) for size in sizes]) if sizes else 1
    return f"tiles of {side} pixels, {passes:.0f} passes of the network per photograph instead of one"
