"""The method for a category, chosen from its images alone, and the threshold with it.

Deep descriptor transforming is the best wherever the network's features know the objects, and finds nothing where they
do not. Five signs speak against it, and none needs a box or a label (signs.py):

- agreement: the first principal directions of two neighbouring steps of the network give maps that do not agree. Then
  the direction is not the object's (the images share their background, and that is what it shows).
- margin: the inside of the images hardly lies above their border. Then nothing tells the direction's sign.
- place: the place alone explains the maps. A map that is the same hill in every image says where, and not what.
- frame: in a corner cut out of an image the map is another one. It follows the frame, which the network feels through
  the padding of its convolutions, and not what the corner shows. So the maps of an untrained network do.
- separation: the colours and textures inside discriminant's boxes are far from those outside, as they seldom are in
  everyday photographs. Then a direction learnt from these very images is the better one, however good ddt's is.

Where none speaks against it, ddt. Else, where colours set discriminant's boxes apart, the mean of discriminant and
contrast, which errs in other images. Where they do not: if the direction's sign is in doubt (agreement, margin), the
one of the two steps that has the clearer sign; if the place explains the maps and the frame does not, discriminant
weighed by its mean map, as long as there is more in them than that; contrast where neither is to be had.

The descriptors are computed once for all; the frame needs a second look, at a few corners. Where ddt is not taken and
colours set discriminant's boxes apart, a few images are looked at larger, and all of them if that sets colours apart
more clearly: an object of a few places is seen too coarsely (QR codes, the one set that gains). The signs and limits
were found on training halves: six sets that are no everyday photographs, 28 categories of Tiny ImageNet and ten of
CUB-200-2011. Some are known from a single set: what is weighed by its mean map, from X-rays; a map that follows the
frame, from skin. With so few sets they are a rule of thumb, and what was chosen is always said.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boxless.boxes.from_heatmap import Readout, normalise
from boxless.boxes.otsu import otsu
from boxless.discovery.contrast import Contrast
from boxless.discovery.ddt import Ddt
from boxless.discovery.discriminant import CUT, STAGES, Discriminant, with_cut_at_half
from boxless.discovery.notes import Notes, Sign
from boxless.discovery.signs import (
    Maps,
    agreement,
    border_margin,
    explained_by_place,
    floor_and_cut,
    held_by_frame,
    largest_boxes,
    separation,
)

FEWEST = 6
"""Images below which nothing is chosen: the category's directions and thresholds would be those of single images."""
AGREEMENT = 0.4
"""Correlation of the two steps' maps, on average, above which the first direction is taken for the object's."""
MARGIN, CLEAR_MARGIN = 0.2, 0.4
"""Margin below which ddt's direction has no sign, and above which a direction's sign is clear."""
PLACED = 0.77
"""Share of ddt's maps that the place may explain."""
CORNER = 0.72
"""Side of the corners that are cut out, as a share of the image's: 13 of 18 places."""
FRAME = 0.4
"""Share of the maps of corners that may stay with the frame."""
SEPARATION, COLOURED = 0.5, 0.3
"""Separation above which the images are not photographs, and above which colours tell the object at all."""
APART = 1.2
"""How many times as high the separation of a few larger images has to be, for all to be looked at so."""
FRAMED_ALIKE, ONE_MAP = 0.7, 0.95
"""Share of discriminant's maps that the place explains where images are framed alike, and where it knows no more."""
CONTRAST_CUT = 0.25

Choice = Literal["ddt", "deeper ddt", "discriminant and contrast", "discriminant and place", "contrast"]


class Auto(Discriminant):
    """The best of several methods for each category, by what its images show; says what it chose."""

    readout = Readout(CUT, "label-free: the category's own, for the method that was chosen for it", "none", saddle=0.4)

    looks_again = 24
    larger = (448, 640)

    def reset(self) -> None:
        """Start a new category."""
        super().reset()
        self.chosen: Choice = "ddt"
        self.reads_parts = True
        self.choice = self.runner_up = ""
        self.signs: Signs | None = None
        self.few = self.corner = torch.zeros(0, 0, 0, 0)
        self.levels = [(0.0, Ddt.readout.threshold)] * 2
        self.place = np.ones((1, 1), np.float32)
        self.placed_cut = CUT

    @torch.inference_mode()
    def look_again(
        self, images: Float[Tensor, "batch 3 height width"], descriptors: Float[Tensor, "batch d h w"]
    ) -> None:
        """Keep ddt's descriptors of a corner of each image, cut out where places lie, beside those of the whole."""
        places, step = round(CORNER * descriptors.shape[-1]), images.shape[-1] // descriptors.shape[-1]
        # By torch: an engine would compile the network anew for the size of the corner.
        (features,) = self.backbone.compute(_corners(images, places * step), STAGES[0])
        self.corner = F.normalize(features.float(), dim=1).cpu()
        self.few = descriptors.float().cpu()

    @torch.inference_mode()
    def better_size(self, sides: Sequence[int], look: Callable[[int], Float[Tensor, "image d h w"]]) -> tuple[int, str]:
        """The side at which discriminant's boxes set colours apart best, where they do and ddt is not taken."""
        if self.signs is None or self.chosen == "ddt" or self.signs.separation < COLOURED:
            return self.size, ""
        best, apart = self.size, self._separation(self.few)
        before = max(apart, self.signs.separation)  # few images tell less surely than all
        for side in sides:
            found = self._separation(look(side).float().cpu())
            if found <= apart:
                break
            best, apart = side, found
        if apart < APART * before or best == self.size:
            return self.size, ""
        times = (best / self.size) ** 2
        return best, (
            f"looked at again in {best} pixels instead of {self.size}, where each image takes {times:.1f} times as "
            f"long: in a few that were tried, discriminant's boxes set colours and textures apart by {apart:.2f} "
            f"there, and by {before:.2f} at most here"
        )

    def _separation(self, descriptors: Float[Tensor, "image d h w"]) -> float:
        """The sign of that name, of a discriminant that has seen these few images alone."""
        few = Discriminant(self.backbone)
        few.partial_fit(descriptors)
        boxes = largest_boxes(few.fit(descriptors), few.cut)
        return separation(boxes, torch.split(descriptors, self.parts, dim=1)[-1].numpy())

    @torch.inference_mode()
    def fit_done(self) -> None:
        """Choose the method and fit it; raises BoxlessError when there was nothing to learn from."""
        if not 0 < len(self.sampled.kept) < FEWEST:
            super().fit_done()
            return
        self.choice = f"ddt: too few images to choose by ({len(self.sampled.kept)}), expected {FEWEST} or more"

    def fit(self, descriptors: Float[Tensor, "image d h w"]) -> Maps:
        """Choose by some images of the category, and fit -> discriminant's maps."""
        ddt, deeper = (self.first_direction(descriptors, stage) for stage in (0, 1))
        self.levels = [floor_and_cut(maps) for maps in (ddt, deeper)]
        learnt = super().fit(descriptors)
        scaled = np.stack([normalise(heat) for heat in learnt])
        self.place = scaled.mean(0) / max(float(scaled.mean(0).max()), 1e-9)
        self.placed_cut = float(np.median([otsu(heat * self.place) for heat in scaled]))
        colours = torch.split(descriptors, self.parts, dim=1)[-1].numpy()
        self.signs = Signs(
            agreement=agreement(ddt, deeper),
            margin=border_margin(ddt),
            deeper_margin=border_margin(deeper),
            explained=explained_by_place(ddt),
            frame=self._frame(),
            learnt_explained=explained_by_place(learnt),
            separation=separation(largest_boxes(learnt, self.cut), colours),
        )
        (self.chosen, self.runner_up), self.choice = choose(self.signs)
        self.reads_parts = self.chosen in ("ddt", "deeper ddt")
        return learnt

    def _frame(self) -> float:
        """What of ddt's maps of corners stays with the frame; nothing where no image was looked at again."""
        if not len(self.corner):
            return 0.0
        whole = torch.split(self.few, self.parts, dim=1)[0]
        wholes, corners = self.first_direction(whole, 0), self.first_direction(self.corner, 0)
        contents = _corners(torch.from_numpy(wholes)[:, None], corners.shape[-1])[:, 0].numpy()
        return held_by_frame(corners, contents, wholes)

    def notes(self) -> Notes:
        """What was chosen for the category, by which signs, and what else was noticed."""
        signs = () if self.signs is None else self.signs.beside_limits()
        return replace(super().notes(), chosen=self.chosen, runner_up=self.runner_up, signs=signs)

    def heatmap(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch h w"]:
        """Descriptors -> maps in 0..1 of the chosen method, rescaled so that its threshold lies at one half."""
        descriptors = descriptors.float().cpu()
        if self.chosen == "contrast":
            return self._contrast(descriptors)
        if self.chosen in ("ddt", "deeper ddt"):
            stage = 0 if self.chosen == "ddt" else 1
            floor, cut = self.levels[stage]
            raw = self.first_direction(descriptors, stage) - floor
            return torch.from_numpy(np.stack([with_cut_at_half(heat, cut, "max") for heat in raw]))
        if self.chosen == "discriminant and contrast":
            return (super().heatmap(descriptors) + self._contrast(descriptors)) / 2
        weighed = [normalise(heat) * self.place for heat in self.learnt_maps(descriptors)]
        return torch.from_numpy(np.stack([with_cut_at_half(heat, self.placed_cut) for heat in weighed]))

    def _contrast(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch h w"]:
        """The maps of border contrast, from its part of the descriptors, its threshold at one half."""
        maps = self.contrast.heatmap(torch.split(descriptors, self.parts, dim=1)[-1]).numpy()
        how = Contrast.readout.normalisation
        return torch.from_numpy(np.stack([with_cut_at_half(heat, CONTRAST_CUT, how) for heat in maps]))


@dataclass(frozen=True, slots=True)
class Signs:
    """What the images of a category say of the methods: of ddt, of the deeper step and of discriminant (learnt)."""

    agreement: float
    margin: float
    deeper_margin: float
    explained: float
    frame: float
    learnt_explained: float
    separation: float

    def beside_limits(self) -> tuple[Sign, ...]:
        """Those that can speak against ddt."""
        return (
            Sign("agreement", self.agreement, AGREEMENT, above=False, low=-1),
            Sign("margin", self.margin, MARGIN, above=False, low=-0.5, high=1.5),
            Sign("place", self.explained, PLACED, above=True),
            Sign("frame", self.frame, FRAME, above=True),
            Sign("separation", self.separation, SEPARATION, above=True, high=1.5),
        )


def choose(signs: Signs) -> tuple[tuple[Choice, Choice], str]:
    """The method and the one that would have been next, and both in words with the reason."""
    against = _against_ddt(signs)
    sign_in_doubt = signs.agreement < AGREEMENT or signs.margin < MARGIN
    order: tuple[Choice, Choice]
    if not against:
        order = ("ddt", "discriminant and contrast")
        why = (
            f"its maps agree with the next step's ({signs.agreement:.2f}), lie higher inside than along the border "
            f"({signs.margin:.2f}), are not explained by the place ({signs.explained:.2f}) and do not follow the frame "
            f"({signs.frame:.2f}), and the boxes of discriminant do not set colours apart ({signs.separation:.2f}): no "
            "sign speaks against it"
        )
    elif signs.separation >= COLOURED:
        order = ("discriminant and contrast", "ddt")
        why = f"{against}; discriminant's boxes set colours and textures apart ({signs.separation:.2f})"
    elif not sign_in_doubt and signs.frame < FRAME and FRAMED_ALIKE <= signs.learnt_explained < ONE_MAP:
        order = ("discriminant and place", "contrast")
        why = f"{against}; the place explains discriminant's maps, too ({signs.learnt_explained:.2f}): framed alike"
    elif sign_in_doubt and max(signs.margin, signs.deeper_margin) >= CLEAR_MARGIN:
        order = ("ddt", "deeper ddt") if signs.margin >= signs.deeper_margin else ("deeper ddt", "ddt")
        why = (
            f"{against}; of the two steps it has the clearer difference of inside and border "
            f"({signs.margin:.2f} for ddt, {signs.deeper_margin:.2f} for the deeper step)"
        )
    else:
        order = ("contrast", "deeper ddt")
        why = f"{against}, and neither colours nor the deeper step nor the framing tell the object"
    return order, f"{order[0]}: {why}; next would be {order[1]}"


def _against_ddt(signs: Signs) -> str:
    """The first sign that speaks against ddt, in words; empty for none."""
    if signs.agreement < AGREEMENT:
        return f"ddt's maps do not agree with the next step's ({signs.agreement:.2f}, limit {AGREEMENT})"
    if signs.margin < MARGIN:
        return f"ddt's maps are no higher inside than along the border ({signs.margin:.2f}, limit {MARGIN})"
    if signs.explained >= PLACED:
        return f"the place alone explains ddt's maps ({signs.explained:.2f}, limit {PLACED})"
    if signs.frame >= FRAME:
        return f"ddt's maps follow the frame and not what it shows ({signs.frame:.2f}, limit {FRAME})"
    if signs.separation >= SEPARATION:
        return f"these are no everyday photographs (separation by colours {signs.separation:.2f}, limit {SEPARATION})"
    return ""


def _corners(grids: Float[Tensor, "image c h w"], side: int) -> Float[Tensor, "image c side side"]:
    """In turn the top left and the bottom right corner of each."""
    cut = [grid[:, :side, :side] if i % 2 == 0 else grid[:, -side:, -side:] for i, grid in enumerate(grids)]
    return torch.stack(cut)
