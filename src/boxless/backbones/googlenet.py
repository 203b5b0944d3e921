"""GoogLeNet (Szegedy et al., CVPR 2015) up to inception4e, as CAM cuts it: 14x14 at 224 pixels.

CAM's further convolution (CAM_conv) is the head `published` of its method. Weights: torchvision's, which come from
TensorFlow, have batch normalisation and expect 2 x - 1.
"""

from collections.abc import Iterator

import boxless.runtime.torchvision_compat  # noqa: F401

# isort: split
from torch import nn
from torchvision.models import googlenet

from boxless.backbones.backbone import Backbone, Stage

_COARSE = ("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3")
_STEPS = (*_COARSE, "inception4a", "inception4b", "inception4c", "inception4d", "inception4e")


def build(stride: int) -> Backbone:
    """GoogLeNet with random weights, 832 channels: 14x14 at 224 pixels and stride 16."""
    half = (0.5, 0.5, 0.5)
    return Backbone(GoogLeNet(stride), name="googlenet", stride=stride, mean=half, std=half)


class GoogLeNet(nn.Module):
    """Stages under torchvision's names, `conv1` to `inception4e`; at stride 8 `maxpool3` keeps the size."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        whole = googlenet(weights=None, aux_logits=False, init_weights=False)
        for name in _STEPS:
            self.add_module(name, getattr(whole, name))
        if stride == 8:
            self.maxpool3 = nn.MaxPool2d(3, 1, 1)

    def stages(self) -> Iterator[Stage]:
        """The network in the order in which it runs."""
        yield from ((name, getattr(self, name)) for name in _STEPS)
