"""Who computes a network: torch, or OpenVINO, in numbers that the user's own images allow."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boxless.backbones.backbone import Backbone
from boxless.backbones.openvino_engine import OpenvinoEngine, installed
from boxless.data.dataset import Dataset
from boxless.data.transforms import to_images
from boxless.inference.predictors import InferenceOptions
from boxless.runtime.device_options import EngineName, Precision
from boxless.runtime.errors import UsageError
from boxless.runtime.progress import Progress

FEW = 100
"""Images from which on an engine wins back what making its network ready takes, the first time."""
MANY = 1000
"""Images from which on integers of 8 bits are tried.

They win back what measuring their ranges takes from about 570 on, even where bf16 is ready made (28-engine-start.json).
It is more since they move boxes a little, on some sets more than one in twenty (26-engines.json), and not fewer where
these images' network is ready: a search is to give the same boxes each time.
"""
SAMPLE = 32
"""Images, evenly taken, that the ranges are measured and tried on."""


def with_engine(
    name: EngineName,
    how: InferenceOptions,
    network: object,
    look: Callable[[Tensor], object],
    size: int,
    images: Dataset | None = None,
    *,
    precision: Precision = "auto",
    maps: Callable[[Tensor], Tensor] | None = None,
) -> InferenceOptions:
    """Give the network's backbone the engine called `name`, if it can use it -> the options, with what computes it.

    `look` is what is done with images of `size` pixels; one tells whether the engine can. Of less than FEW `images`,
    auto leaves all to torch; with at least MANY and no `precision` asked for, integers of 8 bits are tried on some of
    them, whose maps by `maps` have to stay the same, or else their features. Raises UsageError for openvino where it is
    not installed, on a GPU, and where it cannot compute this network.
    """
    backbone = getattr(network, "backbone", None)
    required = name == "openvino"
    if required and not installed():
        raise UsageError("--engine openvino was asked for, and is not installed. Run: pip install 'boxless[fast]'")
    if required and how.device.type != "cpu":
        raise UsageError(f"--engine openvino runs on a processor, not on {how.device}. Give --device cpu with it.")
    possible = name != "torch" and installed() and how.device.type == "cpu"
    if images is not None and len(images) < FEW and not required:
        possible = False
    if not possible or not isinstance(backbone, Backbone):
        return how
    lanes = torch.get_num_threads()
    rounded = images is not None and len(images) >= MANY and precision == "auto" and torch.cpu._is_vnni_supported()
    some = some_of(images, how, size) if images and rounded else None
    backbone.engine = engine = OpenvinoEngine(
        backbone, bf16=how.bf16, lanes=lanes, required=required, images=some, maps=maps
    )
    with how.precision():
        look(torch.zeros(1, 3, size, size))
    if engine.used:
        return replace(how, engine=engine.name)
    if required:
        raise UsageError("OpenVINO cannot compute this method, which changes its network. Give --engine torch.")
    backbone.engine = None
    return how


def some_of(images: Dataset, how: InferenceOptions, size: int) -> Float[Tensor, "batch 3 size size"] | None:
    """A few of the images; None where not all of them can be read."""
    places = np.linspace(0, len(images) - 1, SAMPLE).round().astype(int)
    few = replace(images, samples=[images.samples[place] for place in places])
    read = [batch.pictures for batch in how.stream(few, size, Progress())]
    return to_images(np.concatenate(read), how.device) if sum(map(len, read)) == SAMPLE else None
