"""Batches of real images, drawn and augmented on the device that holds the data set.

The paper names small translations by 5 % of the side and changes of brightness, contrast, saturation and lighting,
without constants; these are the ones its first author used with Tiny ImageNet (brightness and contrast times
U[.6, 1.4], saturation +-.4, AlexNet's lighting of .1), in random order, clipped once at the end. Each of the four is
affine in the colours, so together they are one 3x3 matrix and one offset per image.
"""

from functools import cached_property

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from boxless.gan.convolution import fold, inside
from boxless.gan.data import Images

TRANSLATION = 0.05
STRENGTH = 0.4
LIGHTING = 0.1
GREY = (0.299, 0.587, 0.114)
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))

BRIGHTNESS, CONTRAST, SATURATION, SHADE = range(4)


class Batches:
    """Draws batches from a data set that lies on one device as a uint8 tensor (n, size, size, 3)."""

    def __init__(self, images: Images, *, augment: bool) -> None:
        self.images = images
        self.augment = augment
        # Made once: a graph that is being captured cannot copy constants to the device.
        self._grey = torch.tensor(GREY, device=images.device).expand(3, 3)
        self._light = torch.tensor(EIGENVECTORS, device=images.device) * torch.tensor(EIGENVALUES, device=images.device)

    def draw(self, batch: int, generator: torch.Generator) -> Float[Tensor, "batch 3 size size"]:
        """`batch` images drawn with replacement -> (batch, 3, size, size) in -1..1, channels last in memory."""
        device = self.images.device
        index = self._index(batch, generator)
        if not self.augment:
            return self.images[index].permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        size = self.images.shape[1]
        reach = round(TRANSLATION * size)
        shift = torch.randint(-reach, reach + 1, (2, batch, 1), generator=generator, device=device)
        rows, columns = _reflect(torch.arange(size, device=device) + shift, size)
        # One gather picks, shifts and reflects.
        chosen = self.images[index[:, None, None], rows[:, :, None], columns[:, None, :]].float().div_(255)
        matrix, offset = self.colour_change(chosen.mean((1, 2)), generator)
        changed = torch.baddbmm(offset[:, None], chosen.view(batch, -1, 3), matrix.transpose(1, 2))
        return changed.clamp_(0, 1).mul_(2).sub_(1).view(batch, size, size, 3).permute(0, 3, 1, 2)

    def draw_folded(self, batch: int, generator: torch.Generator) -> Float[Tensor, "batch 12 h w"]:
        """The same images as `draw`, as `fold` gives them; without augmentation from a folded copy of the data set."""
        if self.augment:
            return fold(self.draw(batch, generator))
        images, within = self._folded
        chosen = images.index_select(0, self._index(batch, generator))
        return chosen.float().div_(127.5).sub_(within).permute(0, 3, 1, 2)

    @cached_property
    def _folded(self) -> tuple[UInt8[Tensor, "n h w 12"], Float[Tensor, "h w 12"]]:
        images = torch.cat([fold(part.permute(0, 3, 1, 2)) for part in torch.split(self.images, 128)])
        return images.permute(0, 2, 3, 1), inside(images[:1]).float().permute(1, 2, 0)

    def _index(self, batch: int, generator: torch.Generator) -> Int[Tensor, "batch"]:
        return torch.randint(len(self.images), (batch,), generator=generator, device=self.images.device)

    def colour_change(
        self, mean: Float[Tensor, "batch 3"], generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch 3 3"], Float[Tensor, "batch 3"]]:
        """Random matrix A and offset b per image: A x + b is x after the four operations in random order.

        Colours are in 0..1; `mean` is each image's mean colour, which contrast is taken about.
        """
        batch, device = len(mean), mean.device
        factors = 1 + STRENGTH * (2 * torch.rand(3, batch, 1, 1, generator=generator, device=device) - 1)
        light = LIGHTING * torch.randn(batch, 3, generator=generator, device=device) @ self._light.t()
        order = torch.rand(batch, 4, generator=generator, device=device).argsort(1)
        matrices = self._matrices(factors)
        everyone = torch.arange(batch, device=device)
        matrix = torch.eye(3, device=device).expand(batch, 3, 3)
        offset = torch.zeros(batch, 3, device=device)
        for which in order.unbind(1):
            current = _apply(matrix, mean) + offset
            about_mean = (1 - factors[CONTRAST, :, 0]) * current
            constant = (which == CONTRAST)[:, None] * about_mean + (which == SHADE)[:, None] * light
            step = matrices[which, everyone]
            matrix, offset = step @ matrix, _apply(step, offset) + constant
        return matrix, offset

    def _matrices(self, factors: Float[Tensor, "3 batch 1 1"]) -> Float[Tensor, "4 batch 3 3"]:
        identity = torch.eye(3, device=factors.device)
        saturation = factors[SATURATION] * identity + (1 - factors[SATURATION]) * self._grey
        same = identity.expand_as(saturation)
        return torch.stack([factors[BRIGHTNESS] * identity, factors[CONTRAST] * identity, saturation, same])


def _apply(matrix: Float[Tensor, "batch 3 3"], colour: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3"]:
    return torch.bmm(matrix, colour[:, :, None])[:, :, 0]


def _reflect(index: Int[Tensor, "*shape"], size: int) -> Int[Tensor, "*shape"]:
    # Reflection that does not repeat the edge: -1 -> 1, size -> size - 2.
    return (size - 1) - ((size - 1) - index.abs()).abs()
