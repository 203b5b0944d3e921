"""A trained network as something that localizes: load a checkpoint, ask for heat maps."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from boxless import checkpoint, description
from boxless.boxes import Readout
from boxless.errors import BoxlessError
from boxless.methods import method_class

RANKED = 5
"""How many classes are told of an image: as many as Top-5 localization asks for."""


@dataclass(slots=True)
class Localizer:
    """A network that gives heat maps, with all that is needed to use it: input size, classes and readout."""

    network: nn.Module
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
        return next(self.network.parameters()).device

    def to(self, device: torch.device | str) -> "Localizer":
        """Move the network; on the way its weights are laid out channels last, which convolutions like best."""
        self.network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    @torch.inference_mode()
    def localize(
        self, images: Float[Tensor, "batch 3 height width"], labels: Int[Tensor, "batch"] | None = None
    ) -> tuple[Float[Tensor, "batch h w"], Int[Tensor, "batch k"]]:
        """Images in 0..1 -> raw heat maps of `labels` (of the predicted classes without), and the likeliest classes."""
        images = images.to(self.device)
        if self.content["kind"] == "gan":
            ranked = torch.zeros(len(images), 1, dtype=torch.long)
            return self.network.heatmap(images).float().cpu(), ranked  # type: ignore[operator]
        heat, logits = self.network.heatmap_and_logits(images, labels)  # type: ignore[operator]
        ranked = logits.float().topk(min(RANKED, logits.shape[1]), dim=1).indices
        return heat.float().cpu(), ranked.cpu()

    def heatmap(
        self, images: Float[Tensor, "batch 3 height width"], labels: Int[Tensor, "batch"] | None = None
    ) -> Float[Tensor, "batch h w"]:
        """Images in 0..1 -> raw heat maps of `labels`, or of the predicted classes without."""
        return self.localize(images, labels)[0]


def load(path: Path | str) -> Localizer:
    """A run folder (its best.pt) or a checkpoint -> a localizer on the CPU, ready to use.

    Raises BoxlessError for a file that is missing, broken, or of a method that this boxless does not have.
    """
    path = Path(path)
    file = path / "best.pt" if path.is_dir() else path
    content = checkpoint.read(file)
    description.check(content, file)
    network = description.build(content)
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
    network = description.build(content)
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
        network = description.build(localizer.content).eval()
    return Localizer(network, localizer.method, localizer.size, localizer.classes, localizer.readout, localizer.content)
