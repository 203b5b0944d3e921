"""Hide-and-Seek: random squares of every training image are hidden, so that the most telling part is often missing.

Singh and Lee, "Hide-and-Seek: Forcing a Network to be Meticulous for Weakly-supervised Object and Action
Localization", ICCV 2017. An image is divided into patches of 32 x 32 pixels (HaS-32), and each patch is hidden with
probability 0.5, drawn anew at every look at the image. Hidden pixels take the mean colour v of the data (section 3.1):
with it the first convolution has the same expected response as at test time, when images are whole. HaS-Mixed draws
the patches' side for each image from {none, 16, 32, 44, 56}. Network, loss and map are CAM's.

v here is the mean that the backbone subtracts, as in the authors' program: hidden pixels are 0 after normalisation. For
the ImageNet networks that is ImageNet's mean and not that of the own photographs, for Lite0 a grey of 127.

The side is in pixels of what the network sees. (wsolevaluation's option `has_grid_size` is in pixels too, and 4 there.)
"""

import torch
from torch import Tensor

from boxless.backbones.backbone import Backbone
from boxless.methods.cam import Cam, CamLosses, Head
from boxless.methods.method import Images, Labels
from boxless.runtime.distributed import rank_slice_rand
from boxless.runtime.errors import UsageError

MIXED = (0, 16, 32, 44, 56)
"""Sides in pixels of HaS-Mixed; with 0 the image stays whole."""


class Has(Cam):
    """HaS (Singh and Lee 2017): CAM trained on images of which random patches are hidden.

    Options:
        patch: side of the patches in pixels; 32 is HaS-32.
        probability: of each patch to be hidden.
        mixed: draw the side for each image from none, 16, 32, 44 and 56 pixels (HaS-Mixed).
    """

    alters_images = True
    sides: Tensor

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        *,
        head: Head = "linear",
        patch: int = 32,
        probability: float = 0.5,
        mixed: bool = False,
    ) -> None:
        if patch < 1:
            raise UsageError(f"patch is {patch}; expected the side of a square, 1 pixel or more.")
        if not 0 < probability < 1:
            raise UsageError(f"probability is {probability}; expected more than 0 (which is cam) and less than 1.")
        if mixed and patch != 32:
            raise UsageError(f"mixed draws the side of the patches, and patch says {patch}. Give one of the two.")
        super().__init__(backbone, classes, head=head)
        sides = MIXED if mixed else (patch,)
        self.probability, self.finest, self.smallest = probability, min(filter(None, sides)), max(sides) + 1
        self.register_buffer("sides", torch.tensor(sides), persistent=False)

    def loss(self, images: Images, labels: Labels) -> CamLosses:
        """Cross entropy of the labels, for images with hidden patches."""
        return super().loss(self.hide(images), labels)

    def hide(self, images: Images) -> Images:
        """The images with some patches, counted from the upper left corner, at the mean colour. Waits for no device."""
        batch, _, height, width = images.shape
        device = images.device
        side = self.sides[(rank_slice_rand(batch, device=device) * len(self.sides)).long()]
        cells = -(-max(height, width) // self.finest)
        hidden = rank_slice_rand(batch, cells, cells, device=device) < self.probability
        row, column = (torch.arange(n, device=device) // side.clamp(min=self.finest)[:, None] for n in (height, width))
        image = torch.arange(batch, device=device)[:, None, None]
        gone = hidden[image, row[:, :, None], column[:, None, :]] & (side > 0)[:, None, None]
        return torch.where(gone[:, None], self.backbone.mean, images)
