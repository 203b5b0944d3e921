"""Does a folder look like what ImageNet knows? By the statistics that come with lite0's own weights.

The last batch normalisation of the block before the head holds mean and standard deviation of each of its 320 channels
over ImageNet. A folder's own mean lies away from them; how far, as a share of how much its images differ among each
other, is 0.5 to 1.7 for categories of everyday photographs and above 2 for microscopy, X-rays and series of parts. It
does not tell all that ImageNet never saw: photographs of skin or of printed codes are photographs. The classifier's
confidence, which stands beside it, tells less still: cells .4, birds .1 to .5.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from boxless.backbones.backbone import Backbone
from boxless.backbones.lite0 import imagenet

STEP = "block15"
FEWEST = 6
"""Images below which nothing is said."""
STRANGE = 2.0
"""Distance above which a folder is called unlike ImageNet: between 1.7 and 2.3, the ends of what was measured."""
ALIKE = 0.01
"""Variance, as a share of ImageNet's, below which all images of a folder are alike."""


@dataclass(frozen=True, slots=True)
class Familiarity:
    """How a folder compares with ImageNet."""

    images: int
    distance: float
    """Squared distance of its mean from ImageNet's over the variance among its images; nan where it has none."""
    confidence: float
    """Mean probability of the likeliest of ImageNet's thousand classes."""

    def words(self) -> str:
        """Whether it looks like what ImageNet knows, in a clause."""
        if self.images < FEWEST:
            return f"too few images to compare with ImageNet's ({self.images}), expected {FEWEST} or more"
        if np.isnan(self.distance):
            return "all images look the same to the network, so that nothing can be learnt of what they share"
        like = (
            "unlike what ImageNet knows" if self.distance >= STRANGE else "nothing that tells it from ImageNet's images"
        )
        return (
            f"{like} (distance {self.distance:.1f}, limit {STRANGE:g}; ImageNet's classifier is sure by "
            f"{self.confidence:.2f}, which tells little)"
        )


class Recorder:
    """Watches lite0 at work: every image that it sees is compared with ImageNet on the way.

    Images of another size than the first are the same ones, looked at again.
    """

    def __init__(self, backbone: Backbone) -> None:
        state = imagenet()
        norm, head = "_blocks.15._bn2", "_bn1"
        self.mean, self.spread = state[f"{norm}.bias"], state[f"{norm}.weight"].abs().clamp(min=1e-6)
        scale = state[f"{head}.weight"] / (state[f"{head}.running_var"] + 1e-3).sqrt()
        self.head = state["_conv_head.weight"][:, :, 0, 0] * scale[:, None]
        self.offset = state[f"{head}.bias"] - state[f"{head}.running_mean"] * scale
        self.classes, self.bias = state["_fc.weight"], state["_fc.bias"]
        self.reset()
        dict(backbone.stages())[STEP].register_forward_hook(self._record)

    def reset(self) -> None:
        """Start a new folder."""
        self.places: tuple[int, ...] = ()
        self.means: list[Float32[np.ndarray, "batch d"]] = []
        self.sure: list[np.ndarray] = []

    def result(self) -> Familiarity:
        """Of all images since the last reset; raises ValueError for none."""
        means, sure = np.concatenate(self.means), np.concatenate(self.sure)
        within = float(means.var(0).mean())
        away = float((means.mean(0) ** 2).mean())
        distance = away / within if within > ALIKE else float("nan")
        return Familiarity(len(means), distance, float(sure.mean()))

    def _record(self, _module: Any, _inputs: Any, features: Float[Tensor, "batch 320 h w"]) -> None:
        features = features.float().cpu()
        self.places = self.places or tuple(features.shape[-2:])
        if features.shape[-2:] != self.places:
            return
        self.means.append(((features.mean((2, 3)) - self.mean) / self.spread).numpy())
        mapped = F.relu6(torch.einsum("bdhw,cd->bchw", features, self.head) + self.offset[:, None, None])
        logits = mapped.mean((2, 3)) @ self.classes.T + self.bias
        self.sure.append(logits.softmax(1).max(1).values.numpy())
