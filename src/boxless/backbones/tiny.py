"""Three convolutions with group normalisation: trained from nothing in seconds, for tests and for 32-pixel pictures.

Group normalisation keeps images apart, so that several processes compute what one does on the same batch.
"""

from collections.abc import Iterator

from torch import nn

from boxless.backbones.backbone import Backbone, Stage


def build(stride: int) -> Backbone:
    """The tiny network with random weights, 64 channels."""
    return Backbone(Tiny(stride), name="tiny", stride=stride, mean=(0.5,) * 3, std=(0.25,) * 3)


class Tiny(nn.Module):
    """Stages `conv1`, `conv2`, `conv3`: 3x3, 16, 32 and 64 channels, strides 2, 2 and what is left."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = _block(3, 16, 2), _block(16, 32, 2), _block(32, 64, stride // 4)

    def stages(self) -> Iterator[Stage]:
        """The network in the order in which it runs."""
        yield from (("conv1", self.conv1), ("conv2", self.conv2), ("conv3", self.conv3))


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(8, outputs), nn.ReLU())
