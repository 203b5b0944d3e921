"""The question "does this patch come from the middle of its image, or from its border?", and how a network learns it.

The network must not be able to tell the place of a patch without looking: it gives a logit for every window of a grid
that lies wholly inside the image, has no padding, and both sides of the question weigh the same.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from boxless.data.transforms import to_images
from boxless.discovery.pictures import Pictures, own_autocast, recoloured, settle_statistics
from boxless.runtime.progress import track

NEAR, FAR = 0.45, 0.8
"""Windows up to NEAR of the largest distance from the middle are the centre, those from FAR on the border."""
SHARPER = 1.5
"""What the logits are multiplied by in a heat map."""

Network = TypeVar("Network", bound=nn.Module)


def position_targets(h: int, w: int) -> tuple[Bool[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """Which windows of a grid are the centre, and which the border, by Chebyshev distance; the others are neither."""
    down, across = (((torch.arange(n) + 0.5) / n * 2 - 1).abs() / (1 - 1 / n) for n in (h, w))
    distance = torch.maximum(down[:, None], across[None])
    return distance <= NEAR, distance >= FAR


def position_loss(logits: Float[Tensor, "batch h w"]) -> Float[Tensor, ""]:
    """Cross-entropy of centre and border windows, each side weighed the same; log 2 where nothing is known."""
    centre, border = (mask.to(logits.device) for mask in position_targets(*logits.shape[-2:]))
    return (F.softplus(-logits[:, centre]).mean() + F.softplus(logits[:, border]).mean()) / 2


def augmented(
    images: Float[Tensor, "batch 3 height width"], draws: torch.Generator
) -> Float[Tensor, "batch 3 height width"]:
    """Images in 0..1 -> half of them mirrored, each with its own gain (sd 0.2) and shift of each colour (sd 0.05)."""
    mirrored = torch.rand(len(images), generator=draws) < 0.5
    return recoloured(torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(-1), images), draws)


def learn_position(
    make: Callable[[], Network],
    pictures: Pictures,
    *,
    steps: int,
    batch_size: int = 32,
    seed: int = 0,
    device: torch.device,
) -> Network:
    """What `make` gives, images in 0..1 -> logits, once it has learnt to tell centre from border, in eval mode.

    One cycle of AdamW to 4e-3, in the numbers of the caller's autocast; without steps the weights stay random. Pictures
    stay where they lie; only batches go to the device.
    """
    numbers = own_autocast(device)
    with torch.random.fork_rng([]), torch.enable_grad():
        torch.manual_seed(seed)
        draws = torch.Generator().manual_seed(seed)
        network: Network = make().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-2)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=max(steps, 1))
        network.train()
        for _ in track(range(steps), "learning position", steps):
            chosen = torch.randint(len(pictures), (batch_size,), generator=draws)
            images = augmented(to_images(pictures[chosen], device), draws)
            with numbers:
                loss = position_loss(network(images).float())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            cycle.step()
        with numbers:
            settle_statistics(network, pictures)
    return network
