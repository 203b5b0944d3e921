"""Speed of a GAN iteration: boxless against the loop as it is usually written, in the same run.

The usual loop is eager, float32, contiguous; torch's own spectral normalisation moves at every forward, D's weights
get gradients in G's step, real images come from host memory and three losses are read with .item() in every step.

    python benchmarks/gan_step.py --gan sn-dcgan --iterations 5 --out gan_step.json

With --against the step of this checkout is measured against that of another one, each in a process of its own and in
turns, and what both log of the same iterations is compared:

    python benchmarks/gan_step.py --width .25 --preset reference --iterations 60 --against ../before --out gan_step.json
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.flop_counter import FlopCounterMode

from boxless.gan import GANS, Recipe
from boxless.gan import recipe as recipe_of
from boxless.gan.augmentation import Batches
from boxless.gan.networks import Discriminator, Generator
from boxless.gan.training_step import Step
from boxless.runtime.devices import bf16_is_fast
from boxless.runtime.files import write_json
from boxless.runtime.provenance import provenance

WARM_UP = 5
HERE = Path(__file__).resolve().parents[1]
WORKER = """
import json, sys, time, torch
from boxless.gan import recipe as recipe_of
from boxless.gan.augmentation import Batches
from boxless.gan.networks import Discriminator, Generator
try:
    from boxless.gan.training_step import Step
except ImportError:  # its name in versions before 0.2
    from boxless.gan.step import Step
gan, preset, size, width, bf16, device = json.loads(sys.argv[1])
recipe = recipe_of(gan, preset)
torch.manual_seed(0)
images = torch.randint(0, 256, (1500, size, size, 3), dtype=torch.uint8)
generator = Generator(size, width=width, base=recipe.g_base)
norms = dict(norm=recipe.norm, norm_first=recipe.norm_first, spectral=recipe.spectral)
discriminator = Discriminator(size, width=width, **norms)
step = Step(recipe, generator, discriminator, Batches(images.to(device), augment=False), bf16=bf16)
for line in sys.stdin:
    began = time.perf_counter(), time.process_time()
    step.iterate(0, int(line))
    terms = step.terms.tolist()
    spent = time.perf_counter() - began[0], time.process_time() - began[1]
    print(json.dumps([*spent, terms]), flush=True)
"""


def main() -> None:
    arguments = parse()
    recipe = recipe_of(arguments.gan, arguments.preset)
    device = torch.device(arguments.device)
    if arguments.against:
        report(arguments, against(arguments, device))
        return
    torch.manual_seed(0)
    images = torch.randint(0, 256, (1500, arguments.size, arguments.size, 3), dtype=torch.uint8)
    loops = {
        "plain": plain_loop(arguments, recipe, images, device),
        "boxless": fast_loop(arguments, recipe, images, device),
    }
    seconds = measure(loops, arguments.iterations, device)
    operations = flops(arguments, recipe)
    rate = matmul_rate(device)
    result: dict[str, Any] = {
        "gflop_per_iteration": operations / 1e9,
        "matmul_gflop_per_second": rate / 1e9,
        "floor_seconds": operations / rate,
        "ratio": seconds["plain"][0] / seconds["boxless"][0],
        "processor_ratio": seconds["plain"][1] / seconds["boxless"][1],
    }
    for name, (wall, busy) in seconds.items():
        speed = {"iterations_per_second": 1 / wall, "gflop_per_second": operations / wall / 1e9}
        result[name] = {"seconds an iteration": wall, "processor_seconds": busy, **speed}
    result["share_of_floor"] = operations / rate / seconds["boxless"][0]
    report(arguments, result)


def report(arguments: argparse.Namespace, measured: dict[str, Any]) -> None:
    """Print what was measured beside the conditions, and write it."""
    result = {
        **provenance(),
        "gan": arguments.gan,
        "preset": arguments.preset,
        "size": arguments.size,
        "width": arguments.width,
        "batch_size": recipe_of(arguments.gan, arguments.preset).batch_size,
        "iterations": arguments.iterations,
        "threads": torch.get_num_threads(),
        "load_before": os.getloadavg()[0],
        **measured,
    }
    print(json.dumps(result, indent=2))
    if arguments.out:
        write_json(arguments.out, result)


def against(arguments: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Seconds of an iteration of both checkouts, and how far apart what they log is, relative to the other's."""
    options = [arguments.gan, arguments.preset, arguments.size, arguments.width, bf16_is_fast(device), str(device)]
    other = commit_of(arguments.against)
    workers = {name: worker(path, options) for name, path in ((other, arguments.against), ("boxless", HERE))}
    spent: dict[str, list[list[float]]] = {name: [] for name in workers}
    terms: dict[str, list[list[float]]] = {name: [] for name in workers}
    for number in range(WARM_UP + arguments.iterations):
        for name, process in workers.items():
            assert process.stdin and process.stdout
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
            *both, logged = json.loads(process.stdout.readline())
            terms[name].append(logged)
            spent[name] += [both] if number >= WARM_UP else []
    for process in workers.values():
        process.communicate()
    theirs, ours = (torch.tensor(terms[name], dtype=torch.float64) for name in workers)
    apart = ((ours - theirs).abs() / theirs.abs().clamp(min=1e-3))[:, [0, 2]].amax(1)  # losses of D and of G
    result: dict[str, Any] = {
        "losses_apart": {f"first {n}": apart[:n].max().item() for n in (1, 5, 20) if n <= len(apart)},
    }
    for kind, choose in (("fewest", min), ("median", statistics.median)):
        seconds = {name: [choose(column) for column in zip(*rows, strict=True)] for name, rows in spent.items()}
        result[kind] = {
            **{name: {"seconds": wall, "processor_seconds": busy} for name, (wall, busy) in seconds.items()},
            "ratio": seconds[other][0] / seconds["boxless"][0],
            "processor_ratio": seconds[other][1] / seconds["boxless"][1],
        }
    return result


def commit_of(checkout: Path) -> str:
    """What a checkout holds, by the name that git gives it."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def worker(checkout: Path, options: list[Any]) -> "subprocess.Popen[str]":
    """A process with the step of `checkout`: from the number of an iteration to its seconds and what it logs."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve() / "src")}
    command = [sys.executable, "-c", WORKER, json.dumps(options)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gan", default="sn-dcgan", choices=[name for name in GANS if GANS[name].penalty == "none"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--preset", default="paper", choices=["paper", "reference"])
    parser.add_argument("--against", type=Path, help="another checkout, of this version or an earlier one")
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
