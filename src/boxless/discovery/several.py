"""Several objects per image: deep descriptor transforming on a fine grid, and a discriminant taught by it.

In an image twice as large the first principal direction no longer runs over groups: each object is a hill of its own.
Six things differ from `ddt`. The images are 576 pixels, and the network keeps the stride of 32 that it was trained
with: 18 x 18 places in a third less time than with the stride of 16. The sign of the direction, where the borders do
not tell it (a picture full of objects has them at its border, too): background hangs together and covers, so that it is
the side whose map has the larger largest component and area. The direction only says where to look: what lies on its
other side is background, and what is common is the mean of its peaks. How far a place lies from the background towards
what is common, times the cosine of the angle between the two (what is as far in another direction is another thing),
and what an earlier step of the network, of 36 x 36 places, sees of it, is the teacher. The map is what a linear
discriminant of both steps' features makes of the teacher, the surer the more: what only looks like an object in one
picture is no direction that explains all. And a guided filter over the picture of 144 x 144 moves the edges of the
hills to those of the objects.

Size, stride, threshold, saddle and what is faint were chosen on training halves of blood smears and of made scenes of
one to eight objects; the discriminant on made scenes and the same training half.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from boxless.backbones.backbone import Backbone
from boxless.boxes.from_heatmap import Readout
from boxless.discovery.ddt import Ddt
from boxless.discovery.descriptors import border_mask
from boxless.discovery.guided_filter import guided
from boxless.discovery.pictures import EvenSample

PIXELS = 4
"""Pixels of the image per place of the enlarged map, along each side."""
FINER = {"lite0": "block10"}
"""The last step of a network, at this stride, that has twice as many places along each side."""
FINER_RIDGE, RIDGE = 0.1, 0.3
"""Share of the mean variance that is added to every variance: of that step's features, and of both steps' together."""
HIGHEST, SURER = 0.995, 2
"""Quantile of the teacher's maps that is taught as object in full, and the power by which less sure places count."""
FLAT = 2 / 255
"""Range of the colours of a picture that shows nothing: what its map shows is the network's padding."""
LEVELS = (0.15, 0.25, 0.4, 0.6)
"""Fractions of a map's highest place above which it is asked how like a background it is."""
CLEAR = 0.3
"""Standard deviations between inside and border from which on the border tells the sign of a direction."""
SAMPLE, TAUGHT = 64, 24
"""Images, evenly taken, that decide about the sign where the border does not and what is common; and of those, at most
as many that the discriminant learns from, which hardly is worse than from all."""
PEAKS = 6
"""Power of the first direction's map by which places count in what is common."""


class Several(Ddt):
    """A discriminant, on a fine grid, of what the first direction's peaks share; a hill for each object."""

    tiled = False
    size = 576
    """Side of the square that every image is resized to, in pixels."""
    stride = 32
    """Pixels of that square per place of the descriptors."""
    readout = Readout(
        0.26,
        "fixed: the method's default, chosen once on training boxes of smears and made scenes",
        "max",
        saddle=0.4,
        faint=0.55,
    )

    def __init__(self, backbone: Backbone, *, unit_length: bool = True, step: str = "") -> None:
        self.finer = FINER.get(backbone.name, "") if backbone.stride == self.stride else ""
        self.drawn = max(1, backbone.stride // PIXELS)
        """Places of the enlarged map per place of the descriptors, along each side."""
        self.beside = 4 * backbone.channels_of(self.finer) if self.finer else 0
        """Channels of a descriptor that hold the four finer places; those of the picture itself are the last."""
        self.colours = 3 * self.drawn**2
        super().__init__(backbone, unit_length=unit_length, step=step)

    @classmethod
    def build(cls, *, backbone: str | None = None, stride: int | None = None) -> "Several":
        """The method over ImageNet features; other networks than lite0, which may have no such stride, at ddt's."""
        own = cls.stride if backbone in (None, *FINER) else Ddt.stride
        return super().build(backbone=backbone, stride=stride or own)  # type: ignore[return-value]  # of this class

    def reset(self) -> None:
        """Start a new category."""
        super().reset()
        self.sampled = EvenSample(SAMPLE)
        self.beyond = self.weights = torch.zeros(0)
        self.offset = torch.zeros(())

    @torch.inference_mode()
    def descriptors(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch d h w"]:
        """Images in 0..1 -> ddt's descriptors, the finer step's of their quarters, and the colours of small parts."""
        if self.finer:
            fine, features = self.backbone.intermediates(images, self.finer, self.step)
            h, w = features.shape[-2:]
            fine = F.normalize(fine.float(), dim=1)
            if fine.shape[-2:] != (2 * h, 2 * w):  # of a side that 32 does not divide
                fine = F.adaptive_avg_pool2d(fine, (2 * h, 2 * w))
            parts = [self.scaled(features), F.pixel_unshuffle(fine, 2)]
        else:
            parts = [super().descriptors(images)]
            h, w = parts[0].shape[-2:]
        small = F.adaptive_avg_pool2d(images.float(), (self.drawn * h, self.drawn * w))
        return torch.cat([*parts, F.pixel_unshuffle(small, self.drawn)], dim=1)

    def _split(self, descriptors: Float[Tensor, "batch d h w"]) -> tuple[Tensor, ...]:
        """Descriptors -> ddt's, those of the finer step in twice as many places a side, and the colours."""
        own = descriptors.shape[1] - self.beside - self.colours
        features, fine, colours = torch.split(descriptors, [own, self.beside, self.colours], dim=1)
        return features, F.pixel_shuffle(fine, 2), colours

    @torch.inference_mode()
    def partial_fit(self, descriptors: Float[Tensor, "batch d h w"]) -> None:
        """Add a batch to the category's running mean and covariance."""
        super().partial_fit(descriptors[:, : descriptors.shape[1] - self.beside - self.colours])
        self.sampled.add(descriptors.half().cpu())

    @torch.inference_mode()
    def fit_done(self) -> None:
        """Fix what is common from what was learnt; raises BoxlessError when there was nothing to learn from."""
        super().fit_done()
        features, fine, _ = self._split(self.sampled.stacked().to(self.direction.device).float())
        maps = super().heatmap(features)
        self._look_towards(features, maps)
        if not self._border_tells(maps):
            other = self._background_like(features)
            self._look_towards(features, -maps)
            if self._background_like(features) >= other:
                self._look_towards(features, maps)
        teacher = self._alike(features)
        if self.finer:
            self._learn_finer(teacher, fine)
            teacher = self._made_finer(teacher, fine)
        some = slice(None, None, -(-len(teacher) // TAUGHT))
        places = torch.cat([_doubled(features[some]), fine[some]], dim=1) if self.finer else features[some]
        self._learn(places, teacher[some])

    def _look_towards(self, features: Float[Tensor, "batch d h w"], maps: Float[Tensor, "batch h w"]) -> None:
        """Take what is negative in maps of a direction for background, and their peaks for what is common."""
        behind, peaks = (maps < 0).float(), maps.clamp(min=0) ** PEAKS
        places = features - self.mean[:, None, None]
        away = torch.einsum("bdhw,bhw->d", places, behind) / behind.sum().clamp(min=1)
        self.background, places = self.mean + away, places - away[:, None, None]
        common = torch.einsum("bdhw,bhw->d", places, peaks) / peaks.sum().clamp(min=1e-12)
        rounding = 1e-3 * self.background.norm()  # images of one colour have nothing in common but that
        self.common = common * (common.norm() > rounding)

    def _alike(self, features: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch h w"]:
        """How alike the places are to what is common: 0 is background, 1 like it."""
        places = features - self.background[:, None, None]
        towards = torch.einsum("bdhw,d->bhw", places, F.normalize(self.common, dim=0)).clamp(min=0)
        alike: Tensor = towards**2 / (places.norm(dim=1) * self.common.norm()).clamp(min=1e-12)
        return alike

    def _learn(self, places: Float[Tensor, "batch d H W"], teacher: Float[Tensor, "batch H W"]) -> None:
        """The linear discriminant of the teacher's maps: ridge regression on the features of every place."""
        highest = float(np.quantile(teacher.cpu().numpy(), HIGHEST))
        target = (teacher / max(highest, 1e-12)).clamp(0, 1) ** SURER
        self.weights, mean = _regression(places, target, RIDGE)
        self.offset = target.mean() - mean @ self.weights

    def _learn_finer(self, alike: Float[Tensor, "batch h w"], fine: Float[Tensor, "batch c H W"]) -> None:
        """Regression of how alike places are on the mean of the finer step's features in each."""
        self.beyond, _ = _regression(F.avg_pool2d(fine, 2), alike, FINER_RIDGE)

    def _made_finer(self, alike: Float[Tensor, "batch h w"], fine: Float[Tensor, "batch c H W"]) -> Tensor:
        """A map of twice as many places a side: by how much the finer step sees more or less there than around.

        No place becomes more than twice what it was: where nothing is alike, there is nothing to be seen.
        """
        whole = _doubled(alike[:, None])[:, 0].clamp(min=0)
        seen = torch.einsum("bdhw,d->bhw", fine, self.beyond)
        more = seen - _doubled(F.avg_pool2d(seen[:, None], 2))[:, 0]
        return whole + more.clamp(-whole, whole)

    def _background_like(self, features: Float[Tensor, "batch d h w"]) -> float:
        """How far what is found hangs together and covers images, as background does.

        The share that an image's largest component has of it, plus its share of the image: the mean over LEVELS.
        """
        heats = [heat / max(float(heat.max()), 1e-12) for heat in self._alike(features).cpu().numpy()]
        found = [heat > level for heat in heats for level in LEVELS]
        return float(np.mean([_largest_share(side) + side.mean() for side in found]))

    def _border_tells(self, maps: Float[Tensor, "batch h w"]) -> bool:
        """Whether the sign of the direction is the one that the borders of the sampled images tell."""
        border = border_mask(*maps.shape[1:]).to(maps.device)
        if self.tiled:  # a tile's border is anywhere in the picture
            return False
        return bool(border.all() or maps[:, ~border].mean() - maps[:, border].mean() >= CLEAR * maps.std())

    @torch.inference_mode()
    def heatmap(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch H W"]:
        """Descriptors -> raw maps, as fine as the picture in them, of how much places look like the common object."""
        features, fine, colours = self._split(descriptors.float())
        own, finer = torch.split(self.weights, [features.shape[1], self.beside // 4])
        raw = torch.einsum("bdhw,d->bhw", features, own)
        if self.finer:
            seen = torch.einsum("bdhw,d->bhw", fine, finer)
            raw = _doubled(raw[:, None])[:, 0] + seen
        raw = (raw + self.offset).clamp(min=0)
        pictures = F.pixel_shuffle(colours, self.drawn).permute(0, 2, 3, 1).cpu().numpy()
        return torch.from_numpy(
            np.stack([_drawn(heat, one) for heat, one in zip(raw.cpu().numpy(), pictures, strict=True)])
        )


def _doubled(maps: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch d H W"]:
    """Maps of twice as many places along each side."""
    return F.interpolate(maps, scale_factor=2, mode="bicubic")


def _regression(
    features: Float[Tensor, "batch d h w"], target: Float[Tensor, "batch h w"], ridge: float
) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
    """Ridge regression of a target at every place on its features -> weights, and the features' mean."""
    mean, count = features.mean((0, 2, 3)), target.numel()
    covariance, together = torch.zeros(len(mean), len(mean)).to(mean), torch.zeros_like(mean)
    for some, wanted in zip(torch.split(features, 8), torch.split(target - target.mean(), 8), strict=True):
        places = some.permute(0, 2, 3, 1).flatten(0, 2) - mean
        covariance += places.T @ places / count
        together += places.T @ wanted.flatten() / count
    added = ridge * covariance.diagonal().mean().clamp(min=1e-12) * torch.eye(len(mean)).to(mean)
    return torch.linalg.solve(covariance + added, together), mean


def _drawn(heat: Float32[np.ndarray, "h w"], picture: Float32[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
    """A raw map, 0 or more, as fine as the picture and along its edges."""
    top = heat.max()
    if not top > 0 or np.ptp(picture, axis=(0, 1)).max() < FLAT:
        return np.zeros(picture.shape[:2], np.float32)
    fine = cv2.resize(heat / top, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    drawn = guided(np.clip(fine, 0, 1), np.ascontiguousarray(picture))
    return np.asarray(top * np.clip(drawn, 0, 1), np.float32)


def _largest_share(side: Bool[np.ndarray, "h w"]) -> float:
    """Of the places that are true, the share that the largest 4-connected component has; 0 for none."""
    sizes = cv2.connectedComponentsWithStats(side.astype(np.uint8), connectivity=4)[2][1:, cv2.CC_STAT_AREA]
    return float(sizes.max() / sizes.sum()) if len(sizes) else 0.0
