"""What G makes, always from the same z, so that checkpoints and runs can be compared: pictures and their diversity."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from boxless.gan import Latent
from boxless.gan.networks import Generator, draw_z, frozen_statistics
from boxless.gan.sample_metrics import similarity_of_pairs

SIDE = 8


def generator_of(content: dict[str, Any]) -> tuple[Generator, Latent]:
    """The G of a checkpoint of kind "gan", and the distribution of its z."""
    settings, recipe = content["settings"], content["recipe"]
    generator = Generator(settings["size"], width=settings["width"], base=recipe["g_base"])
    generator.load_state_dict(content["generator"])
    return generator, recipe["latent"]


@torch.no_grad()
def generate(
    generator: Generator, z: Float[Tensor, "batch 128"], *, bf16: bool = False
) -> UInt8[Tensor, "batch size size 3"]:
    """From z to images as training makes them, normalised by the statistics of this batch."""
    with frozen_statistics(generator), torch.autocast(z.device.type, torch.bfloat16, enabled=bf16):
        images: Tensor = generator(z)
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def samples(
    generator: Generator, latent: Latent, count: int, *, bf16: bool = False, seed: int = 0
) -> UInt8[Tensor, "count size size 3"]:
    """`count` images from the z of `seed`, in batches of 128, on the CPU."""
    device = next(generator.parameters()).device
    z = draw_z(latent, count, torch.Generator(device).manual_seed(seed))
    return torch.cat([generate(generator, part, bf16=bf16).cpu() for part in torch.split(z, 128)])


def similarity(generator: Generator, latent: Latent, *, bf16: bool = False) -> float:
    """MS-SSIM of fixed pairs of generated images, from the same z in every run: high when all look alike."""
    return similarity_of_pairs(samples(generator, latent, 256, bf16=bf16), pairs=500)


def grid(images: UInt8[Tensor, "n size size 3"]) -> UInt8[np.ndarray, "side side 3"]:
    """64 images as a picture of 8 x 8."""
    size = images.shape[1]
    rows = images.view(SIDE, SIDE, size, size, 3).permute(0, 2, 1, 3, 4)
    return rows.reshape(SIDE * size, SIDE * size, 3).numpy()


def save_samples(generator: Generator, latent: Latent, path: Path, *, bf16: bool = False) -> None:
    """Write a grid of 8 x 8 generated images to `path`, from the same z in every run."""
    Image.fromarray(grid(samples(generator, latent, SIDE * SIDE, bf16=bf16))).save(path)
