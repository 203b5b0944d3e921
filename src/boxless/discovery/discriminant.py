"""Self-trained linear discriminant: what tells the objects' places from all others, learnt from the images alone.

Where a category is none that ImageNet knows, the first principal direction of its descriptors need not be the object's:
in images that share their background it is the background's. But it is a good enough teacher. Its places above a high
threshold (the largest component of each image) are taken as object, all others as background, and Fisher's linear
discriminant between the two (ridge regression on the mask, with the descriptors' total covariance) is a new map. Where
it is two thirds sure, the largest component of each image teaches the next one. A mistake that a teacher makes in one
image and not in the others does not survive, because one direction has to explain the masks of all images.

The descriptors are two steps of the backbone (unit length) and the colours and textures of `contrast`; the teacher is
the deeper step's first direction. The last map is cut at the median of Otsu's thresholds over the category's images.
Self-training of this kind is common; this form is ours, and was found on training halves of six sets that are no
everyday photographs. On everyday photographs it keeps the most telling part of an object, and ddt is better.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from boxless.backbones import build_backbone
from boxless.backbones.backbone import Backbone
from boxless.backbones.fuse_batchnorm import folded
from boxless.boxes.from_heatmap import Normalisation, Readout, normalise
from boxless.boxes.otsu import otsu
from boxless.discovery import Discoverer, mixture
from boxless.discovery.contrast import Contrast
from boxless.discovery.descriptors import Moments
from boxless.discovery.pictures import EvenSample
from boxless.runtime.errors import BoxlessError, UsageError

STAGES = ("block14", "block15")
"""Steps of lite0 whose features are descriptors: ddt's, and the one after it, whose first direction is the teacher."""
ROUNDS = 3
"""Discriminants that are fitted one after the other; the masks of more change little."""
RIDGE = 0.03
"""Share of the mean variance that is added to every variance."""
SURE = 2 / 3
"""Estimated share of object above which a place is taught as object: teachers rather see too much than too little."""
SAMPLE, PLACES = 256, 160_000
"""Images of a category that are learnt from at most, evenly taken; and places of their maps, which need memory."""
CUT = 0.5
"""Where a map's own threshold comes to lie once the map is rescaled, so that one readout serves every category."""


class Discriminant(Discoverer):
    """Linear discriminant between the places that a category's first direction takes for object and all others."""

    size = 288
    """Side of the square that every image is resized to, in pixels."""
    stride = 16
    """Pixels of that square per place of the map."""
    readout = Readout(CUT, "label-free: the category's own, the median of Otsu's over its maps", "none", saddle=0.4)

    def __init__(self, backbone: Backbone) -> None:
        _refuse_other(backbone.name)
        self.backbone = backbone.eval()
        self.contrast = Contrast()
        widths = [backbone.channels_of(stage) for stage in STAGES]
        self.parts = [*widths, 3 + len(self.contrast.filters)]
        self.reset()

    @classmethod
    def build(cls, *, backbone: str | None = None, stride: int | None = None) -> "Discriminant":
        """The method over ImageNet features of lite0; raises UsageError for another network."""
        _refuse_other(backbone or "lite0")
        return cls(folded(build_backbone(backbone or "lite0", stride=stride or cls.stride, weights="imagenet")))

    def to(self, device: torch.device) -> "Discriminant":
        """Move the network, its weights laid out channels last."""
        self.backbone.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.contrast.to(device)
        return self

    def untrained(self, seed: int) -> "Discriminant":
        """The control: the same method over the same network with random weights."""
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            backbone = build_backbone(self.backbone.name, stride=self.backbone.stride, weights="none")
        return type(self)(backbone).to(self.backbone.mean.device)

    def reset(self) -> None:
        """Start a new category."""
        self.moments = [Moments() for _ in STAGES]
        self.sampled = EvenSample(SAMPLE)
        self.weights = torch.zeros(sum(self.parts))
        self.mean = torch.zeros(sum(self.parts))
        self.cut, self.mixture = CUT, ""

    @torch.inference_mode()
    def descriptors(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch d h w"]:
        """Images in 0..1 -> descriptors of every place: two steps of the network, then colour and texture."""
        features = [F.normalize(part.float(), dim=1) for part in self.backbone.intermediates(images, *STAGES)]
        h, w = features[0].shape[-2:]
        side = self.contrast.stride
        with torch.autocast(images.device.type, enabled=False):
            small = F.adaptive_avg_pool2d(images.float(), (side * h, side * w))
        return torch.cat([*features, self.contrast.descriptors(small)], dim=1)

    @torch.inference_mode()
    def partial_fit(self, descriptors: Float[Tensor, "batch d h w"]) -> None:
        """Add a batch to what is known of the category."""
        if not self.sampled.seen:
            self.sampled = EvenSample(max(1, min(SAMPLE, PLACES // descriptors[0, 0].numel())))
        for moments, part in zip(self.moments, torch.split(descriptors, self.parts, dim=1)[:-1], strict=True):
            moments.add(part)
        self.sampled.add(descriptors.half().cpu())

    @torch.inference_mode()
    def fit_done(self) -> None:
        """Fit the discriminant and its threshold; raises BoxlessError when there was nothing to learn from."""
        if not self.sampled.kept:
            raise BoxlessError("No readable image in this category. Expected at least one, to find what is common.")
        descriptors = self.sampled.stacked().float()
        self.mixture = mixture.words(torch.split(descriptors, self.parts, dim=1)[1].mean((2, 3)).numpy())
        self.fit(descriptors)

    def fit(self, descriptors: Float[Tensor, "image d h w"]) -> Float32[np.ndarray, "image h w"]:
        """Fit to the descriptors of some images of the category -> their maps."""
        self.mean, scale = self._scale(descriptors)
        places = (descriptors.permute(0, 2, 3, 1) - self.mean) * scale  # (image, h, w, d)
        flat = places.flatten(0, 2)
        covariance = flat.T @ flat / len(flat)
        ridge = RIDGE * covariance.diagonal().mean().clamp(min=1e-12) * torch.eye(len(covariance))
        inverse = torch.linalg.inv((covariance + ridge).double()).float()
        maps = self.first_direction(descriptors, 1)
        masks = np.stack([_largest(heat > upper_otsu(heat)) for heat in map(normalise, maps)])
        for _ in range(ROUNDS):
            target = torch.from_numpy(masks.reshape(-1)).float()
            direction = inverse @ (flat.T @ (target - target.mean()) / len(flat))
            maps = (places @ direction + target.mean()).numpy()
            sure = [_largest(heat > SURE) for heat in maps]
            # An image without a sure place keeps what its last teacher said: no round unlearns everything.
            masks = np.stack([new if new.any() else old for new, old in zip(sure, masks, strict=True)])
        self.weights = scale * direction
        self.cut = float(np.median([otsu(heat) for heat in maps]))
        return maps

    def first_direction(
        self, descriptors: Float[Tensor, "image d h w"], stage: int
    ) -> Float32[np.ndarray, "image h w"]:
        """The maps of the first principal direction of one of the two steps; of its descriptors alone, or of all."""
        mean, direction = self.moments[stage].principal_direction()
        part = torch.split(descriptors, self.parts, dim=1)[stage] if descriptors.shape[1] > len(mean) else descriptors
        return (torch.einsum("bdhw,d->bhw", part, direction.cpu()) - mean.cpu() @ direction.cpu()).numpy()

    def heatmap(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch h w"]:
        """Descriptors -> maps in 0..1, rescaled so that the category's threshold lies at one half."""
        return torch.from_numpy(np.stack([with_cut_at_half(heat, self.cut) for heat in self.learnt_maps(descriptors)]))

    def learnt_maps(self, descriptors: Float[Tensor, "batch d h w"]) -> Float32[np.ndarray, "batch h w"]:
        """Descriptors -> raw maps of the fitted discriminant."""
        raw = torch.einsum("bdhw,d->bhw", descriptors.float().cpu(), self.weights) - self.mean @ self.weights
        return raw.numpy()

    def _scale(self, descriptors: Float[Tensor, "image d h w"]) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
        """The mean descriptor, and factors under which each kind of descriptor varies by one in all."""
        mean = descriptors.mean((0, 2, 3))
        variance = descriptors.var((0, 2, 3), correction=0)
        factors = [
            part.sum().clamp(min=1e-12).rsqrt().expand(len(part)) for part in torch.split(variance, self.parts)[:-1]
        ]
        colours = torch.split(variance, self.parts)[-1]
        return mean, torch.cat([*factors, colours.clamp(min=1e-12).rsqrt() / len(colours) ** 0.5])


def _refuse_other(backbone: str) -> None:
    if backbone != "lite0":
        raise UsageError(f"auto and discriminant read steps of lite0, and not of {backbone}. Use --method ddt with it.")


def upper_otsu(heat: Float32[np.ndarray, "h w"]) -> float:
    """Otsu's threshold of what lies above Otsu's threshold, for a map in 0..1: the surest places."""
    low = otsu(heat, "none")
    upper = heat[heat > low]
    return low + (1 - low) * otsu(((upper - low) / (1 - low))[None], "none") if upper.size >= 8 else low


def with_cut_at_half(
    heat: Float32[np.ndarray, "h w"], cut: float, how: Normalisation = "minmax"
) -> Float32[np.ndarray, "h w"]:
    """A raw map normalised to 0..1, then rescaled piecewise so that `cut`, a fraction of its range, becomes one half.

    A constant map becomes zeros, in which nothing is found.
    """
    scaled = normalise(heat, how)
    below, above = CUT * scaled / cut, CUT + (1 - CUT) * (scaled - cut) / (1 - cut)
    return np.where(scaled < cut, below, above).astype(np.float32)


def _largest(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The largest 8-connected component of a mask."""
    count, components, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return mask
    return np.asarray(components == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA]))
