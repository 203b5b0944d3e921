"""InceptionV3 (Szegedy et al., CVPR 2016) up to Mixed_6e, as SPG and I2C cut it: finer pools, Mixed_6a at stride 1.

Conv2d_1a is padded, the max-pools are 3x3 with padding and round up, so that 224 pixels give 28x28. At stride 16 one
more 3x3 pool stands before Mixed_6a, as in wsolevaluation. Weights: torchvision's, which expect 2 x - 1.
"""

from collections.abc import Iterator

import boxless.runtime.torchvision_compat  # noqa: F401

# isort: split
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import inception_v3
from torchvision.models.inception import BasicConv2d, InceptionB

from boxless.backbones.backbone import Backbone, Stage

_BEFORE_POOL1 = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3")
_BEFORE_POOL2 = ("Conv2d_3b_1x1", "Conv2d_4a_3x3")
_COARSE = ("Mixed_5b", "Mixed_5c", "Mixed_5d")
_FINE = ("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e")


def build(stride: int) -> Backbone:
    """InceptionV3 with random weights, 768 channels: 28x28 at 224 pixels and stride 8, 40x40 at 320."""
    half = (0.5, 0.5, 0.5)
    return Backbone(InceptionV3(stride), name="inception_v3", stride=stride, mean=half, std=half)


class Mixed6a(InceptionB):
    """torchvision's Mixed_6a with all three branches at stride 1 and padded: (b, 288, h, w) -> (b, 768, h, w)."""

    def __init__(self) -> None:
        super().__init__(288)
        self.branch3x3 = BasicConv2d(288, 384, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, kernel_size=3, padding=1)

    def _forward(self, x: Float[Tensor, "batch 288 h w"]) -> list[Tensor]:
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return [self.branch3x3(x), twice, F.max_pool2d(x, kernel_size=3, stride=1, padding=1)]


class InceptionV3(nn.Module):
    """Stages under torchvision's names, `Conv2d_1a_3x3` to `Mixed_6e`, and `pool1`, `pool2`, at stride 16 `pool3`."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        whole = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False)
        for name in _BEFORE_POOL1 + _BEFORE_POOL2 + _COARSE + _FINE:
            self.add_module(name, Mixed6a() if name == "Mixed_6a" else getattr(whole, name))
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, kernel_size=3, stride=2, padding=1)
        self.pool1 = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.pool2 = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.pool3 = nn.MaxPool2d(3, 2, 0, ceil_mode=True)
        third = ("pool3",) if stride == 16 else ()
        self.names = (*_BEFORE_POOL1, "pool1", *_BEFORE_POOL2, "pool2", *_COARSE, *third, *_FINE)

    def stages(self) -> Iterator[Stage]:
        """The network in the order in which it runs."""
        yield from ((name, getattr(self, name)) for name in self.names)
