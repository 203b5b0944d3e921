"""What a checkpoint says of its network, checked before anything is built from it: a checkpoint may be anybody's.

The network is built once without memory, on torch's `meta` device, and its shapes are compared with the weights that
lie in the file. A description of a billion channels therefore costs nothing, and is refused.
"""

from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from boxless.backbones import build_backbone
from boxless.boxes import Normalisation, Readout
from boxless.data.annotations import brief
from boxless.errors import BoxlessError
from boxless.methods import TRAINED, build_method

FIELDS = {
    "kind": str,
    "method": str,
    "options": dict,
    "backbone": dict,
    "classes": list,
    "size": int,
    "readout": dict,
    "model": dict,
}
"""What every checkpoint holds, and as what."""

SIZES = range(8, 4097)
"""Sides in pixels that a network may ask of its images."""


def check(content: dict[str, Any], path: Path) -> None:
    """Raise BoxlessError unless a checkpoint describes a network that this boxless can build and its weights fit."""
    for name, kind in FIELDS.items():
        if not isinstance(content.get(name), kind) or isinstance(content[name], bool):
            raise BoxlessError(_wrong(path, f"{name} = {brief(content.get(name))}; expected a {kind.__name__}"))
    if content["size"] not in SIZES:
        raise BoxlessError(_wrong(path, f"size = {content['size']}; expected {SIZES[0]} to {SIZES[-1]} pixels"))
    if not all(isinstance(name, str) for name in content["classes"]):
        raise BoxlessError(_wrong(path, f"classes = {brief(content['classes'])}; expected names"))
    if not all(isinstance(value, Tensor) for value in content["model"].values()):
        raise BoxlessError(_wrong(path, "weights that are not all tensors"))
    _check_readout(content["readout"], path)
    _check_shapes(content, path)


def build(content: dict[str, Any]) -> nn.Module:
    """The network of a checked description, with random weights; raises BoxlessError for an unknown method."""
    if content["kind"] == "gan":
        from boxless.gan.localizer import GanLocalizer
        from boxless.gan.networks import Discriminator

        options = content["options"]
        return GanLocalizer(Discriminator(**options["discriminator"]), **options["reading"])
    if content["method"] not in TRAINED:
        raise BoxlessError(f"This boxless has no method {content['method']!r}. Install the version that trained it.")
    backbone = build_backbone(**content["backbone"], weights="none")
    built: nn.Module = build_method(content["method"], backbone, len(content["classes"]), content["options"])
    return built.requires_grad_(False)  # slopes by the image, which some methods take, then remember half as much


def _check_readout(said: dict[str, Any], path: Path) -> None:
    try:
        readout = Readout(**said)
        good = 0 <= readout.threshold < 1 and isinstance(readout.origin, str)
    except TypeError:
        good = False
    if not good or readout.normalisation not in get_args(Normalisation):
        raise BoxlessError(_wrong(path, f"readout = {brief(said, 200)}; expected threshold, origin, normalisation"))


def _check_shapes(content: dict[str, Any], path: Path) -> None:
    try:
        with torch.device("meta"):
            network = build(content)
    except BoxlessError:
        raise
    except Exception as error:  # constructors raise whatever they stumble over
        reason = brief(str(error), 120)
        raise BoxlessError(_wrong(path, f"a network that cannot be built: {type(error).__name__}: {reason}")) from error
    ours = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in content["model"].items()}
    if other := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
        name = other[0]
        raise BoxlessError(
            f"The weights in {path} do not fit the network they describe: {len(other)} differ, the first is {name}, "
            f"{theirs.get(name)} instead of {ours.get(name)}. Use another checkpoint, or train again."
        )


def _wrong(path: Path, what: str) -> str:
    return f"{path} is damaged, or was changed by another program: it has {what}. Use another checkpoint."
