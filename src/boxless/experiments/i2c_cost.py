"""What the constraints add: parameters and operations of the paper's network, counted on tensors without data.

The vectors' operations are few and of no kind that torch counts; they are counted by hand, three for each dimension of
a squared distance (difference, square, sum) and of an update of the memory (Eq. 3). The rest is torch's own count.
"""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from boxless.backbones import build_backbone
from boxless.methods.cam import Cam
from boxless.methods.i2c import I2c


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters and floating-point operations with and without the constraints."""

    plain: int
    """Parameters of the plain network."""
    added: int
    """Numbers that the memory and its counters add."""
    forward: int
    """Operations of the plain network for one image, a multiplication and its addition as two."""
    extra_forward: int
    """Operations that I2C adds to a heat map and logits at test time."""
    sc: int
    """Operations of SC for one pair of images."""
    gc: int
    """Operations of GC for one class: its distance and its update."""


def cost(backbone: str = "inception_v3", classes: int = 1000, size: int = 224, seeds: int = 3) -> Cost:
    """The cost of I2C with the published head on a backbone at `size` pixels."""
    with torch.device("meta"):
        plain, ours = (kind(build_backbone(backbone, weights="none"), classes, head="conv") for kind in (Cam, I2c))
        image, label = torch.empty(1, 3, size, size), torch.zeros(1, dtype=torch.long)
        operations = [_operations(network, image, label) for network in (plain, ours)]
    numbers = [sum(value.numel() for value in network.state_dict().values()) for network in (plain, ours)]
    length = plain.backbone.channels
    return Cost(
        plain=sum(parameter.numel() for parameter in plain.parameters()),
        added=numbers[1] - numbers[0],
        forward=operations[0],
        extra_forward=operations[1] - operations[0],
        sc=3 * seeds * length,
        gc=3 * length + 3 * length,
    )


def cost_table() -> str:
    """Markdown of the cost of the paper's network beside what it prints."""
    found = cost()
    rows = [
        ("parameters of the plain network", f"{found.plain / 1e6:.1f} M", "27 M"),
        (
            "numbers that GC adds",
            f"{found.added / 1e6:.2f} M ({100 * found.added / found.plain:.1f} %)",
            "0.8 M (2.9 %)",
        ),
        ("operations of a forward pass", f"{found.forward / 2e9:.1f} G multiply-adds", "21.42 G"),
        ("operations that GC adds in training, a class", f"{found.gc / 1e3:.1f} K", "3 K"),
        ("operations that SC adds in training, a pair", f"{found.sc / 1e3:.1f} K", "none"),
        ("operations that I2C adds at test time", str(found.extra_forward), "none"),
    ]
    lines = ["| InceptionV3, 1,000 classes, 224 px | counted | published |", "|---|---:|---:|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _operations(network: Cam, image: torch.Tensor, label: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        network.eval().heatmap_and_logits(image, label)
    return int(counter.get_total_flops())
