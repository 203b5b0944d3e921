"""The trainable methods that learn from image labels, and those that learn from found boxes: one file, one line each.

Names map to import paths and not to classes, so that listing them and printing help does not import torch.
A method is a `boxless.methods.method.Method` with a keyword-only constructor after (backbone, classes).
"""

import importlib
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from boxless.runtime.errors import BoxlessError

if TYPE_CHECKING:
    from boxless.backbones.backbone import Backbone

METHODS = {
    "acol": "boxless.methods.acol:Acol",
    "adl": "boxless.methods.adl:Adl",
    "cam": "boxless.methods.cam:Cam",
    "gradcam": "boxless.methods.gradcam:GradCam",
    "backprop": "boxless.methods.backprop:Backprop",
    "cutmix": "boxless.methods.cutmix:CutMix",
    "danet": "boxless.methods.danet:Danet",
    "has": "boxless.methods.has:Has",
    "i2c": "boxless.methods.i2c:I2c",
    "spg": "boxless.methods.spg:Spg",
}

REGRESSORS = {"psol": "boxless.methods.psol:Psol", "detector": "boxless.methods.detector:Detector"}
"""Methods that learn from the boxes that another one found. They know no classes: loss() takes boxes (x0 y0 x1 y1 in
fractions of the image) for labels, heatmap_and_logits() gives the logits of no class."""

TRAINED = ChainMap(METHODS, REGRESSORS)
"""Both, also with what is added later."""


def method_class(name: str) -> Any:
    """The class of the method called `name`; raises KeyError for a name that TRAINED does not hold."""
    module, _, attribute = TRAINED[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def options_for(name: str, options: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """The options of a method for classes of these names."""
    resolved: dict[str, Any] = method_class(name).resolve(options, classes)
    return resolved


def build_method(name: str, backbone: "Backbone", classes: int, options: Mapping[str, Any]) -> Any:
    """The network of a method over `backbone`, a Method."""
    return method_class(name)(backbone, classes, **options)


def from_description(content: Mapping[str, Any]) -> Any:
    """The network that a checkpoint describes, with random weights; raises BoxlessError for an unknown method."""
    from boxless.backbones import build_backbone

    if content["method"] not in TRAINED:
        raise BoxlessError(f"This boxless has no method {content['method']!r}. Install the version that trained it.")
    backbone = build_backbone(**content["backbone"], weights="none")
    return build_method(content["method"], backbone, len(content["classes"]), content["options"])
