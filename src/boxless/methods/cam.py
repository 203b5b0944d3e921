"""Class activation mapping: the classifier's own weights say where each class was seen.

Zhou, Khosla, Lapedriza, Oliva and Torralba, "Learning Deep Features for Discriminative Localization", CVPR 2016.
Features f_k(x, y) are averaged over the map, F_k = mean f_k, and classified linearly, S_c = sum_k w_k^c F_k (Eq. 1).
Exchanging the sums gives the map M_c(x, y) = sum_k w_k^c f_k(x, y) (Eq. 2), whose mean is the class's score.

A 1x1 convolution followed by the mean is the same thing (Zhang et al., ACoL, CVPR 2018, section 3.1), so the head of
ACoL, SPG and I2C differs from CAM's in its two 3x3 convolutions alone; with them this is I2C's "plain" network.
"""

from itertools import pairwise
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boxless.backbones.backbone import Backbone
from boxless.boxes.from_heatmap import Readout
from boxless.methods.method import Features, Heatmaps, Images, Labels, Logits, Method
from boxless.runtime.errors import UsageError

Head = Literal["linear", "conv", "published"]
PUBLISHED = {"alexnet": (512, 512), "googlenet": (1024,), "vgg16": (1024,)}
"""Channels of the 3x3 convolutions in the authors' network definitions, which split them into two groups; not here."""


class CamLosses(NamedTuple):
    """The loss that is minimised, and what is logged beside it."""

    total: Tensor
    accuracy: Tensor
    """Fraction of the batch whose best class is the label; carries no gradient."""


class Cam(Method):
    """CAM (Zhou et al. 2016): global average pooling and one linear layer, read backwards.

    Options:
        head: linear classifies the backbone's features; conv puts two 3x3 convolutions of 1024 channels before that;
            published is what CAM's authors put there: AlexNet two of 512, GoogLeNet and VGG16 one of 1024.
    """

    readout = Readout(0.2, "fixed: the paper's 20 % of the maximum", "max")

    def __init__(self, backbone: Backbone, classes: int, *, head: Head = "linear") -> None:
        super().__init__()
        self.backbone = backbone
        self.neck, self.fc = new_head(head, backbone, classes)

    def forward(self, images: Images) -> Logits:
        """Images 0..1 -> logits."""
        return self.classify(self.backbone(images, neck=self.neck))

    def loss(self, images: Images, labels: Labels) -> CamLosses:
        """Cross entropy of the labels."""
        logits = self(images)
        return CamLosses(F.cross_entropy(logits, labels), batch_accuracy(logits, labels))

    @torch.no_grad()
    def heatmap_and_logits(self, images: Images, labels: Labels | None = None) -> tuple[Heatmaps, Logits]:
        """The maps of the labels' classes, or of the best classes where no labels are given; still one forward pass."""
        features = self.backbone(images, neck=self.neck)
        logits = self.classify(features)
        return self.class_maps(features, logits.argmax(1) if labels is None else labels), logits

    def classify(self, features: Features) -> Logits:
        """S_c for every class (Eq. 1)."""
        logits: Tensor = self.fc(features.mean((2, 3)))
        return logits

    def class_maps(self, features: Features, labels: Labels) -> Heatmaps:
        """M_c for one class of each image (Eq. 2), without the bias, which has no place."""
        return class_maps(self.fc, features, labels)


def class_maps(fc: nn.Linear, features: Features, labels: Labels) -> Heatmaps:
    """M_c (Eq. 2) of the labels' classes for the features that `fc` classifies."""
    with torch.autocast(features.device.type, enabled=False):  # einsum would round what float() had widened
        return torch.einsum("bkhw,bk->bhw", features.float(), fc.weight[labels])


def new_head(head: Head, backbone: Backbone, classes: int) -> tuple[nn.Module, nn.Linear]:
    """What stands between the backbone and the mean, and the linear layer after it.

    Raises UsageError for `published` on a backbone that CAM's authors did not use.
    """
    neck, channels = make_neck(head, backbone)
    fc = nn.Linear(channels, classes)
    nn.init.normal_(fc.weight, std=0.01)
    nn.init.zeros_(fc.bias)
    return neck, fc


def make_neck(head: Head, backbone: Backbone) -> tuple[nn.Module, int]:
    """What stands between the backbone and the mean, and how many channels leave it."""
    if head == "linear":
        return nn.Identity(), backbone.channels
    if head == "conv":
        return conv_neck(backbone.channels), 1024
    if backbone.name not in PUBLISHED:
        raise UsageError(
            f"CAM's authors put no layers behind {backbone.name}, only behind {', '.join(PUBLISHED)}. Choose linear."
        )
    widths = (backbone.channels, *PUBLISHED[backbone.name])
    convolutions = [
        layer for pair in pairwise(widths) for layer in (nn.Conv2d(*pair, kernel_size=3, padding=1), nn.ReLU())
    ]
    return nn.Sequential(*convolutions, nn.Dropout()), widths[-1]


def conv_neck(channels: int) -> nn.Sequential:
    """ACoL's and SPG's head without its last layer: (batch, channels, h, w) -> (batch, 1024, h, w)."""
    first = nn.Conv2d(channels, 1024, 3, padding=1)
    second = nn.Conv2d(1024, 1024, 3, padding=1)
    return nn.Sequential(nn.Dropout(), first, nn.ReLU(), nn.Dropout(), second, nn.ReLU(), nn.Dropout())


def batch_accuracy(logits: Logits, labels: Labels) -> Float[Tensor, ""]:
    """Fraction of the batch whose best class is the label."""
    return (logits.detach().argmax(1) == labels).float().mean()
