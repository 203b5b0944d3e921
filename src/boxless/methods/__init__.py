"""The trainable methods that learn from image labels, and those that learn from found boxes: one file, one line each.

Names map to import paths and not to classes, so that listing them and printing help does not import torch.
A method is a torch module with a keyword-only constructor after (backbone, classes), and

    forward(images) -> logits               (batch, class)
    loss(images, labels) -> Losses          a NamedTuple whose first field is `total`, the rest are its terms
    heatmap(images, labels) -> heat         (batch, h, w), raw: no normalisation, no resizing

Images are float RGB in 0..1, (batch, 3, height, width); every network normalises by itself.

What a method may have besides: `images_per_class`, how many images of a class stand together in a batch; `smallest`,
the side in pixels of the smallest images it can be trained on; `alters_images`, true where loss() changes the images'
pixels; `trained_as`, the name of the method whose weights it reads differently (the state dicts and the losses are the
same); `epoch`, which the training loop sets; and a classmethod for options that speak of the classes by their names,

    resolve(options, classes) -> options    once, when training begins; plain values, which the checkpoint keeps
"""

import importlib
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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

REGRESSORS = {
    "psol": "boxless.methods.psol:Psol",
}
"""Methods that learn from the boxes that another one found. They know no classes: the constructor takes none, loss()
takes boxes (x0 y0 x1 y1 in fractions of the image) for labels, heatmap_and_logits() gives the logits of no class."""

TRAINED = ChainMap(METHODS, REGRESSORS)
"""Both, also with what is added later."""


def method_class(name: str) -> Any:
    """The class of the method called `name`; raises KeyError for a name that TRAINED does not hold."""
    module, _, attribute = TRAINED[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def options_for(name: str, options: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """The options of a method for classes of these names: its `resolve`, or all as they are where it has none."""
    resolve = getattr(method_class(name), "resolve", None)
    return dict(options) if resolve is None else dict(resolve(options, classes))


def build_method(name: str, backbone: "Backbone", classes: int, options: Mapping[str, Any]) -> Any:
    """The network of a method over `backbone`, a torch module; regressors are built without classes."""
    counted = () if name in REGRESSORS else (classes,)
    return method_class(name)(backbone, *counted, **options)
