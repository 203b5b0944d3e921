"""VGG16 (Simonyan and Zisserman, ICLR 2015) as ACoL and I2C cut it: five 3x3 pools, the last ones at stride 1.

The classifier is gone; a 3x3 mean after the last pool (ACoL's) smooths the map. Weights: torchvision's.
"""

from collections.abc import Iterator
from itertools import groupby

import boxless.runtime.torchvision_compat  # noqa: F401

# isort: split
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from boxless.backbones.backbone import Backbone, Stage

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build(stride: int) -> Backbone:
    """VGG16 with random weights, 512 channels: 28x28 at 224 pixels and stride 8."""
    return Backbone(Vgg16(stride), name="vgg16", stride=stride, mean=IMAGENET_MEAN, std=IMAGENET_STD)


class Vgg16(nn.Module):
    """Stages `conv1`, `pool1`, ... `conv5`, `pool5`, `mean`; torchvision's names inside (`features.0.weight`, ...)."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.features = make_layers(cfgs["D"], batch_norm=False)
        pools = [layer for layer in self.features if isinstance(layer, nn.MaxPool2d)]
        for index, pool in enumerate(pools):
            pool.kernel_size, pool.padding, pool.stride = 3, 1, 2 if 2 ** (index + 1) <= stride else 1

    def stages(self) -> Iterator[Stage]:
        """The five groups of convolutions, each with its ReLUs, the pools between them, and the mean."""
        group = 0
        for pools, layers in groupby(self.features, key=lambda layer: isinstance(layer, nn.MaxPool2d)):
            group += not pools
            yield f"{'pool' if pools else 'conv'}{group}", nn.Sequential(*layers)
        yield "mean", nn.AvgPool2d(3, 1, 1)
