"""Further ways to ask a discriminator where it looks, none of which needs its last layer to be linear.

They are read beside those of `localizer` in the table of readings, to find out whether D has learnt where objects are
in a form that those miss.

    gradient    size of the logit's gradient by the colours of a place (Simonyan et al. 2014)
    occlusion   fall of the logit when a place is hidden (Zeiler and Fergus 2014)
    density     log ratio of the densities of real and generated descriptors, as Fisher's linear discriminant has it
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from boxless.backbones.gradients import input_gradient
from boxless.discovery.descriptors import Moments
from boxless.gan.data import chunks
from boxless.gan.networks import Discriminator

Heatmaps = Float[Tensor, "batch h w"]
CELLS = 8
"""Side of the maps of `gradient` and `occlusion`; what `occlusion` hides is twice as wide as a cell."""
RIDGE = 0.01
"""Share of the mean variance that is added to every direction's."""
FloatImages = Float[Tensor, "batch 3 size size"]
Logit = Callable[[Tensor], Tensor]
"""Images in 0..1 (batch, 3, size, size) -> the logit of each (batch,)."""
COPIES = 8
NOISE = 0.05
"""Standard deviation of what is added to the colours of a copy, in 0..1."""
CELL = 4
"""Pixels of an image along a place of the map."""


def gradient(logit: Logit, images: FloatImages) -> Heatmaps:
    """Images in 0..1 -> (batch, 8, 8): the mean of |gradient of the logit| over the pixels and colours of a cell."""
    return F.adaptive_avg_pool2d(input_gradient(logit, images)[0].abs().mean(1), CELLS)


@torch.no_grad()
def occlusion(logit: Logit, images: FloatImages) -> Heatmaps:
    """Images in 0..1 -> (batch, 8, 8): how far the logit falls when the image's mean colour covers a place."""
    cell = images.shape[-1] // CELLS
    whole, mean = logit(images), images.mean((2, 3), keepdim=True)
    falls = []
    for row in range(CELLS):
        for column in range(CELLS):
            hidden = images.clone()
            top, left = cell * row - cell // 2, cell * column - cell // 2
            hidden[:, :, max(top, 0) : top + 2 * cell, max(left, 0) : left + 2 * cell] = mean
            falls.append(whole - logit(hidden))
    return torch.stack(falls, dim=1).view(-1, CELLS, CELLS)


@torch.no_grad()
def density(
    discriminator: Discriminator,
    real: UInt8[Tensor, "n size size 3"],
    generated: UInt8[Tensor, "m size size 3"],
    layer: int,
) -> Callable[[FloatImages], Heatmaps]:
    """What maps images in 0..1 to (batch, h, w): w · descriptor at each place of `layer`, large where it looks real.

    w = S⁻¹ (mean of real - mean of generated descriptors), S the mean of their covariances: up to a constant the log
    ratio of their densities, if both are Gaussian with one covariance.
    """
    moments = Moments(), Moments()
    for images, seen in zip((real, generated), moments, strict=True):
        for batch in chunks(images):
            seen.add(discriminator.maps(batch)[layer])
    (real_mean, real_spread), (fake_mean, fake_spread) = (seen.mean_and_covariance() for seen in moments)
    spread = (real_spread + fake_spread) / 2
    ridge = RIDGE * spread.diagonal().mean().clamp(min=1e-12) * torch.eye(len(spread), device=spread.device)
    direction = torch.linalg.solve(spread + ridge, real_mean - fake_mean).float()

    @torch.no_grad()
    def heatmap(images: FloatImages) -> Heatmaps:
        return torch.einsum("bchw,c->bhw", discriminator.maps(2 * images - 1)[layer].float(), direction)

    return heatmap


@torch.no_grad()
def smoothgrad(logit: Logit, images: FloatImages) -> Float[Tensor, "batch h w"]:
    """Images in 0..1 -> (batch, size / 4, size / 4): the root mean square of the gradient over noisy copies and a cell.

    The noise of a copy is the same for every image and every call, so that a map depends on its image alone.
    """
    draws = torch.Generator().manual_seed(0)
    total = torch.zeros_like(images[:, 0])
    for _ in range(COPIES):
        noise = torch.randn(images.shape[1:], generator=draws).to(images)
        total += input_gradient(logit, images + NOISE * noise)[0].square().sum(1)
    return F.avg_pool2d(total / COPIES, CELL).sqrt()
