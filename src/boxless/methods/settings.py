"""The options of classifier training: one typed dataclass that the command line, settings.toml and the loop share.

settings.toml of a run holds `method`, a table `[options]` of that method and a table `[training]`; it is written with
every value resolved, and read back with unknown keys refused.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_type_hints

from boxless.data.resizing import Resizing
from boxless.runtime.device_options import Precision, current_names
from boxless.runtime.errors import UsageError
from boxless.runtime.toml_settings import check_values, require_positive, require_side, to_toml


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
    """Last stage of the backbone that keeps its weights, such as block10 of lite0; all: only the head learns."""
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
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda or cuda:N."""
    devices: int = 1
    """Processes on each machine, with one device each; the batch of a step is devices x nodes x batch_size."""
    nodes: int = 1
    """Machines. torchrun and srun tell devices and nodes by themselves."""
    precision: Precision = "auto"
    """Numbers in the network: bf16, fp32, or auto: bf16 on GPUs, fp32 on processors, where bf16 trains no faster."""
    workers: int = 2
    """Threads that read and cut images."""
    memory: float = 2.0
    """GiB in which decoded images are kept; what does not fit is read again in every epoch."""
    save_minutes: float = 10.0
    """Minutes between two writes of last.pt inside an epoch; it is always written after one."""

    def __post_init__(self) -> None:
        """Raise UsageError for values that no run can have."""
        above_zero = ("epochs", "batch_size", "stride", "workers", "devices", "nodes", "lr")
        require_positive(**{name: getattr(self, name) for name in above_zero})
        require_side(size=self.size, resize=self.resize)
        for name in ("momentum", "weight_decay", "memory", "seed", "head_factor"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 0 or more.")
        if self.freeze and self.weights == "none":
            raise UsageError(f"freeze is {self.freeze} and weights none: the frozen stages would stay random.")
        if self.resize < self.size:
            raise UsageError(
                f"resize is {self.resize} pixels and size {self.size}: a square of {self.size} cannot be cut out. "
                "Expected resize >= size."
            )


STARTS: dict[str, dict[str, Any]] = {
    "detector": {"stride": 32, "freeze": "all", "size": 320, "epochs": 9, "batch_size": 4, "lr": 5e-4},
}
"""What the command line starts a method with in place of the defaults above."""


def settings_text(method: str, options: Mapping[str, Any], training: Training, data: str) -> str:
    """settings.toml of a run on data of that hash; what is None is left out, which reads back as None."""
    tables = {"options": options, "training": asdict(training)}
    text = to_toml({"method": method, "data": data})
    return text + "".join(f"\n[{name}]\n{to_toml(values)}" for name, values in tables.items())


def training(values: Mapping[str, Any], origin: str) -> Training:
    """A Training from plain values, also older ones; raises UsageError for unknown keys or wrong types in `origin`."""
    values = current_names(values)
    check_values(values, get_type_hints(Training), origin)
    known: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Training(**known)


def plain(settings: Training) -> dict[str, Any]:
    """Settings as checkpoints keep them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
