"""Adversarial complementary learning: a second classifier that must do without what the first one looks at.

Zhang, Wei, Feng, Yang and Huang, "Adversarial Complementary Learning for Weakly Supervised Object Localization", CVPR
2018. Two classifiers A and B share the backbone's features F. Each has two 3x3 convolutions of 1024 channels and one
1x1 convolution to the classes, whose mean is the score, with dropout before each. In training, where A's map of the
true class, scaled to 0..1, is at least the threshold (0.6; section 3.2), F is set to zero, and B classifies what is
left. The loss is the sum of both cross entropies. The map of a class is the larger one of A's and B's maps of it at
each place, both scaled to 0..1 (section 3.2, step 5). The mean over 3x3 places before the heads is VGG16's alone and
stands in that backbone.

At test time F is erased where A's map of its own best class is high, whatever class a map is asked for, and A's scores
are the scores. The authors' released program erases with the true class there, which tells the network the answer: with
it, the maps of all classes depend on the label of the image.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from boxless.backbones.backbone import Backbone
from boxless.methods.cam import Cam, batch_accuracy, class_maps, new_head
from boxless.methods.method import Features, Heatmaps, Images, Labels, Logits
from boxless.runtime.errors import UsageError


class AcolLosses(NamedTuple):
    """The sum of both classifiers' cross entropies, which is minimised, and the two."""

    total: Tensor
    first: Tensor
    second: Tensor
    accuracy: Tensor
    """Of the first classifier."""


class Acol(Cam):
    """ACoL (Zhang et al. 2018): CAM with a second classifier on features without what the first one looks at.

    Options:
        head: conv is the paper's, two 3x3 convolutions of 1024 channels in each classifier; linear is CAM's, cheaper.
        threshold: value of the first map, scaled to 0..1, from which on features are erased.
    """

    def __init__(
        self, backbone: Backbone, classes: int, *, head: Literal["linear", "conv"] = "conv", threshold: float = 0.6
    ) -> None:
        if not 0 < threshold <= 1:
            raise UsageError(f"threshold is {threshold}; expected a fraction of the map's range, above 0, up to 1.")
        super().__init__(backbone, classes, head=head)
        self.second_neck, self.second_fc = new_head(head, backbone, classes)
        self.threshold = threshold

    def loss(self, images: Images, labels: Labels) -> AcolLosses:  # type: ignore[override]
        """Both cross entropies; the second one for features erased where the label's class is seen."""
        features = self.backbone(images)
        hidden = self.neck(features)
        logits = self.classify(hidden)
        rest = self.second_neck(self.erase(features, self.class_maps(hidden.detach(), labels)))
        first, second = F.cross_entropy(logits, labels), F.cross_entropy(self.second_fc(rest.mean((2, 3))), labels)
        return AcolLosses(first + second, first, second, batch_accuracy(logits, labels))

    @torch.no_grad()
    def heatmap_and_logits(self, images: Images, labels: Labels | None = None) -> tuple[Heatmaps, Logits]:
        """The larger of both maps of the labels' classes (of the best classes without labels), and A's scores.

        What is erased depends on the images alone: the labels choose which map is returned, and nothing else.
        """
        features = self.backbone(images)
        hidden = self.neck(features)
        logits = self.classify(hidden)
        best = logits.argmax(1)
        rest = self.second_neck(self.erase(features, self.class_maps(hidden, best)))
        wanted = best if labels is None else labels
        first, second = self.class_maps(hidden, wanted), class_maps(self.second_fc, rest, wanted)
        return torch.maximum(scaled(first), scaled(second)), logits

    def erase(self, features: Features, heat: Heatmaps) -> Features:
        """The features without the places where the map, scaled to 0..1, reaches the threshold."""
        return features * (scaled(heat) < self.threshold)[:, None]


def scaled(heat: Heatmaps) -> Heatmaps:
    """Each map to 0..1 by its range; a constant one to zeros."""
    low, high = heat.float().flatten(1).aminmax(dim=1)
    return (heat.float() - low[:, None, None]) / (high - low).clamp(min=1e-12)[:, None, None]
