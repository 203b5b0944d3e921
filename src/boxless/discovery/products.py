"""Products of maps: where discriminant's map and another one both see the object.

What the discriminant learns keeps too much around a thin object, and ddt or contrast elsewhere; what both mark is the
object. Which threshold fits differs widely between folders (from .37 to .75), so these are for those who have boxes
to choose it by: `boxless calibrate` does. The geometric mean keeps the unit of a map. Found on the training halves of
five sets that are no everyday photographs, where calibrate's choices with ten boxes got better by products.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from boxless.boxes.from_heatmap import Readout, normalise
from boxless.discovery.contrast import Contrast
from boxless.discovery.ddt import Ddt
from boxless.discovery.discriminant import Discriminant

_ORIGIN = "fixed: the method's default, chosen once on training boxes of five sets that are no everyday photographs"


class DiscriminantDdt(Discriminant):
    """Where discriminant and ddt both see the object: the geometric mean of their maps."""

    readout = Readout(0.63, _ORIGIN, "minmax")

    def heatmap(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch h w"]:
        """Descriptors -> the geometric mean of both maps, each in 0..1."""
        theirs = self.first_direction(descriptors.float().cpu(), 0)
        return _product(super().heatmap(descriptors), [normalise(heat, Ddt.readout.normalisation) for heat in theirs])


class DiscriminantContrast(Discriminant):
    """Where discriminant and contrast both see the object: the geometric mean of their maps."""

    readout = Readout(0.43, _ORIGIN, "minmax")

    def heatmap(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch h w"]:
        """Descriptors -> the geometric mean of both maps, each in 0..1."""
        colours = torch.split(descriptors, self.parts, dim=1)[-1]
        theirs = self.contrast.heatmap(colours.float()).cpu().numpy()
        how = Contrast.readout.normalisation
        return _product(super().heatmap(descriptors), [normalise(heat, how) for heat in theirs])


def _product(ours: Float[Tensor, "batch h w"], theirs: list[Float32[np.ndarray, "h w"]]) -> Float[Tensor, "batch h w"]:
    return (ours * torch.from_numpy(np.stack(theirs)).clamp(min=0)).sqrt()
