"""The pictures that a network here learns from: an even share of a folder's, in 8 bits, and what is done to them."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from boxless.data.transforms import to_images

Item = TypeVar("Item")
Pictures = UInt8[Tensor, "image height width 3"]

KEPT = 5_000
"""Images that are learnt from at most, evenly taken from the category's."""


def evenly(items: Sequence[Item], limit: int = KEPT) -> list[Item]:
    """At most `limit` items, evenly taken."""
    return list(items[:: max(1, -(-len(items) // limit))])


class EvenSample:
    """At most `limit` tensors of a stream, evenly taken, however long it is: at first all, then every second..."""

    def __init__(self, limit: int = KEPT) -> None:
        self.limit, self.step, self.seen = limit, 1, 0
        self.kept: list[Tensor] = []

    def add(self, batch: Tensor) -> None:
        """Take in the next ones, along the first axis."""
        for one in batch:
            if self.seen % self.step == 0:
                self.kept.append(one.clone())
            self.seen += 1
            if len(self.kept) > self.limit:
                self.kept, self.step = self.kept[::2], 2 * self.step

    def stacked(self) -> Tensor:
        """What was kept, as one tensor; of no pixels where there is nothing."""
        return torch.stack(self.kept) if self.kept else torch.zeros(0, 1, 1, 3, dtype=torch.uint8)


def recoloured(
    images: Float[Tensor, "batch 3 height width"], draws: torch.Generator
) -> Float[Tensor, "batch 3 height width"]:
    """Images in 0..1, each with its own gain (sd 0.2) and shift of each colour (sd 0.05)."""
    gain = 1 + 0.2 * torch.randn(len(images), 1, 1, 1, generator=draws)
    shift = 0.05 * torch.randn(len(images), 3, 1, 1, generator=draws)
    return (images - 0.5) * gain.to(images.device) + 0.5 + shift.to(images.device)


def own_autocast(device: torch.device) -> torch.autocast:
    """The caller's autocast for a network in training: without copies of weights, which change before it ends."""
    return torch.autocast(
        device.type, torch.bfloat16, enabled=torch.is_autocast_enabled(device.type), cache_enabled=False
    )


@torch.no_grad()
def settle_statistics(network: nn.Module, pictures: Pictures, limit: int = 512) -> None:
    """Batch normalisation from at most `limit` pictures as they are, evenly taken; the network ends in eval mode."""
    network.eval()
    device = next(network.parameters()).device
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.reset_running_stats()
        norm.momentum = None  # the plain average
        norm.train()
    for part in torch.split(pictures[:: -(-len(pictures) // limit)], 64):
        network(to_images(part, device))
    network.eval()
