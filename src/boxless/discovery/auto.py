"""The method for a category, chosen from its images alone: ddt, discriminant or contrast.

Deep descriptor transforming is the best of the three wherever the network's features know the objects, and finds
nothing where they do not. Signs tell, without any box or label:

- agreement: the first principal directions of two neighbouring steps of the network give the same map. Where they do
  not, the direction is not the object's (the images share their background, and that is what it shows).
- steadiness: the box hardly shrinks when the threshold rises. A map that is one gentle hill over the whole image has
  no box to find.
- separation: the colours and textures inside discriminant's boxes are far from those outside, as they seldom are in
  everyday photographs. Then a direction learnt from these very images is the better one, however good ddt's is.

ddt is taken where no sign speaks against it. Where agreement is missing, discriminant if its boxes agree with those of
contrast by more than the boxes of different images do; contrast if the two steps see the opposite of each other.
Without steadiness, or with separation, discriminant. The descriptors are computed once for all three.

The signs and their limits were found on training halves: six sets that are no everyday photographs, 15 categories of
Tiny ImageNet and ten of CUB-200-2011. With so few sets they are a rule of thumb, and what was chosen is always said.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from boxless.boxes.from_heatmap import Heatmap, Readout, find_boxes
from boxless.boxes.iou import box_ious
from boxless.discovery.contrast import Contrast
from boxless.discovery.ddt import Ddt
from boxless.discovery.discriminant import CUT, Discriminant, with_cut_at_half

FEWEST = 6
"""Images below which nothing is chosen: the category's directions and thresholds would be those of single images."""
AGREEMENT = 0.4
"""Correlation of the two steps' maps, on average, above which the first direction is taken for the object's."""
CONTRADICTION = -0.3
"""Correlation below which the two steps see the opposite of each other, and neither is believed."""
STEADINESS = 0.4
"""Share of a box's area that is left when the threshold rises from .53 to .77, above which a map has a box to find."""
ACCORD = 0.15
"""Chance-corrected overlap of the boxes of discriminant and contrast, above which both are taken to see one object."""
SEPARATION = 0.5
"""Distance of colours inside discriminant's boxes from those outside, above which the images are not photographs."""
LOW, HIGH = 0.53, 0.77
CONTRAST_CUT = 0.25
FRAME = (288, 288)

Maps = Float32[np.ndarray, "image h w"]
Choice = Literal["ddt", "discriminant", "contrast"]


class Auto(Discriminant):
    """The best of ddt, discriminant and contrast for each category, by what its images show; says what it chose."""

    readout = Readout(CUT, "label-free: the category's own, for the method that was chosen for it", "none")

    def reset(self) -> None:
        """Start a new category."""
        super().reset()
        self.chosen: Choice = "ddt"
        self.choice = ""

    @torch.inference_mode()
    def fit_done(self) -> None:
        """Choose the method and fit it; raises BoxlessError when there was nothing to learn from."""
        if not 0 < len(self.sampled.kept) < FEWEST:
            super().fit_done()
            return
        self.choice = f"ddt: {len(self.sampled.kept)} images are too few to choose by, expected {FEWEST} or more"

    def fit(self, descriptors: Float[Tensor, "image d h w"]) -> Maps:
        """Choose by some images of the category, and fit -> the maps of the method that was chosen."""
        ddt, deeper = (self.first_direction(descriptors, stage) for stage in (0, 1))
        maps = {"ddt": ddt, "discriminant": super().fit(descriptors), "contrast": self.contrast_maps(descriptors)}
        boxes = _boxes(maps["discriminant"], self.cut)
        colours = torch.split(descriptors, self.parts, dim=1)[-1].numpy()
        signs = Signs(
            agreement=agreement(ddt, deeper),
            steadiness=steadiness(ddt),
            separation=separation(boxes, colours),
            accord=accord(boxes, _boxes(maps["contrast"], CONTRAST_CUT)),
        )
        self.chosen, self.choice = choose(signs)
        return maps[self.chosen]

    def contrast_maps(self, descriptors: Float[Tensor, "image d h w"]) -> Maps:
        """The maps of border contrast, from its part of the descriptors."""
        return self.contrast.heatmap(torch.split(descriptors, self.parts, dim=1)[-1].float().cpu()).numpy()

    def heatmap(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch h w"]:
        """Descriptors -> maps in 0..1 of the chosen method, rescaled so that its threshold lies at one half."""
        if self.chosen == "discriminant":
            return super().heatmap(descriptors)
        if self.chosen == "ddt":
            raw, cut, how = (
                self.first_direction(descriptors.float(), 0),
                Ddt.readout.threshold,
                Ddt.readout.normalisation,
            )
        else:
            raw, cut, how = self.contrast_maps(descriptors), CONTRAST_CUT, Contrast.readout.normalisation
        return torch.from_numpy(np.stack([with_cut_at_half(heat, cut, how) for heat in raw]))


@dataclass(frozen=True, slots=True)
class Signs:
    """What the images of a category say of the three methods."""

    agreement: float
    steadiness: float
    separation: float
    accord: float


def choose(signs: Signs) -> tuple[Choice, str]:
    """The method, and in words why and what would have been next."""
    if signs.agreement < AGREEMENT and signs.accord >= ACCORD:
        why = (
            f"ddt's maps do not agree with the next step's ({signs.agreement:.2f}, limit {AGREEMENT}), and the boxes "
            f"of discriminant and contrast share {signs.accord:.2f} beyond chance (limit {ACCORD})"
        )
        order = ("discriminant", "contrast")
    elif signs.agreement < CONTRADICTION:
        why = (
            f"ddt's maps contradict the next step's ({signs.agreement:.2f}, limit {CONTRADICTION}), and the boxes of "
            f"discriminant and contrast share no more than {signs.accord:.2f} beyond chance (limit {ACCORD})"
        )
        order = ("contrast", "ddt")
    elif signs.steadiness < STEADINESS:
        why = f"ddt's boxes shrink when the threshold rises ({signs.steadiness:.2f} stays, limit {STEADINESS})"
        order = ("discriminant", "ddt")
    elif signs.separation >= SEPARATION:
        why = f"its boxes set colours and textures apart ({signs.separation:.2f}, limit {SEPARATION})"
        order = ("discriminant", "ddt")
    else:
        why = (
            f"agreement of its maps with the next step's {signs.agreement:.2f}, steadiness of its boxes "
            f"{signs.steadiness:.2f}, separation by discriminant's boxes {signs.separation:.2f}, accord of these with "
            f"contrast's {signs.accord:.2f}: no sign speaks against it"
        )
        order = ("ddt", "discriminant")
    return order[0], f"{order[0]}: {why}; next would be {order[1]}"  # type: ignore[return-value]


def agreement(one: Maps, other: Maps) -> float:
    """Mean correlation, over images, of two maps of the same image; a constant map agrees with none."""
    return float(np.mean([_correlation(a, b) for a, b in zip(one, other, strict=True)]))


def steadiness(maps: Maps, low: float = LOW, high: float = HIGH) -> float:
    """Mean share of the box at threshold `low` that the box at `high` still covers, by area; 0 where there is none."""
    first, last = (_areas(_boxes(maps, threshold)) for threshold in (low, high))
    return float(np.mean(np.divide(last, first, out=np.zeros_like(last), where=first > 0)))


def separation(boxes: Float32[np.ndarray, "image 4"], colours: Float32[np.ndarray, "image d h w"]) -> float:
    """How far colours and textures inside the boxes are from those outside, on average over images.

    The squared distance of the two means, as a share of the descriptors' variance over all places; 0 for no box.
    """
    images, _, h, w = colours.shape
    scaled = (colours - colours.mean((0, 2, 3), keepdims=True)) / np.maximum(
        colours.std((0, 2, 3), keepdims=True), 1e-6
    )
    across, down = ((np.arange(n) + 0.5) * side / n for n, side in ((w, FRAME[0]), (h, FRAME[1])))
    distances = np.zeros(images)
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        inside = np.outer((down >= y0) & (down < y1), (across >= x0) & (across < x1))
        if inside.any() and not inside.all():
            apart = scaled[i][:, inside].mean(1) - scaled[i][:, ~inside].mean(1)
            distances[i] = float((apart**2).mean())
    return float(distances.mean())


def accord(one: Float32[np.ndarray, "image 4"], other: Float32[np.ndarray, "image 4"]) -> float:
    """Mean IoU of two boxes of each image, corrected for chance: 0 for what boxes of different images share, at most 1.

    Chance is the mean IoU with the other method's box of another image, over all other images.
    """
    ious = np.stack([box_ious(other, box[None], 0, FRAME) for box in one])  # (image, image)
    same, count = float(np.trace(ious)), len(ious)
    if count < 2:
        return 0.0
    chance = (ious.sum() - same) / (count * (count - 1))
    return float((same / count - chance) / max(1 - chance, 1e-9))


def _boxes(maps: Maps, threshold: float) -> Float32[np.ndarray, "image 4"]:
    """The largest component's box of every map, in a frame of FRAME pixels; zeros for none."""
    found = [find_boxes(heat, FRAME, threshold)[0] for heat in maps]
    return np.stack([boxes[0] if len(boxes) else np.zeros(4, np.float32) for boxes in found])


def _areas(boxes: Float32[np.ndarray, "image 4"]) -> Float32[np.ndarray, "image"]:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def _correlation(a: Heatmap, b: Heatmap) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0
