"""Self-training: a second network sees whole images, and learns from the boxes that a first method drew in them.

The first method's maps are noisy, each in its own way; what a network can learn of them in a thousand small batches is
what they have in common, and that is the objects. Filled boxes are its targets, as boxes are what is asked for in the
end. Images are moved and zoomed at random with their targets, so that it cannot answer by place alone.

Ours in this form; learning from one's own guesses is as old as Scudder, IEEE Transactions on Information Theory 1965.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from boxless.boxes.from_heatmap import Heatmap, Readout, find_boxes
from boxless.data.transforms import to_images
from boxless.discovery.pictures import Pictures, own_autocast, recoloured, settle_statistics
from boxless.runtime.progress import track

ZOOM = (0.65, 1.2)
"""Least and largest magnification of a training image."""
MOVED = 0.25
"""Largest shift of a training image to each side, as a share of half its side."""


class Student(nn.Module):
    """A small U-Net: images in 0..1 -> logits of being inside an object's box, a place every 2 pixels."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [_block(3, width), _block(width, 2 * width), _block(2 * width, 4 * width), _block(4 * width, 4 * width)]
        )
        self.up = nn.ModuleList([_block(8 * width, 2 * width), _block(4 * width, width), _block(2 * width, width)])
        self.dropout = nn.Dropout2d(0.1)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch h w"]:
        """Images in 0..1 -> logits."""
        seen = [self.down[0](F.avg_pool2d(2 * images - 1, 2))]
        for block in self.down[1:]:
            seen.append(block(F.max_pool2d(seen[-1], 2)))
        found = self.dropout(seen.pop())
        for block in self.up:
            skipped = seen.pop()
            found = block(torch.cat([skipped, F.interpolate(found, skipped.shape[-2:])], dim=1))
        logits: Tensor = self.last(found)[:, 0]
        return logits

    @torch.no_grad()
    def heatmap(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch h w"]:
        """Images in 0..1 -> probabilities, those of the image and of its mirror image averaged."""
        mirrored = self(images.flip(-1)).float().sigmoid().flip(-1)
        heat: Tensor = (self(images).float().sigmoid() + mirrored) / 2
        return heat


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)]
    return nn.Sequential(*layers)


def filled_boxes(heats: list[Heatmap], size: int, readout: Readout) -> Bool[Tensor, "image size size"]:
    """The box of each map's largest component, filled, in a square of `size` pixels; nothing where no box is found."""
    masks = torch.zeros(len(heats), size, size, dtype=torch.bool)
    for mask, heat in zip(masks, heats, strict=True):
        boxes, _ = find_boxes(heat, (size, size), readout.threshold, normalisation=readout.normalisation)
        for left, top, right, bottom in boxes.astype(np.int64).tolist():
            mask[top:bottom, left:right] = True
    return masks


def moved(
    images: Float[Tensor, "batch c height width"], draws: torch.Generator
) -> Float[Tensor, "batch c height width"]:
    """Images zoomed, shifted and half of them mirrored at random; what comes into view is their reflection."""
    count = len(images)
    low, high = ZOOM
    scale = 1 / (low + (high - low) * torch.rand(count, generator=draws))
    mirror = 2.0 * (torch.rand(count, generator=draws) < 0.5) - 1
    move = torch.zeros(count, 2, 3)
    move[:, 0, 0], move[:, 1, 1] = scale * mirror, scale
    move[:, :, 2] = MOVED * (2 * torch.rand(count, 2, generator=draws) - 1)
    grid = F.affine_grid(move.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def train_student(
    pictures: Pictures,
    targets: Bool[Tensor, "image height width"],
    *,
    steps: int,
    batch_size: int = 32,
    seed: int = 0,
    device: torch.device,
) -> Student:
    """A student of `targets`, in eval mode: one cycle of AdamW to 3e-3, in the numbers of the caller's autocast.

    Pictures and targets stay where they lie; only batches go to the device.
    """
    numbers = own_autocast(device)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        draws = torch.Generator().manual_seed(seed)
        student: Student = Student().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3, weight_decay=1e-2)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=max(steps, 1))
        for _ in track(range(steps), "learning from its own boxes", steps):
            chosen = torch.randint(len(pictures), (batch_size,), generator=draws)
            images = to_images(pictures[chosen], device)
            both = moved(torch.cat([images, targets[chosen].to(device)[:, None].float()], dim=1), draws)
            seen = recoloured(both[:, :3], draws).contiguous(memory_format=torch.channels_last)
            with numbers:
                logits = student(seen).float()
            loss = F.binary_cross_entropy_with_logits(logits, F.adaptive_avg_pool2d(both[:, 3], logits.shape[-2:]))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            cycle.step()
        with numbers:
            settle_statistics(student, pictures)
    return student
