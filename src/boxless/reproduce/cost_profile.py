"""A training run that notes what it costs: processor seconds of every epoch, and the memory of one step.

Memory is what a step of the last epoch (when everything that a method does is switched on) holds at most beyond what
was there before it: activations, gradients, momentum. It is counted from the allocations themselves, so that neither
the size of the data nor what ran before in the process is in it.
"""

import time
from typing import Any, NamedTuple

import torch
from torch.autograd.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from boxless.backbones import build_backbone
from boxless.data.training_batches import TrainingBatch
from boxless.methods.cam import Cam
from boxless.methods.i2c import I2c
from boxless.methods.training import TrainingRun
from boxless.reproduce.markdown import markdown_table


class ProfiledRun(TrainingRun):
    """A Run with its costs; the numbers it learns are the same."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.step_bytes: int | None = None
        """None when the run had no step of the last epoch left."""
        self.epoch_seconds: list[float] = []
        """Processor seconds of each epoch that was run from its beginning."""
        self._began = time.process_time() if not self.step else None

    def learn(self, batch: TrainingBatch) -> None:
        """One step; the first one of the last epoch is watched."""
        if self.step_bytes is not None or self.epoch < self.settings.epochs - 1:
            super().learn(batch)
        elif self.fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.fabric.device)
            before = torch.cuda.memory_allocated(self.fabric.device)
            super().learn(batch)
            self.step_bytes = torch.cuda.max_memory_allocated(self.fabric.device) - before
        else:
            with profile(profile_memory=True, use_kineto=False) as watched:  # Kineto writes to stderr
                super().learn(batch)
            self.step_bytes = most_allocated(watched)

    def finish_epoch(self) -> None:
        """Note the seconds beside what a Run does."""
        super().finish_epoch()
        now = time.process_time()
        if self._began is not None:
            self.epoch_seconds.append(now - self._began)
        self._began = now


def most_allocated(watched: profile) -> int:
    """The highest sum of allocations less frees in bytes, in the order of the profiler's events."""
    held = most = 0
    for event in sorted(watched.function_events or [], key=lambda event: event.time_range.start):
        held += event.self_cpu_memory_usage
        most = max(most, held)
    return most


class Cost(NamedTuple):
    """Parameters and operations of a plain network and of what I2C adds; a multiplication and its addition are two."""

    plain: int
    """Parameters of the plain network."""
    added: int
    """Numbers that the memory and its counters add."""
    forward: int
    """Operations of the plain network for one image."""
    extra_forward: int
    """Operations that I2C adds to a heat map and logits at test time."""
    sc: int
    """Operations of SC for one pair of images."""
    gc: int
    """Operations of GC for one class: its distance and its update."""


def cost(backbone: str = "inception_v3", classes: int = 1000, size: int = 224, seeds: int = 3) -> Cost:
    """The cost of I2C with the published head on a backbone at `size` pixels."""
    with torch.device("meta"):  # values do not matter, and drawing them would take seconds
        networks = [kind(build_backbone(backbone, weights="none"), classes, head="conv") for kind in (Cam, I2c)]
    plain, ours = (network.to_empty(device="cpu") for network in networks)  # autocast does not know "meta"
    image, label = torch.zeros(1, 3, size, size), torch.zeros(1, dtype=torch.long)
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
    share = 100 * found.added / found.plain
    rows = [
        ("parameters of the plain network", f"{found.plain / 1e6:.1f} M", "27 M"),
        ("numbers that GC adds", f"{found.added / 1e6:.2f} M ({share:.1f} %)", "0.8 M (2.9 %)"),
        ("operations of a forward pass", f"{found.forward / 2e9:.1f} G multiply-adds", "21.42 G"),
        ("operations that GC adds in training, per class", f"{found.gc / 1e3:.1f} K", "3 K"),
        ("operations that SC adds in training, per pair", f"{found.sc / 1e3:.1f} K", "none"),
        ("operations that I2C adds at test time", str(found.extra_forward), "none"),
    ]
    columns = ("InceptionV3, 1,000 classes, 224 px", "counted", "published")
    return "\n".join(markdown_table(columns, rows, text=1)) + "\n"


def _operations(network: Cam, image: torch.Tensor, label: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        network.eval().heatmap_and_logits(image, label)
    return int(counter.get_total_flops())
