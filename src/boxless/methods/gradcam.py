"""Grad-CAM: any classifier, read by the slope of a class's score on the last features.

Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra, "Grad-CAM: Visual Explanations from Deep Networks via
Gradient-Based Localization", ICCV 2017. With A^k the features of the last stage of the backbone, g^k = dS_c / dA^k the
slopes of the score of class c before the softmax, and Z places,

    alpha_k = 1/Z sum_ij g^k_ij                     (Eq. 1)
    L_c     = relu(sum_k alpha_k A^k)               (Eq. 2)

Training is CAM's. Under a linear head g^k is w_k^c / Z everywhere and L_c is the positive part of CAM's map divided by
Z; under the head with two convolutions the two differ. The boxes are of what is above 15 % of the maximum
(section 4.1). Published for VGG16 on ILSVRC, Top-1 / Top-5 localization errors: 56.51 / 46.41. Two variants need
nothing but the same A and g:

    gradcam++   alpha_k = sum_ij a^k_ij relu(g^k_ij),  a^k_ij = (g^k_ij)^2 / (2 (g^k_ij)^2 + (g^k_ij)^3 sum_ab A^k_ab)
                for a score through an exponential, whose factor exp(S_c) > 0 is left out: it changes no normalised map
                (Chattopadhay, Sarkar, Howlader and Balasubramanian, WACV 2018, Eq. 10, 11 and 19)
    layercam    L_c = relu(sum_k relu(g^k) A^k), a weight for each place
                (Jiang, Zhang, Hou, Cheng and Wei, IEEE TIP 2021, Eq. 4 to 6)

Prediction is one pass forward and one backward through the head alone. It may happen in inference mode, where nothing
has slopes, so that mode is left for the head.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from boxless.backbones.backbone import Backbone
from boxless.backbones.gradients import input_gradient
from boxless.boxes.from_heatmap import Readout
from boxless.methods.cam import Cam
from boxless.methods.method import Features, Heatmaps, Images, Labels, Logits

Variant = Literal["gradcam", "gradcam++", "layercam"]


class GradCam(Cam):
    """Grad-CAM (Selvaraju et al. 2017): the features, weighted by the slopes of the class's score on them.

    Options:
        variant: gradcam; gradcam++ weights places by how sure their slope is; layercam weights each place on its own.
    """

    trained_as = "cam"
    readout = Readout(0.15, "fixed: the paper's 15 % of the maximum", "max")

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        *,
        head: Literal["linear", "conv", "published"] = "linear",
        variant: Variant = "gradcam",
    ) -> None:
        super().__init__(backbone, classes, head=head)
        self.variant = variant

    @torch.no_grad()
    def heatmap_and_logits(self, images: Images, labels: Labels | None = None) -> tuple[Heatmaps, Logits]:
        """The maps of the labels' classes, or of the best classes where no labels are given."""
        features = self.backbone(images)
        slopes, logits = class_slopes(lambda start: self.classify(self.neck(start)), features, labels)
        return weighted(features.float(), slopes.float(), self.variant), logits


def class_slopes(
    classify: Callable[[Tensor], Tensor], start: Float[Tensor, "batch c h w"], labels: Labels | None
) -> tuple[Float[Tensor, "batch c h w"], Logits]:
    """The slope of each image's score of its label (None: of its best class) on `start`, and all logits."""

    def score(logits: Tensor) -> Tensor:
        # A copy, because what was made in inference mode can never be differentiated through.
        chosen = logits.argmax(1) if labels is None else labels.clone()
        return logits.gather(1, chosen[:, None])

    return input_gradient(classify, start, score)


def weighted(features: Features, slopes: Features, variant: Variant) -> Heatmaps:
    """Features and slopes -> L_c of the variant."""
    if variant == "gradcam":
        weights = slopes.mean((2, 3), keepdim=True)
    elif variant == "gradcam++":
        rising = slopes.relu()
        # a^k_ij with (g^k_ij)^2 cancelled; the features end in a ReLU, so that nothing here is below 2.
        weights = (rising / (2 + rising * features.sum((2, 3), keepdim=True))).sum((2, 3), keepdim=True)
    else:
        weights = slopes.relu()
    return (weights * features).sum(1).relu()
