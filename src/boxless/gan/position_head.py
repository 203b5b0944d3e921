"""The position question asked of a discriminator: does a window come from the middle of its image, or from its border?

D is frozen. A small head sees the features of single windows and learns the answer from the images alone, as the method
`position` does (boxless.discovery.position); what it can answer is what D's features tell of objects and surroundings.
D's convolutions pad with zeros, which would tell the place, so its layers are run without padding on windows that lie
wholly inside the image. The same head on the raw pixels of the same windows is what a D has to beat.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boxless.discovery.centre_or_border import SHARPER, learn_position
from boxless.discovery.descriptors import centre_prior
from boxless.discovery.pictures import Pictures
from boxless.gan.networks import Layer

STEPS, BATCH = 150, 16
"""Batches that a head learns from, and images of each."""
IMAGES = 2048
"""Images that it learns from at most, evenly taken."""
HIDDEN = 64
LEAST = 3
"""Windows along a side that the question needs: fewer are all equally far from the middle."""
BROAD = 0.4
"""Standard deviation of the Gaussian at the centre, as a share of the side."""
Maps = Callable[[Tensor], Tensor]
"""Images in 0..1 (batch, 3, h, w) -> features of windows (batch, c, h', w')."""


class Windows(NamedTuple):
    """The windows that a layer sees: their side in pixels, and pixels from one to the next."""

    side: int
    step: int

    @classmethod
    def of(cls, layers: Sequence[Layer], *, dense: bool) -> "Windows":
        """Those of the last of `layers`, which are D's from the first on; with `dense` that one has stride 1."""
        side = step = 1
        for layer in layers:
            side += 3 * step
            step *= layer.stride
        return cls(side, step // layers[-1].stride if dense else step)

    def inside(self, size: int) -> int:
        """How many lie wholly inside, along a side of `size` pixels."""
        return (size - self.side) // self.step + 1

    def padded(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 3 _h _w"]:
        """Images grown by their own edges, so that there is a window around every place."""
        before = (self.side - self.step) // 2
        return F.pad(images, (before, self.side - self.step - before) * 2, mode="replicate")


class PositionHead(nn.Module):
    """Features of windows -> the logit of each to come from the middle."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(width),  # features of an untrained D are small numbers
            nn.Conv2d(width, HIDDEN, 1, bias=False),
            nn.BatchNorm2d(HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
            nn.Conv2d(HIDDEN, 1, 1),
        )

    def forward(self, maps: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch h w"]:
        """Features -> logits."""
        logits: Tensor = self.layers(maps)[:, 0]
        return logits


class _Probe(nn.Module):
    """A head on features that stay as they are: they are a function here, and no part of the network that learns."""

    def __init__(self, maps: Maps, width: int) -> None:
        super().__init__()
        self.maps, self.head = maps, PositionHead(width)

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch _h _w"]:
        with torch.no_grad():
            maps = self.maps(images)
        logits: Tensor = self.head(maps)
        return logits


def trained_head(maps: Maps, width: int, pictures: Pictures, device: torch.device) -> PositionHead:
    """A head that has learnt from pictures, seed 0 always: what differs between two Ds is then D."""
    pictures = pictures[:: -(-len(pictures) // IMAGES)]
    probe = learn_position(lambda: _Probe(maps, width), pictures, steps=STEPS, batch_size=BATCH, device=device)
    return probe.head


def middle(logits: Float[Tensor, "batch h w"]) -> Float[Tensor, "batch h w"]:
    """Logits of windows around every place -> heat maps: sigmoid, times a broad Gaussian at the centre."""
    height, width = logits.shape[-2:]
    return (SHARPER * logits.float()).sigmoid() * centre_prior(height, width, BROAD).to(logits.device)


def pixel_heatmap(windows: Windows, pictures: Pictures) -> Maps:
    """The control: the same head on the raw pixels of the same windows -> how maps are made."""

    def pixels(images: Tensor) -> Tensor:
        patches = images.unfold(2, windows.side, windows.step).unfold(3, windows.side, windows.step)
        return patches.permute(0, 1, 4, 5, 2, 3).flatten(1, 3)

    head = trained_head(pixels, 3 * windows.side**2, pictures, pictures.device)

    @torch.no_grad()
    def heatmap(images: Tensor) -> Tensor:
        return middle(head(pixels(windows.padded(images))))

    return heatmap
