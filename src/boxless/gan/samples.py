"""Pictures of what G makes, always from the same z, so that one can watch a run."""

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from boxless.gan.diversity import similarity_of_generated
from boxless.gan.networks import frozen_statistics
from boxless.gan.step import Step

SIDE = 8


@torch.no_grad()
def generate(step: Step, z: Float[Tensor, "batch 128"]) -> UInt8[Tensor, "batch size size 3"]:
    """From z to images as training makes them, normalised by the statistics of this batch."""
    with frozen_statistics(step.generator), step.autocast():
        images: Tensor = step.generator(z)
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def similarity(step: Step) -> float:
    """MS-SSIM of fixed pairs of generated images, from the same z in every run: high when all look alike."""
    return similarity_of_generated(lambda z: generate(step, z), step.draw_z, step.device, bank=256, pairs=500)


def save_samples(step: Step, path: Path) -> None:
    """Write a grid of 8 x 8 generated images to `path`, from the same z in every run."""
    draws = torch.Generator(step.device).manual_seed(0)
    images = generate(step, step.draw_z(SIDE * SIDE, draws)).cpu()
    size = images.shape[1]
    grid = images.view(SIDE, SIDE, size, size, 3).permute(0, 2, 1, 3, 4).reshape(SIDE * size, SIDE * size, 3)
    Image.fromarray(grid.numpy()).save(path)
