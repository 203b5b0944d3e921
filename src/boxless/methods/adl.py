"""Attention-based dropout layer: inside the network, the most important places are hidden or all places are weighted.

Choe and Shim, "Attention-based Dropout Layer for Weakly Supervised Object Localization", CVPR 2019. The layer has no
parameters. Its attention is the mean of the features over the channels, one number per place. At each step each layer
chooses at random (section 3.1) what it multiplies the features by:

    drop mask, with probability 0.75     0 where the attention is at least threshold * its maximum in the image, else 1
    importance map, otherwise            sigmoid of the attention

The choice is one for the whole batch, and another one in each layer. At test time the layer does nothing, and the
network and the map are CAM's (the authors draw Grad-CAM's, which is the same map for these heads).

Published places and thresholds: VGG16 after pool3, before pool4 and after conv5, 0.8; ResNet50 (with SE) after the
first block of layer3 and the first and third of layer4, 0.9; InceptionV3 after Mixed_5d, Mixed_6e and the second
convolution of the head (as in wsolevaluation; ours: where the head has one). For other networks nobody has published
any; ours stand in PLACES, and for networks that are not there it is the last step.

Ours: the mean of the features' magnitude. At every published place features are rectified, so that it is the same; but
blocks of EfficientNet-Lite0 and of pre-activation networks end without ReLU, and there the plain mean says nothing. On
49 training photographs of CUB, the mean AUC of "inside the box" was .48 after block10 and .57 after block15 with the
plain mean, .78 and .91 with the magnitude.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boxless.backbones.backbone import Backbone
from boxless.methods.cam import Cam, CamLosses, Head, batch_accuracy
from boxless.methods.method import Features, Images, Labels
from boxless.runtime.errors import UsageError

NECK = "neck"
"""Name of the place behind the convolutions of a head that has some; the others are stages of the backbone."""

PLACES = {
    "vgg16": ("pool3", "conv4", "conv5"),
    "resnet50": ("layer3.0", "layer4.0", "layer4.2"),
    "resnet50_se": ("layer3.0", "layer4.0", "layer4.2"),
    "inception_v3": ("Mixed_5d", "Mixed_6e", NECK),
    "lite0": ("block10", "block15", "head"),
    "alexnet": ("conv4", "conv5"),
    "googlenet": ("inception3b", "inception4a", "inception4e"),
    "preresnet34": ("layer3.0", "layer4.0", "layer4.2"),
    "tiny": ("conv2", "conv3"),
}
"""Stages of each backbone after which the layers stand."""


class Adl(Cam):
    """ADL (Choe and Shim 2019): CAM trained with layers that hide the most important places or weight all of them.

    Options:
        positions: stages of the backbone, separated by commas, after which a layer stands, and neck for the head's
            convolutions; nothing for the published ones.
        drop_rate: probability that a layer hides the most important places instead of weighting all of them.
        threshold: fraction of the highest attention in the image from which on places are hidden; None is 0.8 for
            vgg16 and 0.9 for the others.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        *,
        head: Head = "linear",
        positions: str = "",
        drop_rate: float = 0.75,
        threshold: float | None = None,
    ) -> None:
        if not 0 <= drop_rate <= 1:
            raise UsageError(f"drop_rate is {drop_rate}; expected a probability, 0 to 1.")
        if threshold is not None and not 0 < threshold <= 1:
            raise UsageError(
                f"threshold is {threshold}; expected a fraction of the highest attention, above 0, up to 1."
            )
        positions_here = places(backbone, positions, head)
        super().__init__(backbone, classes, head=head)
        self.positions, self.drop_rate = positions_here, drop_rate
        self.threshold = threshold if threshold is not None else 0.8 if backbone.name == "vgg16" else 0.9

    def loss(self, images: Images, labels: Labels) -> CamLosses:
        """Cross entropy of the labels, through the layers."""
        hooks = {name: self.attend for name in self.positions if name != NECK}
        logits = self.classify(self.through_neck(self.backbone(images, hooks=hooks)))
        return CamLosses(F.cross_entropy(logits, labels), batch_accuracy(logits, labels))

    def through_neck(self, features: Float[Tensor, "batch channels h w"]) -> Features:
        """The head's convolutions, with a layer before their last dropout where there should be one."""
        *layers, last = self.neck.children() if NECK in self.positions else (self.neck,)
        for layer in layers:
            features = layer(features)
        return last(self.attend(features) if layers else features)  # type: ignore[no-any-return]

    def attend(self, features: Features) -> Features:
        """The layer: features times the drop mask, or times the importance map. Waits for no device."""
        attention = features.abs().mean(1, keepdim=True)
        mask = (attention < self.threshold * attention.amax((2, 3), keepdim=True)).to(attention.dtype)
        dropped = torch.rand((), device=features.device) < self.drop_rate  # alike in all processes
        return features * torch.where(dropped, mask, attention.sigmoid())


def places(backbone: Backbone, wanted: str, head: Head) -> tuple[str, ...]:
    """The stages that `wanted` names, separated by commas, or the backbone's own where it is empty.

    Raises UsageError for what is no stage, or the neck of a head that has none.
    """
    stages = [name for name, _ in backbone.stages()]
    if not wanted:
        own = PLACES.get(backbone.name, (stages[-1],))
        return tuple(name for name in own if name != NECK) if head == "linear" else own
    named = tuple(name.strip() for name in wanted.split(","))
    if NECK in named and head == "linear":
        raise UsageError("positions names the neck, the convolutions of the head, and the head is linear: it has none.")
    for name in named:
        if name not in (*stages, NECK):
            raise UsageError(
                f"The backbone {backbone.name} has no stage {name!r} for a layer of ADL. Its stages: "
                f"{', '.join(stages)}; {NECK} stands for the convolutions of the heads conv and published."
            )
    return named
