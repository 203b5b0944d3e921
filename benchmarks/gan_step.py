"""Speed of a GAN iteration: boxless against the loop as it is usually written, in the same run.

The usual loop is eager, float32, contiguous; torch's own spectral normalisation moves at every forward, D's weights
get gradients in G's step, real images come from host memory and three losses are read with .item() in every step.

    python benchmarks/gan_step.py --gan sn-dcgan --iterations 5 --out gan_step.json
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.flop_counter import FlopCounterMode

from boxless.gan import GANS, Recipe
from boxless.gan.augmentation import Batches
from boxless.gan.networks import Discriminator, Generator
from boxless.gan.training_step import Step
from boxless.runtime.devices import bf16_is_fast
from boxless.runtime.files import write_json
from boxless.runtime.provenance import provenance


def main() -> None:
    arguments = parse()
    recipe = GANS[arguments.gan]
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (1500, arguments.size, arguments.size, 3), dtype=torch.uint8)
    loops = {
        "plain": plain_loop(arguments, recipe, images, device),
        "boxless": fast_loop(arguments, recipe, images, device),
    }
    seconds = measure(loops, arguments.iterations, device)
    operations = flops(arguments, recipe)
    rate = matmul_rate(device)
    result = {
        **provenance(),
        "gan": arguments.gan,
        "size": arguments.size,
        "width": arguments.width,
        "batch_size": recipe.batch_size,
        "iterations": arguments.iterations,
        "gflop_per_iteration": operations / 1e9,
        "matmul_gflop_per_second": rate / 1e9,
        "floor_seconds": operations / rate,
        "ratio": seconds["plain"][0] / seconds["boxless"][0],
        "processor_ratio": seconds["plain"][1] / seconds["boxless"][1],
        "threads": torch.get_num_threads(),
        "load_before": os.getloadavg()[0],
    }
    for name, (wall, busy) in seconds.items():
        speed = {"iterations_per_second": 1 / wall, "gflop_per_second": operations / wall / 1e9}
        result[name] = {"seconds an iteration": wall, "processor_seconds": busy, **speed}
    result["share_of_floor"] = operations / rate / seconds["boxless"][0]
    print(json.dumps(result, indent=2))
    if arguments.out:
        write_json(arguments.out, result)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gan", default="sn-dcgan", choices=[name for name in GANS if GANS[name].penalty == "none"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-graph", action="store_true")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def networks(arguments: argparse.Namespace, recipe: Recipe, *, spectral: bool) -> tuple[Generator, Discriminator]:
    """G and D of the recipe."""
    torch.manual_seed(0)
    generator = Generator(arguments.size, width=arguments.width, base=recipe.g_base)
    options = {"width": arguments.width, "norm": recipe.norm, "norm_first": recipe.norm_first}
    return generator, Discriminator(arguments.size, **options, spectral=spectral)


def fast_loop(
    arguments: argparse.Namespace, recipe: Recipe, images: torch.Tensor, device: torch.device
) -> Callable[[int], None]:
    """The step of boxless, as training runs it."""
    generator, discriminator = networks(arguments, recipe, spectral=recipe.spectral)
    batches = Batches(images.to(device), augment=False)
    bf16, graph = bf16_is_fast(device), not arguments.no_graph
    step = Step(recipe, generator, discriminator, batches, bf16=bf16, graph=graph)
    return lambda number: step.iterate(0, number)


def plain_loop(
    arguments: argparse.Namespace, recipe: Recipe, images: torch.Tensor, device: torch.device
) -> Callable[[int], None]:
    """The same iteration as tutorials write it."""
    generator, discriminator = (network.to(device) for network in networks(arguments, recipe, spectral=False))
    if recipe.spectral:
        for layer in discriminator.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                spectral_norm(layer)
    betas = (recipe.beta1, recipe.beta2)
    g_optimizer, d_optimizer = (torch.optim.Adam(n.parameters(), recipe.lr, betas) for n in (generator, discriminator))
    ones, zeros = (torch.full((recipe.batch_size,), value, device=device) for value in (1.0, 0.0))

    def draw_z() -> torch.Tensor:
        return torch.rand(recipe.batch_size, 128, device=device) * 2 - 1

    def iterate(number: int) -> None:
        real = images[torch.randint(len(images), (recipe.batch_size,))].permute(0, 3, 1, 2).contiguous()
        real = real.to(device).float() / 127.5 - 1
        fake = generator(draw_z()).detach()
        real_loss = F.binary_cross_entropy_with_logits(discriminator(real), ones)
        fake_loss = F.binary_cross_entropy_with_logits(discriminator(fake), zeros)
        d_optimizer.zero_grad()
        (real_loss + fake_loss).backward()
        d_optimizer.step()
        g_loss = F.binary_cross_entropy_with_logits(discriminator(generator(draw_z())), ones)
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        _ = real_loss.item(), fake_loss.item(), g_loss.item()

    return iterate


def measure(
    loops: dict[str, Callable[[int], None]], iterations: int, device: torch.device
) -> dict[str, tuple[float, float]]:
    """Fewest seconds and processor seconds of an iteration of each loop, in turns so that both see the same machine."""
    warm_up = 5 if device.type == "cuda" else 1
    seconds = dict.fromkeys(loops, (float("inf"), float("inf")))
    for number in range(warm_up + iterations):
        for name, loop in loops.items():
            began = time.perf_counter(), time.process_time()
            loop(number)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number >= warm_up:
                wall, busy = time.perf_counter() - began[0], time.process_time() - began[1]
                seconds[name] = min(seconds[name][0], wall), min(seconds[name][1], busy)
    return seconds


def flops(arguments: argparse.Namespace, recipe: Recipe) -> float:
    """Floating-point operations that one iteration needs, counted on a small batch of our own step."""
    small = 4
    generator, discriminator = networks(arguments, recipe, spectral=False)
    images = torch.zeros(small, arguments.size, arguments.size, 3, dtype=torch.uint8)
    counted = Recipe("", loss=recipe.loss, norm=recipe.norm, d_steps=recipe.d_steps, batch_size=small)
    step = Step(counted, generator, discriminator, Batches(images, augment=False), bf16=False)
    with FlopCounterMode(display=False) as counter:
        step.iterate(0, 0)
    return counter.get_total_flops() * recipe.batch_size / small


def matmul_rate(device: torch.device) -> float:
    """Operations per second of a large matrix product in the precision of training: what the machine can do."""
    kind = torch.bfloat16 if bf16_is_fast(device) else torch.float32
    side = 8192 if device.type == "cuda" else 2048
    a = torch.randn(side, side, device=device).to(kind)
    best = float("inf")
    for _ in range(6):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


if __name__ == "__main__":
    main()
