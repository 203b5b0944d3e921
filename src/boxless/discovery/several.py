"""Several objects per image: deep descriptor transforming on a fine grid, its maps drawn along the picture's edges.

In an image twice as large the first principal direction no longer runs over groups: each object is a hill of its own.
Four things differ from `ddt`. The images are 576 pixels, for 36 x 36 places. The sign of the direction, where the
borders do not tell it (a picture full of objects has them at its border, too): background hangs together, so that it is
the side whose map has the larger largest component. The direction only says where to look: what lies on its other side
is background, and what is common is the mean of its peaks. A map is how far a place lies from the background towards
what is common, times the cosine of the angle between the two: what is as far in another direction is another thing. And
each map is enlarged four times by a guided filter over the picture, which moves the edges of the hills to those of the
objects.

Size, threshold, saddle and what is faint were chosen on training halves of blood smears and of made scenes of one to
eight objects, and threshold and form of the map on photographs of birds, too.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from boxless.boxes.from_heatmap import Readout
from boxless.discovery.ddt import Ddt
from boxless.discovery.descriptors import border_mask
from boxless.discovery.guided_filter import guided
from boxless.discovery.pictures import EvenSample

FINER = 4
"""Places of the enlarged map per place of the descriptors, along each side."""
COLOURS = 3 * FINER**2
"""Channels of a descriptor that hold the picture itself."""
CLEAR = 0.3
"""Standard deviations between inside and border from which on the border tells the sign of a direction."""
SAMPLE = 64
"""Images that decide about the sign where the border does not, and what is common; evenly taken."""
PEAKS = 6
"""Power of the first direction's map by which places count in what is common."""


class Several(Ddt):
    """What is common to the peaks of the first principal direction, on a fine grid; a hill for each object."""

    tiled = False
    size = 576
    """Side of the square that every image is resized to, in pixels."""
    readout = Readout(
        0.27,
        "fixed: the method's default, chosen once on training boxes of smears, made scenes and birds",
        "max",
        saddle=0.4,
        faint=0.55,
    )

    def reset(self) -> None:
        """Start a new category."""
        super().reset()
        self.sampled = EvenSample(SAMPLE)

    @torch.inference_mode()
    def descriptors(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch d h w"]:
        """Images in 0..1 -> ddt's descriptors, and the colours of 4 x 4 parts of every place."""
        features = super().descriptors(images)
        h, w = features.shape[-2:]
        small = F.adaptive_avg_pool2d(images.float(), (FINER * h, FINER * w))
        return torch.cat([features, F.pixel_unshuffle(small, FINER)], dim=1)

    @torch.inference_mode()
    def partial_fit(self, descriptors: Float[Tensor, "batch d h w"]) -> None:
        """Add a batch to the category's running mean and covariance."""
        features = descriptors[:, :-COLOURS]
        super().partial_fit(features)
        self.sampled.add(features.half().cpu())

    @torch.inference_mode()
    def fit_done(self) -> None:
        """Fix what is common from what was learnt; raises BoxlessError when there was nothing to learn from."""
        super().fit_done()
        features = self.sampled.stacked().to(self.direction.device).float()
        maps = super().heatmap(features)
        self._look_towards(features, maps)
        if self._border_tells(maps):
            return
        together = self._together(features)
        self._look_towards(features, -maps)
        if self._together(features) >= together:
            self._look_towards(features, maps)

    def _look_towards(self, features: Float[Tensor, "batch d h w"], maps: Float[Tensor, "batch h w"]) -> None:
        """Take what is negative in maps of a direction for background, and their peaks for what is common."""
        behind, peaks = (maps < 0).float(), maps.clamp(min=0) ** PEAKS
        places = features - self.mean[:, None, None]
        away = torch.einsum("bdhw,bhw->d", places, behind) / behind.sum().clamp(min=1)
        self.background, places = self.mean + away, places - away[:, None, None]
        common = torch.einsum("bdhw,bhw->d", places, peaks) / peaks.sum().clamp(min=1e-12)
        rounding = 1e-3 * self.background.norm()  # images of one colour have nothing in common but that
        self.common = common * (common.norm() > rounding)

    def _alike(self, features: Float[Tensor, "batch d h w"]) -> Float32[np.ndarray, "batch h w"]:
        """How alike the places are to what is common: 0 is background, 1 like it."""
        places = features - self.background[:, None, None]
        towards = torch.einsum("bdhw,d->bhw", places, F.normalize(self.common, dim=0)).clamp(min=0)
        alike = towards**2 / (places.norm(dim=1) * self.common.norm()).clamp(min=1e-12)
        return np.asarray(alike.cpu().numpy())

    def _together(self, features: Float[Tensor, "batch d h w"]) -> float:
        """How far what is found hangs together: the share of an image's largest component, its mean."""
        maps = self._alike(features)
        return float(np.mean([_largest_share(heat > self.readout.threshold * heat.max()) for heat in maps]))

    def _border_tells(self, maps: Float[Tensor, "batch h w"]) -> bool:
        """Whether the sign of the direction is the one that the borders of the sampled images tell."""
        border = border_mask(*maps.shape[1:]).to(maps.device)
        if self.tiled:  # a tile's border is anywhere in the picture
            return False
        return bool(border.all() or maps[:, ~border].mean() - maps[:, border].mean() >= CLEAR * maps.std())

    @torch.inference_mode()
    def heatmap(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch H W"]:
        """Descriptors -> raw maps, four times as fine, of how alike the places are to what is common."""
        raw = self._alike(descriptors[:, :-COLOURS].float())
        pictures = F.pixel_shuffle(descriptors[:, -COLOURS:].float(), FINER).permute(0, 2, 3, 1).cpu().numpy()
        return torch.from_numpy(np.stack([_drawn(heat, one) for heat, one in zip(raw, pictures, strict=True)]))


def _drawn(heat: Float32[np.ndarray, "h w"], picture: Float32[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
    """A raw map, 0 or more, as fine as the picture and along its edges."""
    top = heat.max()
    if not top > 0:
        return np.zeros(picture.shape[:2], np.float32)
    fine = cv2.resize(heat / top, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    drawn = guided(np.clip(fine, 0, 1), np.ascontiguousarray(picture))
    return np.asarray(top * np.clip(drawn, 0, 1), np.float32)


def _largest_share(side: Bool[np.ndarray, "h w"]) -> float:
    """Of the places that are true, the share that the largest 4-connected component has; 0 for none."""
    sizes = cv2.connectedComponentsWithStats(side.astype(np.uint8), connectivity=4)[2][1:, cv2.CC_STAT_AREA]
    return float(sizes.max() / sizes.sum()) if len(sizes) else 0.0
