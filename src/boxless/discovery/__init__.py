"""Co-localization without labels: what the images of one category share, read from features or learnt from them alone.

A discoverer sees every image once (`descriptors`), learns from the descriptors as they stream by (`partial_fit`), and
then turns each image's descriptors into a heat map (`heatmap`). Names map to import paths, so that help does not import
torch.
"""

import importlib
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from boxless.discovery.notes import Notes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from jaxtyping import Float
    from torch import Tensor

    from boxless.boxes.from_heatmap import Readout

DISCOVERERS = {
    "auto": "boxless.discovery.auto:Auto",
    "ddt": "boxless.discovery.ddt:Ddt",
    "discriminant": "boxless.discovery.discriminant:Discriminant",
    "discriminant-ddt": "boxless.discovery.products:DiscriminantDdt",
    "discriminant-contrast": "boxless.discovery.products:DiscriminantContrast",
    "contrast": "boxless.discovery.contrast:Contrast",
    "saliency": "boxless.discovery.saliency:Saliency",
    "position": "boxless.discovery.position:Position",
    "several": "boxless.discovery.several:Several",
}


@runtime_checkable
class Discoverer(Protocol):
    """A method without labels, by category: reset, descriptors and partial_fit per batch, fit_done, heatmap."""

    size: int
    """Side of the square that images are resized to by default, in pixels."""
    stride: int
    """Pixels of that square per place of the map."""
    readout: "Readout"
    choice: str = ""
    """What was chosen for this category and why, in words, once it is finished; empty where nothing is chosen."""
    mixture: str = ""
    """That the category looks like two, in words, once it is finished; empty where it does not."""
    tiled: bool | None = None
    """Whether what was learnt from are tiles of images; None for a method that cannot look at tiles."""
    looks_again: int = 0
    """Images of a category that `look_again` is given; none where 0."""
    larger: tuple[int, ...] = ()
    """Sides of the square that may suit a category better than `size`, ascending; none where it always keeps that."""
    reads_parts: bool = False
    """Whether, once it is done, what it says of a part of an image can stand beside what it says of the whole."""
    trains: bool = False
    """Whether `fit_done` trains a network, which it may do in the numbers of the search."""

    @classmethod
    def build(cls, *, backbone: str | None = None, stride: int | None = None) -> "Discoverer":
        """The method over a network, None for its own choice; raises UsageError for what it cannot use."""
        ...

    def to(self, device: "torch.device") -> "Discoverer":
        """Move what it computes with, and return it."""
        ...

    def untrained(self, seed: int) -> "Discoverer | None":
        """The same method over a network of random weights, its control; None where nothing was trained."""
        ...

    def look_for_several(self) -> None:
        """Take the size and readout that are better where an image shows several objects; nothing here."""
        return

    def reset(self) -> None:
        """Start a new category."""
        ...

    def descriptors(self, images: "Float[Tensor, 'batch 3 height width']") -> "Float[Tensor, 'batch d h w']":
        """Images in 0..1 -> a descriptor of every place."""
        ...

    def partial_fit(self, descriptors: "Float[Tensor, 'batch d h w']") -> None:
        """Take in a batch of the category."""
        ...

    def look_again(
        self, images: "Float[Tensor, 'batch 3 height width']", descriptors: "Float[Tensor, 'batch d h w']"
    ) -> None:
        """A few images of the category, evenly taken, and their descriptors, before it is done: to ask more of them."""
        return

    def fit_done(self) -> None:
        """All of the category has been learnt; raises BoxlessError when that is too little."""
        ...

    def better_size(
        self, sides: "Sequence[int]", look: "Callable[[int], Float[Tensor, 'image d h w']]"
    ) -> tuple[int, str]:
        """Once it is done: the side that suits the category best, and why in words where it is not `size`.

        `look` gives the descriptors of those few images that `look_again` was given, at one of the larger `sides`.
        """
        return self.size, ""

    def heatmap(self, descriptors: "Float[Tensor, 'batch d h w']") -> "Float[Tensor, 'batch h w']":
        """Descriptors -> raw heat maps."""
        ...

    def notes(self) -> Notes:
        """What was noticed about the category, once it is finished."""
        return Notes(choice=self.choice, mixture=self.mixture)


def discoverer_class(name: str) -> Any:
    """The class of the training-free method called `name`; raises KeyError for a name DISCOVERERS does not hold."""
    module, _, attribute = DISCOVERERS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
