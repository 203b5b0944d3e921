"""CutMix: a box of every training image is replaced by that of another one, and the labels are mixed by area.

Yun, Han, Oh, Chun, Choe and Yoo, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
Features", ICCV 2019. The mixed image is x = M x_A + (1 - M) x_B, its label y = l y_A + (1 - l) y_B (Eq. 1), with the
same box for both. l is drawn from Beta(alpha, alpha), alpha = 1; the sides of the box are sqrt(1 - l) of the image's,
its centre is uniform (Eq. 2), and what lies outside the image is cut off. The label then counts by the area that is
truly pasted, as in the authors' program. Network and map are CAM's, the loss is the mixed cross entropy.

As the authors do: one l and one box for the whole batch, partners by a random order of the batch. With several
processes the batch is that of all of them.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from boxless.backbones.backbone import Backbone
from boxless.methods.cam import Cam, CamLosses, Head, batch_accuracy
from boxless.methods.method import Images, Labels
from boxless.runtime.distributed import all_gather, world_and_rank
from boxless.runtime.errors import UsageError


class CutBox(NamedTuple):
    """What is replaced, in whole pixels, half-open."""

    left: int
    top: int
    right: int
    bottom: int


class Pasted(NamedTuple):
    """Images with a box of others, the labels of those others, and the fraction of the area that is the images' own."""

    images: Images
    others: Labels
    own: float


class CutMix(Cam):
    """CutMix (Yun et al. 2019): CAM trained on images with a box of another image, and on both labels.

    Options:
        alpha: both parameters of the Beta distribution of the area that stays; 1 is uniform, below it boxes are
            rather small or large.
        probability: of a batch to be mixed; 1 is the authors' for ImageNet, 0.5 for CIFAR.
    """

    alters_images = True

    def __init__(
        self, backbone: Backbone, classes: int, *, head: Head = "linear", alpha: float = 1.0, probability: float = 1.0
    ) -> None:
        if alpha <= 0:
            raise UsageError(f"alpha is {alpha}; expected a parameter of the Beta distribution, more than 0.")
        if not 0 < probability <= 1:
            raise UsageError(f"probability is {probability}; expected more than 0 (which is cam) and at most 1.")
        super().__init__(backbone, classes, head=head)
        self.alpha, self.probability = alpha, probability

    def loss(self, images: Images, labels: Labels) -> CamLosses:
        """The cross entropies (and accuracies) of both labels, weighted by area."""
        if float(torch.rand(())) >= self.probability:
            return super().loss(images, labels)
        mixed, others, own = paste(images, labels, draw_box(images.shape[3], images.shape[2], self.alpha))
        logits = self(mixed)
        total = own * F.cross_entropy(logits, labels) + (1 - own) * F.cross_entropy(logits, others)
        return CamLosses(total, own * batch_accuracy(logits, labels) + (1 - own) * batch_accuracy(logits, others))


def draw_box(width: int, height: int, alpha: float) -> CutBox:
    """A box in an image of width x height pixels (Eq. 2), clipped; drawn on the host, alike in all processes."""
    kept = float(torch.distributions.Beta(alpha, alpha).sample())
    across, down = (int(side * (1 - kept) ** 0.5) for side in (width, height))
    x, y = (int(side * torch.rand(()).item()) for side in (width, height))
    left, top = max(x - across // 2, 0), max(y - down // 2, 0)
    return CutBox(left, top, min(x + across // 2, width), min(y + down // 2, height))


def paste(images: Images, labels: Labels, box: CutBox) -> Pasted:
    """Each image with the box of another one of the batch (Eq. 1); an image may be its own partner."""
    world, rank = world_and_rank()
    batch, _, height, width = images.shape
    order = torch.randperm(world * batch, device=images.device)[rank * batch : (rank + 1) * batch]
    columns, rows = slice(box.left, box.right), slice(box.top, box.bottom)
    mixed = images.clone()
    mixed[:, :, rows, columns] = torch.cat(all_gather(images[:, :, rows, columns]))[order]
    pasted = (box.right - box.left) * (box.bottom - box.top)
    return Pasted(mixed, torch.cat(all_gather(labels))[order], 1 - pasted / (height * width))
