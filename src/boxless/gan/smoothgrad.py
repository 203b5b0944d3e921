"""Where the logit of a discriminator would change most if the image did: the size of its gradient by the pixels.

A plain gradient jumps from pixel to pixel. Its mean over a few noisy copies of the image does not (Smilkov et al.
2017), and squaring first keeps changes of both signs (Hooker et al. 2019, SmoothGrad-Squared).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boxless.slopes import slopes_of

Images = Float[Tensor, "batch 3 size size"]
Logit = Callable[[Tensor], Tensor]
"""Images in 0..1 (batch, 3, size, size) -> the logit of each (batch,)."""
COPIES = 8
NOISE = 0.05
"""Standard deviation of what is added to the colours of a copy, in 0..1."""
CELL = 4
"""Pixels of an image along a place of the map."""


@torch.no_grad()
def smoothgrad(logit: Logit, images: Images) -> Float[Tensor, "batch h w"]:
    """Images in 0..1 -> (batch, size / 4, size / 4): the root mean square of the gradient over noisy copies and a cell.

    The noise of a copy is the same for every image and every call, so that a map depends on its image alone.
    """
    draws = torch.Generator().manual_seed(0)
    total = torch.zeros_like(images[:, 0])
    for _ in range(COPIES):
        noise = torch.randn(images.shape[1:], generator=draws).to(images)
        total += slopes_of(logit, images + NOISE * noise)[0].square().sum(1)
    return F.avg_pool2d(total / COPIES, CELL).sqrt()
