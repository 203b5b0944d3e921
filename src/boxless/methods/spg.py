"""SPG: what the network is sure of, object or background, teaches its middle layers to tell the two apart.

Zhang, Wei, Kang, Yang and Huang, "Self-produced Guidance for Weakly-supervised Object Localization", ECCV 2018. Beside
CAM's classifier (branch A) three branches say for each place whether it is object. Each learns from seeds: places that
another map is sure of, object above a high and background below a low threshold; between them nothing is asked.

    branch    reads                          seeds are taken from                          high   low
    B2        features near the end          the label's class map, scaled to 0..1         0.7    0.05
    B1        features in the middle         sigmoid of B2's map                           0.5    0.05
    C         what the classifier reads      mean of the sigmoids of B1's and B2's maps    0.7    0.1

B1 and B2 have a 3x3 convolution each and share a 3x3 and a 1x1 one, C is a 3x3 and a 1x1 convolution. All maps are
enlarged to the image. Where fewer than 30 pixels are above the high threshold, it is 0.7 of the map's maximum. No
gradient flows into seeds. The loss is the sum of the cross entropies of A, B1, B2 and C (each weight 1). B and C serve
training alone: the heat map is CAM's, in one pass, and no branch is computed for it.

Published with InceptionV3, Top-1 / Top-5 / GT-known localization errors: ILSVRC 51.40 / 40.00 / 35.31, CUB-200-2011
53.36 / 42.28 (tables of the I2C paper). wsolevaluation found it 1.6 points of its total below CAM.

In the released program no parameter bears the name that its tenfold learning rate asks for, dropout is switched off or
on by the version of torch, and a threshold lowered for one image stays low for the rest of the batch. Here all
that is new learns faster (`head_factor`), dropout (in the head `conv`) is for training, thresholds are each
image's own. B2 reads the features before Mixed_6e, as in that program. The cross entropy of a branch is its mean over
the seeds of an image, then over images, so that it does not matter how a batch is split over processes.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boxless.backbones.backbone import Backbone
from boxless.methods.cam import Cam, batch_accuracy
from boxless.methods.method import Images, Labels
from boxless.runtime.errors import UsageError

IGNORED = 255.0
"""What a mask holds where nothing is asked; 1 is object, 0 background."""
FEWEST = 30
"""Pixels that have to be above the high threshold; with fewer it is LOWERED of the maximum."""
LOWERED = 0.7


class Taps(NamedTuple):
    """The stages that B1 and B2 read, and the width of the branches."""

    b1: str
    b2: str
    width: int = 512


_RESNET = Taps("layer3.0", "layer3.5")
TAPS = {
    "inception_v3": Taps("Mixed_5d", "Mixed_6d"),
    "vgg16": Taps("pool4", "conv5"),
    "resnet50": _RESNET,
    "resnet50_se": _RESNET,
    "lite0": Taps("block4", "block10", 128),
    "tiny": Taps("conv1", "conv2", 16),
}
"""InceptionV3: the authors'; VGG16 and ResNet50: wsolevaluation's. Lite0, ours: the last stages of strides 8 and 16."""


class SpgLosses(NamedTuple):
    """The loss that is minimised, and its terms."""

    total: Tensor
    classification: Tensor
    b1: Tensor
    b2: Tensor
    c: Tensor
    accuracy: Tensor


class Spg(Cam):
    """SPG (Zhang et al. 2018): CAM with branches that learn object and background from the network's own sure places.

    Options:
        head: conv is the paper's head, two 3x3 convolutions of 1024 channels before the classifier; linear is CAM's.
    """

    def __init__(self, backbone: Backbone, classes: int, *, head: Literal["linear", "conv"] = "linear") -> None:
        if backbone.name not in TAPS:
            raise UsageError(f"spg has no places for its branches in {backbone.name}. Choose from: {', '.join(TAPS)}.")
        if head == "linear" and not any(parameter.requires_grad for parameter in backbone.parameters()):
            raise UsageError(
                "spg's branches change the features before the classifier, and all of them are frozen. "
                "Freeze fewer stages, or take the head conv."
            )
        super().__init__(backbone, classes, head=head)
        b1, b2, width = TAPS[backbone.name]
        self.read = (b1, b2, backbone.feature_info[-1].name)
        self.side3 = _convolution(backbone.channels_of(b1), width)
        self.side4 = _convolution(backbone.channels_of(b2), width)
        self.side_all = nn.Sequential(_convolution(width, width), nn.Conv2d(width, 1, 1))
        self.branch_c = nn.Sequential(_convolution(self.fc.in_features, width), nn.Conv2d(width, 1, 1))

    def loss(self, images: Images, labels: Labels) -> SpgLosses:  # type: ignore[override]
        """The sum of the four cross entropies."""
        coarse, fine, features = self.backbone.intermediates(images, *self.read)
        hidden = self.neck(features)
        logits = self.classify(hidden)
        size = (images.shape[2], images.shape[3])
        attention = unit_range_or_nan(enlarged(self.class_maps(hidden.detach(), labels).detach()[:, None], size))
        b1, b2 = (enlarged(self.side_all(side), size) for side in (self.side3(coarse), self.side4(fine)))
        guidance = (b1.sigmoid() + b2.sigmoid()) / 2
        classification = F.cross_entropy(logits, labels)
        loss_b2 = seeded_loss(b2, seeds(attention, 0.7, 0.05))
        loss_b1 = seeded_loss(b1, seeds(b2.sigmoid(), 0.5, 0.05))
        loss_c = seeded_loss(enlarged(self.branch_c(hidden), size), seeds(guidance, 0.7, 0.1))
        total = classification + loss_b1 + loss_b2 + loss_c
        return SpgLosses(total, classification, loss_b1, loss_b2, loss_c, batch_accuracy(logits, labels))


def unit_range_or_nan(heat: Float[Tensor, "batch H W"]) -> Float[Tensor, "batch H W"]:
    """Each map's range as 0..1. A constant one becomes NaN, which is neither above nor below anything: no seeds."""
    flat = heat.flatten(1)
    low, high = (value[:, None, None] for value in flat.aminmax(dim=1))
    return (heat - low) / (high - low)


def enlarged(maps: Float[Tensor, "batch 1 h w"], size: tuple[int, int]) -> Float[Tensor, "batch H W"]:
    """Bilinear, to `size` pixels, pixel centres aligned."""
    return F.interpolate(maps.float(), size, mode="bilinear").squeeze(1)


def seeds(sure: Float[Tensor, "batch H W"], high: float, low: float) -> Float[Tensor, "batch H W"]:
    """A map -> its mask: 1 above `high`, 0 below `low`, between them IGNORED."""
    flat = sure.detach().flatten(1)
    warm = flat > high
    lowered = flat > LOWERED * flat.amax(1, keepdim=True)
    warm = torch.where(warm.sum(1, keepdim=True) < FEWEST, lowered, warm)
    mask = torch.where(flat < low, 0.0, torch.where(warm, 1.0, IGNORED))
    return mask.view_as(sure)


def seeded_loss(logits: Float[Tensor, "batch H W"], mask: Float[Tensor, "batch H W"]) -> Float[Tensor, ""]:
    """Binary cross entropy over the seeds of each image, mean of the images; one without seeds counts as 0."""
    asked = mask < IGNORED
    each = F.binary_cross_entropy_with_logits(logits, asked * mask, reduction="none")
    sums = torch.where(asked, each, 0.0).sum((1, 2))
    return (sums / asked.sum((1, 2)).clamp(min=1)).mean()


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU())
