"""What I2C's constraints add to a training step: against the plain network with the same head, weights and batches.

Both networks make whole steps (loss, gradient, update of the weights) on the same batches of pairs, dealt by the same
sampler, in turns within one run. The plain one is CAM. `constraints` is the time of the constraints alone, forward and
backward, measured on the step's own features.

    python benchmarks/i2c_step.py --backbone lite0 --freeze block14 --steps 5 --out i2c_step.json
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from boxless.backbones import build_backbone
from boxless.data.sampler import make_sampler
from boxless.methods.cam import Cam
from boxless.methods.i2c import I2c, gathered, stochastic_consistency
from boxless.optimizing import make_optimizer
from boxless.settings import Training

Step = Callable[[int], None]


def main() -> None:
    arguments = parse()
    device = torch.device(arguments.device)
    batches = pairs(arguments, device)
    networks = {name: network(kind, arguments, device) for name, kind in (("plain", Cam), ("i2c", I2c))}
    steps: dict[str, Step] = {
        name: whole_step(network, batches, arguments, device) for name, network in networks.items()
    }
    steps["constraints"] = constraints_alone(networks["i2c"], batches)
    seconds = measure(steps, arguments.steps, device)
    (plain, i2c, alone) = (seconds[name] for name in ("plain", "i2c", "constraints"))
    result = {
        "backbone": arguments.backbone,
        "head": arguments.head,
        "freeze": arguments.freeze,
        "size": arguments.size,
        "batch_size": arguments.batch_size,
        "classes": arguments.classes,
        "steps": arguments.steps,
        "plain_seconds": statistics.median(wall for wall, _ in plain),
        "i2c_seconds": statistics.median(wall for wall, _ in i2c),
        "ratio": statistics.median(ours[0] / theirs[0] for ours, theirs in zip(i2c, plain, strict=True)),
        "processor_ratio": min(busy for _, busy in i2c) / min(busy for _, busy in plain),
        "constraints_share": min(busy for _, busy in alone) / min(busy for _, busy in plain),
        "torch": torch.__version__,
        "processor": torch.cuda.get_device_name()
        if device.type == "cuda"
        else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(result, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument("--stride", type=int)
    parser.add_argument("--head", default="linear", choices=["linear", "conv"])
    parser.add_argument("--freeze", default="", help="last step of the backbone that does not learn")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


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


def network(kind: type[Cam], arguments: argparse.Namespace, device: torch.device) -> Cam:
    torch.manual_seed(0)
    backbone = build_backbone(arguments.backbone, stride=arguments.stride, weights="none")
    if arguments.freeze:
        backbone.freeze(arguments.freeze)
    options = {"warm_up": 0} if kind is I2c else {}
    made = kind(backbone, arguments.classes, head=arguments.head, **options)
    made.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made.train()


def whole_step(
    network: Cam, batches: list[tuple[torch.Tensor, torch.Tensor]], arguments: argparse.Namespace, device: torch.device
) -> Step:
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


def measure(steps: dict[str, Step], count: int, device: torch.device) -> dict[str, list[tuple[float, float]]]:
    """Seconds and processor seconds of every step of each, in turns so that all see the same machine."""
    warm_up = 5 if device.type == "cuda" else 1
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for number in range(warm_up + count):
        for name, step in steps.items():
            began = time.perf_counter(), time.process_time()
            step(number)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number >= warm_up:
                found[name].append((time.perf_counter() - began[0], time.process_time() - began[1]))
    return found


if __name__ == "__main__":
    main()
