"""The feature extractors: EfficientNet-Lite0 (its weights come with pip), the networks of the papers, and a tiny one.

All are cut before their classifier, and their last strides are removed until the map is as fine as asked for, as the
papers on localization do. This module imports no torch, so that names and help texts cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from boxless.runtime.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from boxless.backbones.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a backbone before torch is imported."""

    build: str
    """Import path of the function (stride) -> Backbone with random weights."""
    strides: tuple[int, ...]
    """Pixels of the input per pixel of the map that it can be built for; the first one is the default."""
    weights: str
    """Where its ImageNet weights are from: a URL, or the import path of torchvision's enumeration or of a function
    () -> state dict; empty where there are none."""
    about: str


_OWN, _THEIRS = "boxless.backbones.", "torchvision.models:"
BACKBONES = {
    "lite0": Entry(
        f"{_OWN}lite0:build",
        (16, 8, 32),
        f"{_OWN}lite0:imagenet",
        "EfficientNet-Lite0, 1280 channels; its ImageNet weights come with pip",
    ),
    "vgg16": Entry(f"{_OWN}vgg:build", (8, 16, 32), f"{_THEIRS}VGG16_Weights", "VGG16, 512 channels"),
    "resnet50": Entry(f"{_OWN}resnet:build", (8, 16, 32), f"{_THEIRS}ResNet50_Weights", "ResNet50, 2048 channels"),
    "inception_v3": Entry(
        f"{_OWN}inception:build", (8, 16), f"{_THEIRS}Inception_V3_Weights", "InceptionV3 up to Mixed_6e, 768 channels"
    ),
    "alexnet": Entry(f"{_OWN}alexnet:build", (16, 8, 32), f"{_THEIRS}AlexNet_Weights", "AlexNet, 256 channels"),
    "googlenet": Entry(
        f"{_OWN}googlenet:build", (16, 8), f"{_THEIRS}GoogLeNet_Weights", "GoogLeNet up to inception4e, 832 channels"
    ),
    "resnet50_se": Entry(
        f"{_OWN}resnet:build_se",
        (16, 8, 32),
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/seresnet50_ra_224-8efdb4bb.pth",
        "ResNet50 with squeeze-and-excitation, 2048 channels; weights of timm's seresnet50",
    ),
    "preresnet34": Entry(
        f"{_OWN}preresnet:build",
        (8, 4, 16, 32),
        "",
        "pre-activation ResNet-34 for images of 32 to 64 pixels, 512 channels; no ImageNet weights",
    ),
    "tiny": Entry(f"{_OWN}tiny:build", (4, 8), "", "three convolutions, 64 channels: for tests and 32-pixel pictures"),
}


def build_backbone(name: str, *, stride: int | None = None, weights: str = "imagenet") -> Backbone:
    """A backbone of `BACKBONES` at `stride` pixels per map pixel (None: its default).

    `timm:NAME` is any network of timm. `weights` is imagenet, none (random), or the path of a state dict or of a
    boxless checkpoint. Raises UsageError for an unknown name or stride, BoxlessError for weights that are missing or do
    not fit.
    """
    if name.startswith("timm:"):
        from boxless.backbones.timm_backbone import build_timm

        backbone = build_timm(name, stride, pretrained=weights == "imagenet")
    else:
        backbone = _build_own(name, stride, pretrained=weights == "imagenet")
    if weights not in ("imagenet", "none"):
        from boxless.backbones.weights import fill, read_weights

        fill(backbone, read_weights(weights), weights)
    return backbone


def _build_own(name: str, stride: int | None, *, pretrained: bool) -> Backbone:
    entry = BACKBONES.get(name)
    if entry is None:
        raise UsageError(f"There is no backbone {name!r}. Choose from: {', '.join(BACKBONES)}, or timm:NAME.")
    stride = entry.strides[0] if stride is None else stride
    if stride not in entry.strides:
        known = ", ".join(map(str, sorted(entry.strides)))
        raise UsageError(f"Backbone {name} cannot be built at stride {stride}. Choose from: {known}.")
    if pretrained and not entry.weights:
        raise UsageError(f"Backbone {name} has no ImageNet weights. Give --weights none, or the path of a checkpoint.")
    backbone: Backbone = _resolve(entry.build)(stride)
    if pretrained:
        from boxless.backbones.weights import fill

        fill(backbone, _imagenet(entry.weights), "imagenet")
    return backbone


def _imagenet(source: str) -> dict[str, Tensor]:
    from boxless.backbones.weights import download

    if source.startswith("https://"):
        return download(source)
    named = _resolve(source)
    return download(named.IMAGENET1K_V1.url) if source.startswith(_THEIRS) else named()


def _resolve(path: str) -> Any:
    """What an import path, module:name, names."""
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
