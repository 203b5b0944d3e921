"""Generator and discriminator of the paper's Table 1, for any power-of-two size from 16 pixels.

    G: z (batch, 128) -> linear 4x4 -> transposed convolutions 4x4 -> tanh     (batch, 3, size, size)
    D: images         -> convolutions 4x4 -> global average pooling -> linear  (batch,)

At 64 pixels all strides are 2. Below, D's first convolution and G's last have stride 1 (the paper's 32x32 form);
above, layers of 512 channels are added. Images of both networks lie in -1..1, the range of tanh.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from boxless.gan import Latent, Norm
from boxless.gan.convolution import Downwards, Upwards
from boxless.gan.spectral_norm import add_spectral_norm

LATENT = 128
GRID = 4
"""Side of the smallest maps: where G begins and D ends."""


def channels(size: int, width: float) -> list[int]:
    """Output channels of D's convolutions for images of `size` pixels: 64 128 256 512 at 64 pixels and width 1."""
    layers = int(math.log2(size // GRID)) + (size < 64)
    return [max(4, round(min(64 * 2**layer, 512) * width)) for layer in range(layers)]


def strides(size: int) -> list[int]:
    """Strides of D's convolutions: 2, but 1 in the first below 64 pixels."""
    layers = len(channels(size, 1.0))
    return [2] * layers if size >= 64 else [1, *[2] * (layers - 1)]


class Generator(nn.Module):
    """Table 1, left: linear, then transposed convolutions with batch normalisation and ReLU; tanh at the end.

    Batch normalisation and ReLU also follow the linear layer, which the table does not print and DCGAN has.
    """

    def __init__(self, size: int = 64, *, width: float = 1.0, base: int = 128) -> None:
        super().__init__()
        self.base = max(4, round(base * width))
        outputs = [*reversed(channels(size, width)[1:]), 3]
        inputs = [self.base, *outputs[:-1]]
        self.linear = nn.Linear(LATENT, self.base * GRID * GRID, bias=False)
        self.first = nn.Sequential(nn.BatchNorm2d(self.base), nn.ReLU(inplace=True))
        self.layers = nn.Sequential()
        for entering, leaving, stride in zip(inputs, outputs, reversed(strides(size)), strict=True):
            last = leaving == 3
            self.layers.append(Upwards(entering, leaving, 4, stride, padding=1, bias=last))
            if not last:
                self.layers.extend([nn.BatchNorm2d(leaving), nn.ReLU(inplace=True)])
        self.size = size
        _initialise(self)

    def forward(self, z: Float[Tensor, "batch 128"]) -> Float[Tensor, "batch 3 size size"]:
        """From z (batch, 128) to images (batch, 3, size, size) in -1..1."""
        images = self.layers(self._first(z))
        # A transposed 4x4 convolution of stride 1 returns one row and one column too many.
        return torch.tanh(images[:, :, : self.size, : self.size])

    def folded(self, z: Float[Tensor, "batch 128"]) -> Float[Tensor, "batch 12 h w"]:
        """The same images as `fold` gives them, on a processor and from 64 pixels."""
        *layers, last = self.layers
        maps = self._first(z)
        for layer in layers:
            maps = layer(maps)
        return cast(Upwards, last).folded_tanh(maps)

    def _first(self, z: Float[Tensor, "batch 128"]) -> Float[Tensor, "batch base 4 4"]:
        maps = self.linear(z).view(-1, self.base, GRID, GRID)
        return self.first(maps.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


class Layer(nn.Sequential):
    """One convolution of D with its normalisation and leaky ReLU (.2): (batch, c, h, w) -> (batch, c', h/s, w/s)."""

    def __init__(self, entering: int, leaving: int, stride: int, norm: Norm) -> None:
        # At stride 1 a 4x4 kernel keeps the size with three pixels of padding in all: one before and two after.
        padding = nn.ZeroPad2d((0, 1, 0, 1)) if stride == 1 else nn.Identity()
        conv = Downwards(entering, leaving, 4, stride, padding=1, bias=norm != "bn")
        super().__init__(padding, conv, *_norm(norm, leaving), nn.LeakyReLU(0.2, inplace=True))
        self.stride, self.width = stride, leaving

    def forward(self, maps: Float[Tensor, "batch _c _H _W"]) -> Float[Tensor, "batch width _h _w"]:
        """The whole layer; the images may be folded."""
        padding, conv, *norm, leaky = self
        assert isinstance(conv, Downwards) and isinstance(leaky, nn.LeakyReLU)
        if not norm:
            return conv.leaky(padding(maps), leaky.negative_slope)
        for module in self:
            maps = module(maps)
        return maps

    def dense(self, maps: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch width h w"]:
        """The same layer at stride 1: twice the grid, centred on the same places."""
        if self.stride == 1:
            return self(maps)  # type: ignore[no-any-return]
        # Windows that begin at every pixel lie half a pixel off; the mean of two neighbours is centred again.
        return F.avg_pool2d(self.inside(F.pad(maps, (2, 2, 2, 2)), stride=1), 2, stride=1)

    def inside(
        self, maps: Float[Tensor, "batch c h w"], stride: int | None = None
    ) -> Float[Tensor, "batch width _h _w"]:
        """The same layer without padding, for windows wholly inside; at its own stride or another."""
        _, conv, *rest = self
        assert isinstance(conv, nn.Conv2d)
        maps = F.conv2d(maps, conv.weight, conv.bias, stride or self.stride)
        for module in rest:
            maps = module(maps)
        return maps


class Discriminator(nn.Module):
    """Table 1, right: convolutions, global average pooling, linear. Takes images in -1..1."""

    def __init__(
        self, size: int = 64, *, width: float = 1.0, norm: Norm = "bn", norm_first: bool = True, spectral: bool = False
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "size": size,
            "width": width,
            "norm": norm,
            "norm_first": norm_first,
            "spectral": spectral,
        }
        outputs = channels(size, width)
        norms: list[Norm] = [norm if norm_first else "none", *[norm] * (len(outputs) - 1)]
        self.layers = nn.ModuleList(
            Layer(*shape) for shape in zip([3, *outputs[:-1]], outputs, strides(size), norms, strict=True)
        )
        self.linear = nn.Linear(outputs[-1], 1)
        self.norm = norm
        _initialise(self)
        if spectral:
            add_spectral_norm(self)

    def maps(self, images: Float[Tensor, "batch _c H W"]) -> list[Float[Tensor, "batch _channel _h _w"]]:
        """Images in -1..1 -> the maps after every layer, first to last."""
        outputs = []
        for layer in self.layers:
            images = layer(images)
            outputs.append(images)
        return outputs

    def convolutions(self) -> list[Layer]:
        """The layers that see images, first to last."""
        return cast(list[Layer], list(self.layers))

    def features(self, images: Float[Tensor, "batch _c H W"]) -> Float[Tensor, "batch channel h w"]:
        """Images in -1..1 -> the last maps, which the class activation map weighs."""
        return self.maps(images)[-1]

    def forward(self, images: Float[Tensor, "batch _c H W"]) -> Float[Tensor, "batch"]:
        """Images in -1..1 -> logit (batch,), large for what D takes for real."""
        maps = self.features(images)
        with torch.autocast(maps.device.type, enabled=False):  # a logit in bf16 would have three digits
            # Channels last, that the gradient of the mean is laid out as the maps are.
            logit: Tensor = self.linear(maps.permute(0, 2, 3, 1).float().mean((1, 2)))
        return logit.squeeze(1)


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Inside, batch normalisation uses the statistics of the batch and leaves the running ones alone."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@contextmanager
def frozen_parameters(network: nn.Module) -> Iterator[None]:
    """Inside, gradients flow through `network` to its input and none is computed for its parameters."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def draw_z(latent: Latent, batch: int, draws: torch.Generator) -> Float[Tensor, "batch 128"]:
    """Draw z (batch, 128) from U[-1, 1) or N(0, 1), on the device of `draws`."""
    if latent == "normal":
        return torch.randn(batch, LATENT, generator=draws, device=draws.device)
    return torch.rand(batch, LATENT, generator=draws, device=draws.device) * 2 - 1


def _norm(norm: Norm, width: int) -> list[nn.Module]:
    if norm == "none":
        return []
    # One group over (C, H, W) with a gain per channel is the layer normalisation of WGAN-GP's authors.
    return [nn.BatchNorm2d(width) if norm == "bn" else nn.GroupNorm(1, width)]


def _initialise(network: nn.Module) -> None:
    # DCGAN's: N(0, .02) for weights, N(1, .02) for the gains of batch normalisation, biases 0.
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
