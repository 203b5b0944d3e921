"""A closer look at what was found: the part of the photograph around its box goes through the network again, larger.

A first look squashes a whole photograph to a few hundred pixels, and its map has a place for every sixteenth of them:
a box cannot be tighter than that. The part around the box has the object larger, and its map, by the method as it was
fitted to whole photographs, takes the place of that part of the first one. Worth it only where the first look had fewer
pixels than the photograph.

Ours; the nearest kin are the zoom of recurrent attention (Fu, Zheng and Mei, CVPR 2017) and coarse-to-fine search.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from boxless.boxes import FINEST
from boxless.boxes.from_heatmap import Heatmap, Readout, boxes_at
from boxless.data.dataset import Sample
from boxless.data.images import read_part
from boxless.data.sources import Source
from boxless.data.transforms import to_images
from boxless.discovery import Discoverer
from boxless.inference.predictors import InferenceOptions
from boxless.runtime.errors import BrokenImageError

CLOSER = ("auto", "ddt", "position")
"""Methods that may look closer; auto does so in categories for which it has chosen ddt."""
GROWN, LEAST = 1.25, 0.2
"""Sides of the part, in sides of the box, and at least as a share of the photograph's."""

Part = tuple[int, int, int, int]
"""x0 y0 x1 y1 in pixels of the upright photograph, half-open."""


def part_around(box: Float32[np.ndarray, "4"], size: tuple[int, int]) -> Part:
    """The part of an image of `size` (width, height) that shows a box in pixels with its surroundings."""
    ends = list[tuple[int, int]]()
    for low, high, length in zip(box[:2], box[2:], size, strict=True):
        side = float(np.clip(GROWN * (high - low), LEAST * length, length))
        start = float(np.clip((low + high - side) / 2, 0, length - side))
        ends.append((int(start), min(length, int(np.ceil(start + side)))))
    (x0, x1), (y0, y1) = ends
    return x0, y0, x1, y1


def put_in(size: tuple[int, int], part: Part, whole: Heatmap, closer: Heatmap) -> Float32[np.ndarray, "H W"]:
    """The map of an image of `size`, twice as fine as that of its part, which takes the place of what was there."""
    starts, lengths = part[:2], (part[2] - part[0], part[3] - part[1])
    finer = 2 * np.array(closer.shape[::-1]) / lengths
    finer *= min(1, FINEST / (finer * size).max())
    counts = np.maximum(1, np.rint(finer * size)).astype(int).tolist()
    joined = np.asarray(cv2.resize(whole.astype(np.float32), counts), np.float32)
    # Read where the centres of the new places lie: no place of the part is moved to one of the whole image.
    inside, read = [], []
    for start, length, count, side, places in zip(starts, lengths, counts, size, closer.shape[::-1], strict=True):
        centres = (np.arange(count) + 0.5) * side / count - start
        inside.append((centres >= 0) & (centres < length))
        read.append((centres[inside[-1]] * places / length - 0.5).astype(np.float32))
    if all(one.any() for one in inside):
        across, down = np.meshgrid(*read)
        seen = cv2.remap(closer.astype(np.float32), across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        joined[np.ix_(inside[1], inside[0])] = seen
    return joined


@dataclass(frozen=True, slots=True)
class CloserLook:
    """What looks at parts of photographs again: a method that is fitted, and how its images go through the network."""

    method: Discoverer
    readout: Readout
    size: int
    how: InferenceOptions
    source: Source

    def better(self, rows: Sequence[tuple[Sample, tuple[int, int]]], heats: Sequence[Heatmap]) -> list[Heatmap]:
        """The maps of images with their sizes -> the same, those with their parts in place that have pixels for it.

        An image that can no longer be read keeps its first map.
        """
        found, parts, places, pictures = list(heats), list[Part](), list[int](), []
        for place, ((sample, size), heat) in enumerate(zip(rows, heats, strict=True)):
            boxes, _ = boxes_at(self.readout, heat, size)
            if not len(boxes) or max(size) <= self.size:
                continue
            part = part_around(boxes[0], size)
            if part == (0, 0, *size):
                continue
            try:
                pictures.append(read_part(self.source.read(sample.name), sample.name, self.size, part))
            except BrokenImageError:
                continue
            parts.append(part)
            places.append(place)
        if pictures:
            with self.how.precision():
                descriptors = self.method.descriptors(to_images(np.stack(pictures), self.how.device))
            closer = self.method.heatmap(descriptors).float().cpu().numpy()
            for place, part, heat in zip(places, parts, closer, strict=True):
                found[place] = put_in(rows[place][1], part, found[place], heat)
        return found
