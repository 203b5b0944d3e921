"""What I2C's constraints add to a training step, on the paper's three backbones; and how fast photographs are read.

For each backbone two networks with the published head make whole steps (loss, gradient, update of the weights) on the
same batches of pairs, dealt by the same sampler, in turns within one run: the plain one is CAM, the other has both
constraints. `constraints` is the processor time of the constraints alone, forward and backward, measured on the step's
own features: where a step takes seconds it says more than the difference of two steps. `reading` is the rate at which
the training loop's own threads read JPEG photographs of 500 x 375 pixels, resize, cut and mirror them to 224 pixels.

    python benchmarks/i2c_step.py --steps 5 --out docs/results/22-i2c-step.json
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from boxless.backbones import build_backbone
from boxless.data.folder import read_data
from boxless.data.sampler import make_sampler
from boxless.data.training_batches import PictureCache, Request, batches
from boxless.data.transforms import Resize, draws
from boxless.methods.cam import Cam
from boxless.methods.i2c import I2c, gathered, stochastic_consistency
from boxless.methods.optimizer import make_optimizer
from boxless.methods.settings import Training
from boxless.runtime.provenance import provenance

Step = Callable[[int], None]
Seconds = list[tuple[float, float]]
"""Wall and processor seconds of every step."""


def main() -> None:
    arguments = parse()
    device = torch.device(arguments.device)
    result: dict[str, Any] = {
        **provenance(),
        "batch_size": arguments.batch_size,
        "pixels": arguments.size,
        "classes": arguments.classes,
        "steps": arguments.steps,
        "threads": torch.get_num_threads(),
        "load_before": os.getloadavg()[0],
        "reading": reading(arguments.photographs, arguments.workers),
        "backbones": [paired(name, arguments, device) for name in arguments.backbones.split(",")],
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", default="vgg16,resnet50,inception_v3")
    parser.add_argument("--head", default="conv", choices=["linear", "conv"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--photographs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def paired(backbone: str, arguments: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Both networks in turns on one backbone."""
    made = pairs(arguments, device)
    networks = {name: network(kind, backbone, arguments, device) for name, kind in (("plain", Cam), ("i2c", I2c))}
    steps: dict[str, Step] = {name: whole_step(network, made, device) for name, network in networks.items()}
    steps["constraints"] = constraints_alone(networks["i2c"], made)
    seconds = measure(steps, arguments.steps, device)
    plain, i2c, alone = (seconds[name] for name in ("plain", "i2c", "constraints"))
    ratios = [ours[0] / theirs[0] for ours, theirs in zip(i2c, plain, strict=True)]
    return {
        "backbone": backbone,
        "head": arguments.head,
        "plain_seconds": statistics.median(wall for wall, _ in plain),
        "i2c_seconds": statistics.median(wall for wall, _ in i2c),
        "images_per_second": arguments.batch_size / statistics.median(wall for wall, _ in i2c),
        "i2c_over_plain": statistics.median(ratios),
        "i2c_over_plain_lowest": min(ratios),
        "i2c_over_plain_highest": max(ratios),
        "processor_seconds_over_plain": min(busy for _, busy in i2c) / min(busy for _, busy in plain),
        "constraints_percent_of_a_step": 100 * min(busy for _, busy in alone) / min(busy for _, busy in plain),
    }


def pairs(arguments: argparse.Namespace, device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """A few batches of noise, labelled as the sampler deals pairs of classes."""
    torch.manual_seed(0)
    labels = [index // 4 for index in range(4 * arguments.classes)]
    sampler = make_sampler(labels, arguments.batch_size, I2c.images_per_class, seed=0)
    found = []
    for indices, _ in zip(sampler.batches(0), range(4), strict=False):
        images = torch.rand(len(indices), 3, arguments.size, arguments.size)
        found.append((images.to(device, memory_format=torch.channels_last), torch.tensor(indices).to(device) // 4))
    return found


def network(kind: type[Cam], backbone: str, arguments: argparse.Namespace, device: torch.device) -> Cam:
    torch.manual_seed(0)
    options: dict[str, Any] = {"warm_up": 0} if kind is I2c else {}
    made = kind(build_backbone(backbone, weights="none"), arguments.classes, head=arguments.head, **options)
    made.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made.train()


def whole_step(network: Cam, batches: list[tuple[torch.Tensor, torch.Tensor]], device: torch.device) -> Step:
    """A step of training as the loop makes it."""
    optimizer = make_optimizer(network, Training(lr=1e-4))

    def step(number: int) -> None:
        images, labels = batches[number % len(batches)]
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            losses = network.loss(images, labels)
        losses.total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def constraints_alone(network: Cam, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> Step:
    """The seeds of features that are there, both losses, and their gradient on the features."""
    assert isinstance(network, I2c)
    with torch.no_grad():
        features = network.backbone(batches[0][0])
        hidden = network.neck(features)
    labels = batches[0][1]

    def step(number: int) -> None:
        leaf = features.detach().requires_grad_()
        found = gathered(network.find_seeds(leaf, network.class_maps(hidden, labels), labels))
        loss = 8e-5 * stochastic_consistency(found, squared=True) + 1e-5 * network.global_consistency(found)
        loss.backward()

    return step


def measure(steps: dict[str, Step], count: int, device: torch.device) -> dict[str, Seconds]:
    """Seconds of every step of each, in turns so that all see the same machine."""
    warm_up = 5 if device.type == "cuda" else 1
    found: dict[str, Seconds] = {name: [] for name in steps}
    for number in range(warm_up + count):
        for name, step in steps.items():
            began = time.perf_counter(), time.process_time()
            step(number)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number >= warm_up:
                found[name].append((time.perf_counter() - began[0], time.process_time() - began[1]))
    return found


def reading(photographs: int, workers: int) -> dict[str, Any]:
    """Photographs a second through the training loop's reader: nothing is kept, so that each is decoded."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for index in range(photographs):
            small = Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8))
            path = Path(folder) / ("a", "b")[index % 2] / f"{index:05d}.jpg"
            path.parent.mkdir(exist_ok=True)
            small.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
        pictures = PictureCache(read_data(Path(folder)), Resize(256, "short-side"), memory=0.0)
        parts = np.array_split(np.arange(photographs), max(1, photographs // 20))
        requests = [Request(part, draws(len(part), 0, number)) for number, part in enumerate(parts)]
        began = time.perf_counter(), time.process_time()
        seen = sum(len(batch.targets) for batch in batches(pictures, requests, 224, workers))
        wall, busy = time.perf_counter() - began[0], time.process_time() - began[1]
    return {
        "photographs": seen,
        "workers": workers,
        "photographs_per_second": seen / wall,
        "photographs_per_processor_second": seen / busy,
    }


if __name__ == "__main__":
    main()
