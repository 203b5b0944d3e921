"""Pre-activation ResNet-34 (He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016), for small images.

Normalisation and ReLU stand before each convolution, so that shortcuts are identities from the stem to the end; where
the shape changes, a 1x1 convolution of the pre-activated input stands in. The first block takes over the stem's
activation, and one more follows the last block (the paper's appendix). It is the reference CAM of Choe et al. (GANs for
co-localization), who do not tell its stem. Here: at stride 4 and 8 a 3x3 convolution of stride 1 and no pool, as for
CIFAR (64 pixels give 8x8 at stride 8); at 16 and 32 ImageNet's, 7x7 of stride 2 and a 3x3 pool (224 pixels give 14x14
at stride 16).
"""

from collections.abc import Iterator

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boxless.backbones.backbone import Backbone, Stage

_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # channels and blocks


def build(stride: int) -> Backbone:
    """Pre-activation ResNet-34 with random weights, 512 channels."""
    half = (0.5, 0.5, 0.5)
    return Backbone(PreResNet34(stride), name="preresnet34", stride=stride, mean=half, std=half)


class PreActivation(nn.Module):
    """Two 3x3 convolutions behind norm and ReLU: (batch, c, h, w) -> (batch, c', h / stride, w / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, activated: bool) -> None:
        super().__init__()
        self.bn1 = nn.Identity() if activated else nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs else None

    def forward(self, features: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c2 h2 w2"]:
        """The block with its shortcut."""
        active = F.relu(self.bn1(features))
        x: Tensor = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return x + (features if self.shortcut is None else self.shortcut(active))


class PreResNet34(nn.Module):
    """Stages `stem`, `layer1.0` to `layer4.2`, `norm`."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        small = stride <= 8
        conv = nn.Conv2d(3, 64, 3, padding=1, bias=False) if small else nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        pool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(64), nn.ReLU(), pool)
        inputs, reached = 64, 1 if small else 4
        for index, (outputs, count) in enumerate(_STAGES):
            taken = 2 if index and reached < stride else 1
            reached *= taken
            blocks = []
            for block in range(count):
                blocks.append(
                    PreActivation(inputs, outputs, taken if block == 0 else 1, activated=not index and not block)
                )
                inputs = outputs
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
        self.norm = nn.Sequential(nn.BatchNorm2d(512), nn.ReLU())
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stages(self) -> Iterator[Stage]:
        """The stem, every residual block, and the last activation."""
        yield "stem", self.stem
        for name in ("layer1", "layer2", "layer3", "layer4"):
            yield from ((f"{name}.{index}", block) for index, block in enumerate(getattr(self, name)))
        yield "norm", self.norm
