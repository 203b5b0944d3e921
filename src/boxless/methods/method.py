"""What training and prediction ask of every method: the base class of all that learn over a backbone."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from boxless.boxes.from_heatmap import Readout
from boxless.data.images import Picture
from boxless.data.training_batches import Draw, label_target
from boxless.data.transforms import crop
from boxless.methods.settings import Training
from boxless.runtime.errors import UsageError

Images = Float[Tensor, "batch 3 H W"]
"""RGB in 0..1."""
Labels = Int[Tensor, "batch"]
Features = Float[Tensor, "batch k h w"]
"""What a backbone, or a head on it, gives: k channels at h x w places."""
Heatmaps = Float[Tensor, "batch h w"]
"""Raw: neither normalised nor resized."""
Logits = Float[Tensor, "batch class"]


class Method(nn.Module, ABC):
    """A network that is trained and gives heat maps: images are float RGB in 0..1, (batch, 3, height, width).

    Its constructor takes a backbone and the number of classes, and its options as keywords; `forward` gives logits.
    """

    kind: ClassVar[Literal["classifier", "regressor"]] = "classifier"
    """What it learns from: the labels of images, or boxes that were found in them."""
    readout: Readout
    images_per_class = 1
    """How many images of a class stand together in a batch."""
    fewest: ClassVar[int] = 1
    """Images with boxes that it needs, where it learns from boxes."""
    smallest = 1
    """Side in pixels of the smallest images it can be trained on."""
    several: ClassVar[bool] = False
    """Whether it gives, and where it learns from boxes learns, all boxes of an image: it then has `detect`."""
    alters_images: ClassVar[bool] = False
    """Whether loss() changes the images' pixels."""
    trained_as: ClassVar[str] = ""
    """The method whose weights it reads differently, if there is one: the state dicts and the losses are the same."""
    epoch = 0
    """Set by the training loop, 0 in the first epoch."""
    needs_images: ClassVar[bool] = False
    """Whether its maps are fitted to images by `prepare` before they can be read."""

    @classmethod
    def resolve(cls, options: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
        """The options for classes of these names, once, when training begins: plain values that checkpoints keep."""
        return dict(options)

    @staticmethod
    def target(*sample: Any) -> Tensor | None:
        """What is learnt of an image that is cut, as `Target` in data.training_batches."""
        return label_target(*sample)

    @staticmethod
    def cut(picture: Picture, size: int, draw: Draw) -> UInt8[np.ndarray, "size size 3"]:
        """The square of an image that is learnt from, as `Cut` in data.training_batches."""
        return crop(picture, size, draw)

    @abstractmethod
    def loss(self, images: Images, targets: Tensor) -> tuple[Tensor, ...]:
        """A NamedTuple whose first field is the `total` that is minimised, and the rest its terms, for the log."""

    @abstractmethod
    def heatmap_and_logits(self, images: Images, labels: Labels | None = None) -> tuple[Heatmaps, Logits]:
        """Raw maps (neither normalised nor resized) of the labels' classes, or of the best classes without labels."""

    def heatmap(self, images: Images, labels: Labels | None = None) -> Heatmaps:
        """Images 0..1 -> raw maps of the labels' classes, or of the best classes without labels."""
        return self.heatmap_and_logits(images, labels)[0]

    def check_size(self, name: str, size: int) -> None:
        """Raise UsageError where the method called `name` cannot be trained on images of `size` pixels."""
        if size < self.smallest:
            raise UsageError(
                f"size is {size} pixels, and {name} with these options needs {self.smallest} or more. "
                "Give a larger --size, or other options of the method."
            )

    def describe(
        self, name: str, options: Mapping[str, Any], classes: Sequence[str], settings: Training
    ) -> dict[str, Any]:
        """What a checkpoint says of this network beside its weights."""
        return {
            "kind": self.kind,
            "method": name,
            "options": dict(options),
            "backbone": {"name": settings.backbone, "stride": settings.stride},
            "classes": list(classes),
            "size": settings.size,
            "readout": self.readout.to_dict(),
        }
