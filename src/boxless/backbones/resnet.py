"""ResNet50 (He et al., CVPR 2016) as the localization papers cut it: the last stages at stride 1, without dilation.

Weights: torchvision's first ImageNet weights, the ones that the papers started from.
"""

from collections.abc import Iterator

import boxless.torchvision_guard  # noqa: F401

# isort: split
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50

from boxless.backbones.backbone import Backbone, Step
from boxless.backbones.vgg import IMAGENET_MEAN, IMAGENET_STD
from boxless.backbones.weights import download


def build(stride: int) -> Backbone:
    """ResNet50 with random weights, 2048 channels: 28x28 at 224 pixels and stride 8."""
    net = ResNet50(stride)
    return Backbone(net, name="resnet50", stride=stride, channels=2048, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def imagenet() -> dict[str, Tensor]:
    """ImageNet weights from torchvision, version 1."""
    return download(ResNet50_Weights.IMAGENET1K_V1.url)


class ResNet50(nn.Module):
    """Steps `stem`, `layer1.0` to `layer4.2`; torchvision's names inside."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        whole = resnet50(weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = whole.conv1, whole.bn1, whole.relu, whole.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = whole.layer1, whole.layer2, whole.layer3, whole.layer4
        for layer, reached in ((self.layer3, 16), (self.layer4, 32)):
            if reached > stride:
                layer[0].conv2.stride = layer[0].downsample[0].stride = (1, 1)

    def steps(self) -> Iterator[Step]:
        """The stem, then every residual block."""
        yield "stem", nn.Sequential(self.conv1, self.bn1, self.relu, self.maxpool)
        for name in ("layer1", "layer2", "layer3", "layer4"):
            yield from ((f"{name}.{index}", block) for index, block in enumerate(getattr(self, name)))
