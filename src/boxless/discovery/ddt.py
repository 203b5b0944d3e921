"""Deep descriptor transforming: the first principal component of the descriptors of all images of one category.

Wei, Zhang, Li, Xie, Wu, Shen and Zhou, "Deep Descriptor Transforming for Image Co-Localization", IJCAI 2017.
A descriptor x is the feature vector of one place of one image. With their mean m and first principal direction v over
ALL images of the category, the indicator of a place is P = v . (x - m)  (Eq. 5 there): positive where the images share
something, negative elsewhere. Nothing is trained; mean and covariance are streamed, so memory does not grow.

Three things are ours. An eigenvector has no sign: we take the one under which the inside of the images scores higher
than their borders, over the whole category. Descriptors are scaled to unit length, which makes one threshold fit many
categories. And with EfficientNet-Lite0 they come from the last block but one (192 channels) at stride 16: the paper's
rule, the last convolution, takes the 320 channels after it, whose maps are far worse. The options undo both.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boxless.backbones import build_backbone
from boxless.backbones.backbone import Backbone
from boxless.backbones.fuse_batchnorm import folded
from boxless.boxes.from_heatmap import Readout
from boxless.discovery import Discoverer
from boxless.discovery.descriptors import Moments
from boxless.runtime.errors import BoxlessError

_STEPS = {"lite0": "block14"}
"""The step of a backbone whose features are the descriptors, where it is not the last one."""


class Ddt(Discoverer):
    """Deep descriptor transforming over the features of a frozen network, one category at a time.

    Options:
        unit_length: scale every descriptor to length 1.
        step: step of the backbone whose features are the descriptors; empty for the best known one.
    """

    size = 288
    """Side of the square that every image is resized to, in pixels."""
    stride = 16
    """Pixels of that square per place of the map."""
    reads_parts = True
    readout = Readout(
        0.35,
        "fixed: the method's default, chosen once on training boxes of CUB-200-2011 and Tiny ImageNet",
        "max",
    )

    def __init__(self, backbone: Backbone, *, unit_length: bool = True, step: str = "") -> None:
        self.backbone = backbone.eval()
        self.unit_length = unit_length
        self.step = step or _STEPS.get(backbone.name, "")
        self.reset()

    @classmethod
    def build(cls, *, backbone: str | None = None, stride: int | None = None) -> "Ddt":
        """The method over ImageNet features (default: lite0); raises UsageError for a network or stride that is not."""
        return cls(folded(build_backbone(backbone or "lite0", stride=stride or cls.stride, weights="imagenet")))

    def to(self, device: torch.device) -> "Ddt":
        """Move the network, its weights laid out channels last."""
        self.backbone.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def untrained(self, seed: int) -> "Ddt":
        """The control: the same method over the same network with random weights."""
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            backbone = build_backbone(self.backbone.name, stride=self.backbone.stride, weights="none")
        return type(self)(backbone, unit_length=self.unit_length, step=self.step).to(self.backbone.mean.device)

    def reset(self) -> None:
        """Start a new category."""
        self.moments = Moments()
        self.mean = self.direction = torch.zeros(0)

    @torch.inference_mode()
    def descriptors(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch d h w"]:
        """Images in 0..1 -> the descriptors of every place: the network's one forward pass."""
        (features,) = self.backbone.intermediates(images, self.step) if self.step else (self.backbone(images),)
        return self.scaled(features)

    def scaled(self, features: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch d h w"]:
        """Features as descriptors: of unit length where that is asked for."""
        return F.normalize(features.float(), dim=1) if self.unit_length else features.float()

    @torch.inference_mode()
    def partial_fit(self, descriptors: Float[Tensor, "batch d h w"]) -> None:
        """Add a batch to the category's running mean and covariance."""
        self.moments.add(descriptors)

    def fit_done(self) -> None:
        """Fix mean and direction from what was learnt; raises BoxlessError when there was nothing to learn from."""
        if not self.moments.places:
            raise BoxlessError("No readable image in this category. Expected at least one, to find what is common.")
        self.mean, self.direction = self.moments.principal_direction()

    @torch.inference_mode()
    def heatmap(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch h w"]:
        """Descriptors -> the indicator P of every place (Eq. 5), raw: positive is the common object."""
        offset = self.mean @ self.direction
        return torch.einsum("bdhw,d->bhw", descriptors.float(), self.direction) - offset
