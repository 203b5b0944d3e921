"""ResNet50 (He et al., CVPR 2016) as the localization papers cut it: the last stages at stride 1, without dilation.

Weights: torchvision's first ImageNet weights, the ones that the papers started from. ResNet50-SE has squeeze-and-
excitation (Hu et al., CVPR 2018) at the end of each block. ADL's weights for it were never published; torchvision has
none, so that names and weights are timm's seresnet50 (ra2_in1k), and any state dict under these names can be loaded.
"""

from collections.abc import Iterator
from typing import Any

import boxless.runtime.torchvision_compat  # noqa: F401

# isort: split
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops.misc import SqueezeExcitation

from boxless.backbones.backbone import Backbone, Stage
from boxless.backbones.vgg import IMAGENET_MEAN, IMAGENET_STD


def build(stride: int) -> Backbone:
    """ResNet50 with random weights, 2048 channels: 28x28 at 224 pixels and stride 8."""
    net = ResNet50(stride, Bottleneck)
    return Backbone(net, name="resnet50", stride=stride, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def build_se(stride: int) -> Backbone:
    """ResNet50-SE with random weights, 2048 channels: 14x14 at 224 pixels and stride 16, as in ADL."""
    net = ResNet50(stride, SeBottleneck)
    return Backbone(net, name="resnet50_se", stride=stride, mean=IMAGENET_MEAN, std=IMAGENET_STD)


class SeBottleneck(Bottleneck):
    """torchvision's block with squeeze-and-excitation, reduction 16, before the sum."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.se = SqueezeExcitation(self.conv3.out_channels, self.conv3.out_channels // 16)

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c2 h2 w2"]:
        """The block with its shortcut."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.se(self.bn3(self.conv3(out)))
        identity: Tensor = x if self.downsample is None else self.downsample(x)
        return F.relu(out + identity)


class ResNet50(nn.Module):
    """Stages `stem`, `layer1.0` to `layer4.2`; torchvision's names inside."""

    def __init__(self, stride: int, block: type[Bottleneck]) -> None:
        super().__init__()
        whole = ResNet(block, [3, 4, 6, 3])
        self.conv1, self.bn1, self.relu, self.maxpool = whole.conv1, whole.bn1, whole.relu, whole.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = whole.layer1, whole.layer2, whole.layer3, whole.layer4
        for layer, reached in ((self.layer3, 16), (self.layer4, 32)):
            if reached > stride:
                first: Any = layer[0]
                first.conv2.stride = first.downsample[0].stride = (1, 1)

    def stages(self) -> Iterator[Stage]:
        """The stem, then every residual block."""
        yield "stem", nn.Sequential(self.conv1, self.bn1, self.relu, self.maxpool)
        for name in ("layer1", "layer2", "layer3", "layer4"):
            yield from ((f"{name}.{index}", block) for index, block in enumerate(getattr(self, name)))
