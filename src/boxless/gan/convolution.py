"""The networks' convolutions, 4x4 with stride 2, in forms that a processor is fast at.

Two exact rewritings of the same sums over the same weights, in another order:

- Images side by side. oneDNN's gradients of weights sum along rows of the smaller maps, in vectors of 16 or 32 numbers,
  and those rows have 4 or 8 where D ends and G begins. A strip of images, with a gap of zeros after each that stands
  for the padding of both neighbours, has rows that are long enough. From 8 on its copies and gaps cost more than they
  save, but with AMX, whose tiles take 16 of a row at once.
- Folded images. With its 2x2 blocks as channels, an image of three channels meets a kernel of 2x2 and stride 1, whose
  gradients are several times as fast as those of stride 2. G's images stay folded on their way to D.

Strides of 1 and other devices take torch's own form.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

STRIPS = 8
"""Strips that a batch is laid out in: enough for threads to share."""
SHORT = 32 if torch.cpu._is_amx_tile_supported() else 8
"""Rows of fewer numbers are laid side by side."""


class Downwards(nn.Conv2d):
    """A 4x4 convolution, at stride 2 of maps (batch, c, 2h, 2w) or the same folded -> (batch, c', h, w)."""

    def forward(self, maps: Float[Tensor, "batch _c _H _W"]) -> Float[Tensor, "batch _leaving _h _w"]:
        """The convolution of maps, or of folded maps."""
        return self.leaky(maps, 1)

    def leaky(self, maps: Float[Tensor, "batch _c _H _W"], slope: float) -> Float[Tensor, "batch _leaving _h _w"]:
        """The convolution and after it a leaky ReLU of this slope; 1 for none."""
        if maps.shape[1] == 4 * self.in_channels:
            maps = F.conv2d(maps, folded_weight(self.weight), self.bias)
        elif _strips_help(maps, self.stride, maps.shape[3] // 2):
            strips = F.conv2d(side_by_side(maps, 2), self.weight, self.bias, 2, 1)
            return apart(strips, 1, len(maps), slope)
        else:
            maps = super().forward(maps)
        return maps if slope == 1 else F.leaky_relu_(maps, slope)


class Upwards(nn.ConvTranspose2d):
    """A transposed 4x4 convolution, at stride 2 (batch, c, h, w) -> (batch, c', 2h, 2w)."""

    def forward(self, maps: Float[Tensor, "batch c h w"], output_size: Any = None) -> Float[Tensor, "batch _c _H _W"]:
        """The transposed convolution of maps."""
        if not _strips_help(maps, self.stride, maps.shape[3]):
            return super().forward(maps, output_size)
        strips = F.conv_transpose2d(side_by_side(maps, 1), self.weight, self.bias, 2, 1)
        return apart(strips, 2, len(maps))

    def folded_tanh(self, maps: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch _c _h _w"]:
        """The images that `forward` and tanh give, folded: (batch, c, h, w) -> (batch, 4c', h + 1, w + 1)."""
        assert self.bias is not None
        # The gradient of its bias takes oneDNN longer than all the rest, so it is that of what follows.
        maps = F.conv_transpose2d(maps, folded_weight(self.weight), self.bias.detach().repeat(4))
        images: Tensor = _FoldedTanh.apply(maps, self.bias)  # type: ignore[no-untyped-call]
        return images


def side_by_side(maps: Float[Tensor, "batch c h w"], gap: int) -> Float[Tensor, "strip c h _w"]:
    """Images of a batch in strips (strip, c, h, images * (w + gap)), each followed by a gap of zeros; channels last."""
    strips: Tensor = _SideBySide.apply(maps, gap)  # type: ignore[no-untyped-call]
    return strips


def apart(
    strips: Float[Tensor, "strip c h w"], gap: int, count: int, slope: float = 1
) -> Float[Tensor, "count c h _w"]:
    """The `count` images of `side_by_side` again, without what lies in the gaps, after a leaky ReLU of this slope."""
    maps: Tensor = _Apart.apply(strips, gap, count, slope)  # type: ignore[no-untyped-call]
    return maps


def fold(images: Shaped[Tensor, "batch c H W"]) -> Shaped[Tensor, "batch _c _h _w"]:
    """Images with a border of zeros, their 2x2 blocks as channels: (batch, c, 2h, 2w) -> (batch, 4c, h + 1, w + 1)."""
    rows = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    count, height, width, channels = rows.shape
    blocks = rows.view(count, height // 2, 2, width // 2, 2 * channels).transpose(2, 3)
    return blocks.flatten(3).permute(0, 3, 1, 2)


def folded_weight(weight: Float[Tensor, "a c 4 4"]) -> Float[Tensor, "a _c 2 2"]:
    """The weight that a folded convolution, transposed or not, has instead."""
    blocks = weight.reshape(*weight.shape[:2], 2, 2, 2, 2)
    return blocks.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)


def inside(folded: Shaped[Tensor, "batch c h w"]) -> Shaped[Tensor, "c h w"]:
    """1 where folded images have their pixels and 0 on the border."""
    _, channels, height, width = folded.shape
    return fold(folded.new_ones(1, channels // 4, 2 * height - 2, 2 * width - 2))[0]


class _SideBySide(torch.autograd.Function):
    # One pass each way: what autograd makes of padding, slicing and transposing takes several.
    @staticmethod
    def forward(ctx: Any, maps: Tensor, gap: int) -> Tensor:
        ctx.gap, ctx.count = gap, len(maps)
        strips, images = _strips_for(maps, gap)
        images.copy_(_in_rows(maps, len(strips)))
        return strips

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return apart(gradient, ctx.gap, ctx.count), None


class _Apart(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, strips: Tensor, gap: int, count: int, slope: float) -> Tensor:
        ctx.gap, ctx.slope = gap, slope
        images = _images(strips, count)[..., :-gap, :]
        maps = _empty(strips, count, *strips.shape[1:3], images.shape[3])
        if slope == 1:
            _in_rows(maps, len(strips)).copy_(images)
        else:
            torch.ops.aten.leaky_relu(images, slope, out=_in_rows(maps, len(strips)))
            ctx.save_for_backward(maps)
        return maps

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        if ctx.slope == 1:
            return side_by_side(gradient, ctx.gap), None, None, None
        (maps,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient of this gradient is asked for
            slopes = torch.ops.aten.leaky_relu_backward(gradient, maps, ctx.slope, True)
            return side_by_side(slopes, ctx.gap), None, None, None
        strips, images = _strips_for(maps, ctx.gap)
        rows = (_in_rows(each, len(strips)) for each in (gradient, maps))
        torch.ops.aten.leaky_relu_backward(*rows, ctx.slope, True, grad_input=images)
        return strips, None, None, None


class _FoldedTanh(torch.autograd.Function):
    # The bias has been added to the maps already; here it gets its gradient.
    @staticmethod
    def forward(ctx: Any, maps: Tensor, bias: Tensor) -> Tensor:
        # tanh x is 2 sigmoid 2x - 1, and torch's sigmoid takes a third of the time of its tanh.
        doubled = maps.float() * (2 * inside(maps[:1].float()))
        images = doubled.sigmoid_().mul_(2).sub_(1).to(maps.dtype)
        ctx.save_for_backward(images)
        return images

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (images,) = ctx.saved_tensors
        gradient = torch.ops.aten.tanh_backward(gradient, images) * inside(images[:1])
        rows = gradient.permute(0, 2, 3, 1).flatten(1)
        return gradient, rows.float().sum(0).view(-1, gradient.shape[1] // 4).sum(0)


def _strips_for(maps: Tensor, gap: int) -> tuple[Tensor, Float[Tensor, "strip h image w c"]]:
    # Strips whose gaps are zero, and where in them the images go.
    count, channels, height, width = maps.shape
    strips = math.gcd(count, STRIPS)
    laid = _empty(maps, strips, channels, height, count // strips * (width + gap))
    images = _images(laid, count)
    images[..., width:, :] = 0
    return laid, images[..., :width, :]


def _images(strips: Tensor, count: int) -> Float[Tensor, "strip h image w c"]:
    return torch.unflatten(strips.permute(0, 2, 3, 1), 2, (count // len(strips), -1))


def _in_rows(maps: Tensor, strips: int) -> Float[Tensor, "strip h image w c"]:
    return torch.unflatten(maps.permute(0, 2, 3, 1), 0, (strips, -1)).transpose(1, 2)


def _empty(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _strips_help(maps: Tensor, stride: tuple[int, ...], width: int) -> bool:
    return maps.device.type == "cpu" and stride == (2, 2) and width < SHORT
