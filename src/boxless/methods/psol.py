"""PSOL's second stage: a network regresses the boxes that another method found, and so averages out their noise.

Zhang, Cao and Wu, "Rethinking the Route Towards Weakly Supervised Object Localization", CVPR 2020. Any first method
gives each training image a box (theirs was DDT); a network without classes learns to tell the box from the image:
features -> global average -> linear, ReLU -> linear -> four sigmoids, trained by the squared error. No label is read.

The four numbers are the centre, the width and the height as fractions of the image. So that everything that reads heat
maps reads this method too, the box becomes the map

    h(x, y) = max(0, 1 - max(|x - cx| / w, |y - cy| / h)),

which is above 0.5 exactly inside the box; at another threshold t the box is 2 (1 - t) times as wide and high. h is
linear across every edge, so that bilinear resizing leaves the level where it is. An edge closer to the image's border
than half a place of the map, 1/256 of the side, is put on the border.
"""

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boxless.backbones.backbone import Backbone
from boxless.boxes.from_heatmap import Readout
from boxless.data.training_batches import box_target
from boxless.methods.method import Heatmaps, Images, Labels, Logits, Method

SIDE = 128
"""Places of the map on a side; a box smaller than two of them is drawn as large as two."""


class PsolLosses(NamedTuple):
    """The loss that is minimised, and what is logged beside it."""

    total: Tensor
    iou: Tensor
    """Mean overlap with the found boxes; carries no gradient, and is no measure of how right the boxes are."""


class Psol(Method):
    """PSOL (Zhang et al. 2020): a regressor without classes learns the boxes that another method found.

    Options:
        hidden: units of the layer between the features and the four numbers.
        grid: side of the grid of mean features that is read; 1 is the paper's global average.
        loss: l2 is the paper's squared error; smooth-l1 gives boxes that are far off less weight.
        weight: factor of the loss.
    """

    kind = "regressor"
    readout = Readout(0.5, "fixed: the level of the map that is the regressed box", "none", saddle=1)

    def __init__(
        self,
        backbone: Backbone,
        classes: int = 0,
        *,
        hidden: int = 512,
        grid: int = 1,
        loss: Literal["l2", "smooth-l1"] = "l2",
        weight: float = 50.0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.grid, self.squared, self.weight = grid, loss == "l2", weight
        self.fc1 = nn.Linear(backbone.channels * grid**2, hidden)
        self.fc2 = nn.Linear(hidden, 4)

    @staticmethod
    def target(*sample: Any) -> Tensor | None:
        """The box of the image."""
        return box_target(*sample)

    def forward(self, images: Images) -> Float[Tensor, "batch 4"]:
        """Images 0..1 -> boxes as centre, width and height, fractions of the image."""
        features = self.backbone(images)
        with torch.autocast(images.device.type, enabled=False):  # a step of bf16 is a pixel of a photograph
            # Divided by the grid's side, so that means in 49 places drive the sigmoids no faster than the mean of all.
            means = F.adaptive_avg_pool2d(features.float(), self.grid).flatten(1) / self.grid
            numbers: Tensor = self.fc2(F.relu(self.fc1(means)))
            return numbers.sigmoid()

    def loss(self, images: Images, boxes: Float[Tensor, "batch 4"]) -> PsolLosses:
        """The error against half-open `boxes`, x0 y0 x1 y1 in fractions of the image."""
        import boxless.runtime.torchvision_compat  # noqa: F401  # here: prediction need not wait for torch's compiler

        # isort: split
        from torchvision.ops import box_convert, box_iou

        found = self(images)
        wanted = box_convert(boxes, "xyxy", "cxcywh")
        error = F.mse_loss(found, wanted) if self.squared else F.smooth_l1_loss(found, wanted, beta=0.1)
        return PsolLosses(
            self.weight * error, box_iou(box_convert(found.detach(), "cxcywh", "xyxy"), boxes).diag().mean()
        )

    @torch.no_grad()
    def heatmap_and_logits(self, images: Images, labels: Labels | None = None) -> tuple[Heatmaps, Logits]:
        """The maps, whatever the labels, and the logits of no classes."""
        return level_map(self(images)), images.new_zeros(len(images), 0)


def level_map(boxes: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch 128 128"]:
    """Centre, width and height in fractions of the image -> maps that are above 0.5 inside the box alone."""
    places = (torch.arange(SIDE, device=boxes.device) + 0.5) / SIDE
    centre, extent = boxes[:, :2, None], boxes[:, 2:, None].clamp(min=2 / SIDE)
    across, down = ((places - centre).abs() / extent).unbind(1)
    return (1 - torch.maximum(down[:, :, None], across[:, None, :])).clamp(min=0)
