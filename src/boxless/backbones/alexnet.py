"""AlexNet (Krizhevsky et al., NIPS 2012; torchvision's is the one-column version of 2014), without its classifier.

As CAM cuts it, the last pool has stride 1. The pools are padded, so that 224 pixels give 14x14 places that reach to the
borders; CAM's unpadded ones give 11x11 at 227. CAM's two further convolutions are the head `published` of its method.
"""

from collections.abc import Iterator

import boxless.runtime.torchvision_compat  # noqa: F401

# isort: split
from torch import nn
from torchvision.models import alexnet

from boxless.backbones.backbone import Backbone, Stage
from boxless.backbones.vgg import IMAGENET_MEAN, IMAGENET_STD

_GROUPS = {"conv1": (0, 2), "pool1": (2, 3), "conv2": (3, 5), "pool2": (5, 6)} | {
    "conv3": (6, 8), "conv4": (8, 10), "conv5": (10, 12), "pool5": (12, 13)
}  # fmt: skip
_REACHED = {"pool2": 16, "pool5": 32}


def build(stride: int) -> Backbone:
    """AlexNet with random weights, 256 channels: 14x14 at 224 pixels and stride 16."""
    return Backbone(AlexNet(stride), name="alexnet", stride=stride, mean=IMAGENET_MEAN, std=IMAGENET_STD)


class AlexNet(nn.Module):
    """Stages `conv1`, `pool1`, `conv2`, `pool2`, `conv3`, `conv4`, `conv5`, `pool5`; torchvision's names inside."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.features = alexnet(weights=None).features
        for name in ("pool1", "pool2", "pool5"):
            pool = self.features[_GROUPS[name][0]]
            pool.padding, pool.stride = 1, 1 if _REACHED.get(name, 0) > stride else 2

    def stages(self) -> Iterator[Stage]:
        """The convolutions, each with its ReLU, and the pools between them."""
        yield from ((name, self.features[start:end]) for name, (start, end) in _GROUPS.items())
