"""A trained network as something that localizes: load a checkpoint, ask for heat maps."""

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from boxless.boxes.from_heatmap import Normalisation, Readout
from boxless.methods import method_class
from boxless.runtime import checkpoint
from boxless.runtime.errors import BoxlessError, brief

RANKED = 5
"""How many classes are named per image: as many as Top-5 localization asks for."""
BUILDERS = {
    "classifier": "boxless.methods:from_description",
    "regressor": "boxless.methods:from_description",
    "gan": "boxless.gan.localizer:from_description",
    "position": "boxless.discovery.position:from_description",
}
"""What makes the network that a checkpoint of each kind describes."""

FIELDS = {
    "kind": str, "method": str, "options": dict, "backbone": dict, "classes": list, "size": int, "readout": dict,
    "model": dict,
}  # fmt: skip
"""What every checkpoint holds, and as what."""

SIZES = range(8, 4097)
"""Sides in pixels that a network may ask of its images."""


@dataclass(slots=True)
class Localizer:
    """A network that gives heat maps, with all that is needed to use it: input size, classes and readout."""

    network: Any
    """A Method, a GanLocalizer or a PositionNetwork."""
    method: str
    size: int
    """Side of the square that images are resized to, in pixels."""
    classes: list[str]
    readout: Readout
    content: dict[str, Any]
    """The checkpoint's description of the network, without its weights."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        device: torch.device = next(self.network.parameters()).device
        return device

    def to(self, device: torch.device | str) -> "Localizer":
        """Move the network; on the way its weights are laid out channels last, which convolutions like best."""
        self.network.to(device).to(memory_format=torch.channels_last)
        return self

    @torch.inference_mode()
    def localize(
        self, images: Float[Tensor, "batch 3 height width"], labels: Int[Tensor, "batch"] | None = None
    ) -> tuple[Float[Tensor, "batch h w"], Int[Tensor, "batch k"]]:
        """Images in 0..1 -> raw heat maps of `labels` (of the predicted classes without), and the likeliest classes."""
        asked = None if labels is None else labels.to(self.device)
        heat, logits = self.network.heatmap_and_logits(images.to(self.device), asked)
        ranked = logits.float().topk(min(RANKED, logits.shape[1]), dim=1).indices
        return heat.float().cpu(), ranked.cpu()

    @property
    def several(self) -> bool:
        """Whether the network gives boxes with scores, of which its maps are drawn."""
        return bool(getattr(self.network, "several", False))

    @torch.inference_mode()
    def detect(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch h w"], list[Float[Tensor, "_box 5"]]]:
        """Images in 0..1 -> the maps of a network of `several`, and its boxes as `Detector.detect` gives them."""
        found = self.network.detect(images.to(self.device))
        return self.network.drawn(found).float().cpu(), [boxes.cpu() for boxes in found]

    def heatmap(
        self, images: Float[Tensor, "batch 3 height width"], labels: Int[Tensor, "batch"] | None = None
    ) -> Float[Tensor, "batch h w"]:
        """Images in 0..1 -> raw heat maps of `labels`, or of the predicted classes without."""
        return self.localize(images, labels)[0]


def load(path: Path | str) -> Localizer:
    """A run folder (its best.pt) or a checkpoint -> a localizer on the CPU, ready to use.

    Raises BoxlessError for a file that is missing, broken, or of a method that this boxless does not have.
    """
    file = checkpoint.find_checkpoint(Path(path))
    content = checkpoint.read(file)
    validate_checkpoint(content, file)
    network = build_network(content)
    network.load_state_dict(content.pop("model"))
    network.eval()
    return Localizer(
        network, content["method"], content["size"], content["classes"], Readout(**content["readout"]), content
    )


def read_as(localizer: Localizer, method: str, options: dict[str, Any]) -> Localizer:
    """The same weights read out by `method`, which trains as the localizer's own does (its class's `trained_as`).

    Raises BoxlessError when the weights are not those of such a network.
    """
    if method == localizer.method:
        return localizer
    content = localizer.content | {
        "method": method,
        "options": options,
        "readout": method_class(method).readout.to_dict(),
    }
    network = build_network(content)
    try:
        network.load_state_dict(localizer.network.state_dict())
    except RuntimeError as error:
        raise BoxlessError(f"The weights of {localizer.method} do not fit the network of {method}: {error}") from error
    return replace(
        localizer, network=network.eval(), method=method, readout=Readout(**content["readout"]), content=content
    )


def fresh(localizer: Localizer, seed: int = 0) -> Localizer:
    """The same network with random weights everywhere: the control that was never trained."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = build_network(localizer.content).eval()
    return Localizer(network, localizer.method, localizer.size, localizer.classes, localizer.readout, localizer.content)


def validate_checkpoint(content: dict[str, Any], path: Path) -> None:
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


def build_network(content: dict[str, Any]) -> nn.Module:
    """The network of a checked description, with random weights; raises BoxlessError for an unknown method."""
    if content["kind"] not in BUILDERS:
        raise BoxlessError(f"This boxless has no networks of the kind {content['kind']!r}. Install a newer one.")
    module, _, function = BUILDERS[content["kind"]].partition(":")
    built: nn.Module = getattr(importlib.import_module(module), function)(content)
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
        with torch.device("meta"), _Unfilled():
            network = build_network(content)
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


class _Unfilled(TorchFunctionMode):
    """No weight is drawn: drawing normal ones that are on no device would import torch's compiler, for seconds."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """What torch asks before each of its functions."""
        named = kwargs or {}
        if getattr(func, "__name__", "") == "normal_":
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def _wrong(path: Path, what: str) -> str:
    return f"{path} is damaged, or was changed by another program: it has {what}. Use another checkpoint."
