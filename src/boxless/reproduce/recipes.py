"""How the trials of a table are trained: one budget for all, and each method's options where they depend on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from boxless.backbones import BACKBONES
from boxless.data.dataset import Dataset
from boxless.methods.options import method_options
from boxless.methods.settings import Training
from boxless.runtime.errors import UsageError

ILSVRC = 1281
"""Images of an ILSVRC class."""


@dataclass(frozen=True, slots=True)
class TableRecipe:
    """The settings that all trials share, and options by method; `head` is for every method that has that option."""

    training: Training
    head: str
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def with_training(self, **changed: Any) -> "TableRecipe":
        """The same with some settings of training changed; on another backbone no method keeps options of its own."""
        settings = replace(self.training, **changed)
        return replace(self, training=settings, own=self.own if settings.backbone == self.training.backbone else {})

    def on(self, backbone: str) -> "TableRecipe":
        """The same on another backbone, at its own stride and with the like part of it frozen."""
        if backbone not in BACKBONES:
            raise UsageError(f"There is no backbone {backbone!r}. Choose from: {', '.join(BACKBONES)}.")
        if backbone == self.training.backbone:
            return self
        freeze = FROZEN.get(backbone, "") if self.training.freeze else ""
        return self.with_training(backbone=backbone, stride=None, freeze=freeze)

    def options(self, method: str, train: Dataset) -> dict[str, Any]:
        """What this method is given; the memory of I2C counts updates of a class, of which ILSVRC has 641 an epoch."""
        known = {option.name for option in method_options(method)}
        shared = {"head": self.head, "alpha": 0.002 * ILSVRC * max(1, len(train.classes)) / len(train)}
        given = {name: value for name, value in shared.items() if name == "head" or method == "i2c"}
        return {name: value for name, value in (given | dict(self.own.get(method, {}))).items() if name in known}


FROZEN = {"vgg16": "conv4", "resnet50": "layer3.5", "inception_v3": "Mixed_6d"}
"""Last frozen step on the other backbones where a recipe freezes: all but the last stage learns nothing."""

RECIPES = {
    # Minutes on a processor: only Lite0's last block, its last convolution and the classifier learn, from whole
    # pictures, mirrored every other time; what lies before is computed once for all trials. These layers learn as fast
    # as the classifier: in the hundred steps of a small data set the published tenth of that hardly moves them.
    #
    # I2C takes its seeds where the paper does, before the layers that make the class map, which here is before Lite0's
    # last convolution. Trials within cub10's training images, one seed, a third of them held out and judged by their
    # boxes (mean accuracy at the best thresholds): on the features that are classified, SC lowered 62 to 61 and 53
    # (factors 0.00008, where its gradient is half the classification's, and 0.0004): the whole map rises and boxes
    # grow. On block15 the same share of the gradient does nothing; at 0.003 the distance of the seeds falls to a third
    # and the part of the map above delta rises from 11 to 15 %, as the paper intends, with an accuracy of 62 as before;
    # at 0.01 classes suffer. GC has the paper's eighth of that. Plain boxes of these images are too large five times
    # as often as too small, which is not what SC mends.
    "quick": TableRecipe(
        Training(
            backbone="lite0",
            stride=16,
            freeze="block14",
            size=224,
            resize=224,
            batch_size=20,
            epochs=6,
            lr=0.01,
            head_factor=1.0,
        ),
        "linear",
        {"i2c": {"layer": "block15", "sc_weight": 0.003, "gc_weight": 0.003 / 8}},
    ),
    # As published, after two epochs without the constraints: 40 classes x 2 images, crops; for a GPU.
    "paper": TableRecipe(
        Training(backbone="inception_v3", stride=8, resizing="short-side", batch_size=80, epochs=7, decay=(4, 5, 6)),
        "conv",
    ),
}
