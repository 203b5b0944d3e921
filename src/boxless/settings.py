"""The options of classifier training: one typed dataclass that the command line, settings.toml and the loop share.

settings.toml of a run holds `method`, a table `[options]` of that method and a table `[training]`; it is written with
every value resolved, and read back with unknown keys refused.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from boxless.errors import BoxlessError, UsageError
from boxless.writing import write_whole

Precision = Literal["auto", "32-true", "bf16-mixed"]
Resizing = Literal["squash", "short-side"]
Accelerator = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a classifier is trained."""

    backbone: str = "lite0"
    """Feature extractor, by its name in the list of `boxless methods`."""
    stride: int | None = None
    """Pixels of the image per pixel of the heat map; None for the backbone's default."""
    weights: str = "imagenet"
    """Start of the backbone: imagenet, none (random), or the path of a state dict or of a boxless checkpoint."""
    freeze: str = ""
    """Last step of the backbone that keeps its weights, such as block10 of lite0; all: only the head learns."""
    epochs: int = 10
    """Passes over the training images."""
    batch_size: int = 16
    """Images per step on each device."""
    size: int = 224
    """Side in pixels of the squares that the network sees."""
    resize: int = 256
    """Side in pixels that photographs are resized to before a random square of `size` is cut out."""
    resizing: Resizing = "squash"
    """squash makes photographs square; short-side keeps their shape and resizes the shorter side."""
    lr: float = 1e-3
    """Learning rate of the backbone's weights; biases learn 2 times, the head 10 (its biases 20) times as fast."""
    decay: tuple[int, ...] = ()
    """Epochs after which the learning rates are divided by 10; with none they fall to zero along half a cosine."""
    momentum: float = 0.9
    """Nesterov momentum of SGD."""
    weight_decay: float = 5e-4
    """Factor of the L2 penalty on all parameters."""
    head_factor: float = 10.0
    """Factor on the learning rate of everything that is not the backbone."""
    seed: int = 0
    """Seed of the weights, the order of the images and their crops; each draw depends on it, the epoch and the step."""
    accelerator: Accelerator = "auto"
    """auto takes a CUDA device where there is one."""
    devices: int = 1
    """Processes on each machine, with one device each; the batch of a step is devices x nodes x batch_size."""
    nodes: int = 1
    """Machines. torchrun and srun tell devices and nodes by themselves."""
    precision: Precision = "auto"
    """Numbers in the network; auto is bf16-mixed on CUDA and 32-true on processors, where bf16 trains no faster."""
    workers: int = 2
    """Threads that read and cut images."""
    memory: float = 2.0
    """GiB in which decoded images are kept; what does not fit is read again in every epoch."""
    save_minutes: float = 10.0
    """Minutes between two writes of last.pt inside an epoch; it is always written after one."""

    def __post_init__(self) -> None:
        """Raise UsageError for values that no run can have."""
        for name in ("epochs", "batch_size", "size", "workers", "devices", "nodes", "lr"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} is {getattr(self, name)}; expected more than 0.")
        for name in ("momentum", "weight_decay", "memory", "seed", "head_factor"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 0 or more.")
        if self.freeze and self.weights == "none":
            raise UsageError(f"freeze is {self.freeze} and weights none: the frozen steps would stay random.")
        if self.resize < self.size:
            raise UsageError(
                f"resize is {self.resize} pixels and size {self.size}: a square of {self.size} cannot be cut out. "
                "Expected resize >= size."
            )


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What settings.toml holds."""

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    training: Training = field(default_factory=Training)


def write_settings(path: Path, settings: RunSettings) -> None:
    """Write `settings` as TOML; what is None is left out, which reads back as None."""
    tables = {"options": settings.options, "training": asdict(settings.training)}
    text = f"method = {json.dumps(settings.method)}\n"
    text += "".join(f"\n[{name}]\n{to_toml(values)}" for name, values in tables.items())
    write_whole(path, [text], "the settings")


def read_settings(path: Path) -> RunSettings:
    """Read what `write_settings` wrote; raises BoxlessError for no or broken TOML, UsageError for unknown keys."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BoxlessError(f"The settings {path} cannot be read: {error}.") from error
    refuse_unknown(content, ["method", "options", "training"], str(path))
    if not isinstance(content.get("method"), str):
        raise UsageError(f'{path} names no method. Expected a first line such as: method = "cam".')
    return RunSettings(content["method"], content.get("options", {}), training(content.get("training", {}), str(path)))


def training(values: Mapping[str, Any], origin: str) -> Training:
    """A Training from plain values; raises UsageError for an unknown key or a value of a wrong type in `origin`."""
    check_values(values, get_type_hints(Training), origin)
    known: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Training(**known)


def to_toml(values: Mapping[str, Any]) -> str:
    """Flat plain values as TOML lines; None is left out."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items() if value is not None)


def check_values(values: Mapping[str, Any], types: Mapping[str, Any], origin: str) -> None:
    """Raise UsageError for a key that is not in `types`, or a value that is not of its type, naming the file."""
    refuse_unknown(values, list(types), origin)
    for name, value in values.items():
        if not _fits(value, types[name]):
            raise UsageError(f"{origin}: {name} is {value!r}; expected {_named(types[name])}.")


def refuse_unknown(values: Mapping[str, Any], known: list[str], origin: str) -> None:
    """Raise UsageError for a key that is not known, with the one that was meant where it is near."""
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Expected some of: {', '.join(known) or 'none'}."
            raise UsageError(f"{origin}: there is no setting {name!r}. {hint}")


def _fits(value: Any, wanted: Any) -> bool:
    if wanted == tuple[int, ...]:
        return isinstance(value, list | tuple) and all(type(entry) is int for entry in value)
    if get_origin(wanted) is Literal:
        return value in get_args(wanted)
    if choices := get_args(wanted):  # int | None
        return any(_fits(value, choice) for choice in choices)
    return type(value) is wanted or (wanted is float and type(value) is int)


def _named(wanted: Any) -> str:
    if wanted == tuple[int, ...]:
        return "a list of whole numbers"
    if get_origin(wanted) is Literal:
        return f"one of {', '.join(map(str, get_args(wanted)))}"
    if choices := get_args(wanted):
        return " or ".join(_named(choice) for choice in choices if choice is not NoneType)
    return str(getattr(wanted, "__name__", wanted))
