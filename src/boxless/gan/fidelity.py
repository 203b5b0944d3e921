"""How far generated images are from real ones: the kernel inception distance, through torchmetrics.

Published KIDs read InceptionV3's features at 299 pixels, whose weights do not come with pip. EfficientNet-Lite0's do;
its features make a distance that can be compared within boxless and with no published number. KID is unbiased with few
images, unlike FID, whose covariance has no full rank for the thousand images of a small category.
"""

import warnings
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

import boxless.torchvision_guard  # noqa: F401  # before torchmetrics, which imports torchvision
from boxless.backbones import build_backbone

SIDE = 96
"""Side in pixels that images are brought to; GANs here make 32 or 64."""
SUBSETS, SUBSET = 50, 100
"""Random subsets that the distance is the mean over, and their images at most."""

Images = UInt8[Tensor, "_n size size 3"]


class Features(nn.Module):
    """Lite0's last features, averaged over the image: uint8 (batch, 3, h, w) -> (batch, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = build_backbone("lite0", stride=32).eval()

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 1280"]:
        """Resize, and average what the backbone computes."""
        large = F.interpolate(images.float() / 255, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        features: Tensor = self.backbone(large)
        return features.mean((2, 3))


class Distance(NamedTuple):
    """A KID x 1000, the mean over subsets, and their standard deviation."""

    mean: float
    deviation: float


def kid(real: Images, generated: Images, features: nn.Module | None = None, seed: int = 0) -> Distance:
    """KID of (n, size, size, 3) images (Binkowski et al. 2018, cubic kernel) x 1000; about 0 for two halves of one set.

    `features` maps uint8 (batch, 3, h, w) to (batch, feature) and is Lite0 if not given.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings(), torch.random.fork_rng([]):
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance`")
        torch.manual_seed(seed)
        subset = min(SUBSET, len(real), len(generated))
        metric = KernelInceptionDistance(feature=features or Features(), subsets=SUBSETS, subset_size=subset)
        for images, genuine in ((real, True), (generated, False)):
            for part in torch.split(images, 64):
                metric.update(part.permute(0, 3, 1, 2), real=genuine)
        mean, deviation = metric.compute()
    return Distance(1000 * float(mean), 1000 * float(deviation))
