"""The contract of every backbone: images 0..1 -> features, normalised by itself, in named steps that can be tapped."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boxless.runtime.errors import UsageError

Step = tuple[str, nn.Module]
After = Mapping[str, Callable[[Tensor], Tensor]]
"""What a method puts in the middle of a network: functions of the features after the named steps."""
_NOTHING: After = MappingProxyType({})


@runtime_checkable
class Network(Protocol):
    """What a backbone wraps: a torch module that can say in which steps it runs."""

    def steps(self) -> Iterator[Step]:
        """The named steps, first to last."""
        ...


class Backbone(nn.Module):
    """A network without its classifier: (batch, 3, H, W) in 0..1 -> (batch, channels, H / stride, W / stride).

    `net` keeps the parameter names of the library that its published weights come from. A method that works in the
    middle of the network gives `after` (an attention layer) or asks for `taps` (a branch).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, net: nn.Module, *, name: str, stride: int, channels: int, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.name, self.stride, self.channels = name, stride, channels
        self.net = net
        self.frozen = 0
        # Constants of the code and not of the training: they stay out of the state dict.
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def normalise(self, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch 3 H W"]:
        """Images 0..1 -> the range that the weights were trained with."""
        return (images - self.mean) / self.std

    def steps(self) -> Iterator[Step]:
        """The network in the order in which it runs: pairs of a name and a module."""
        net: Network = self.net  # type: ignore[assignment]  # a torch module and a Network
        return net.steps()

    def freeze(self, last: str) -> None:
        """Keep the weights and statistics of all steps up to the one named `last` ("all": of every step) as they are.

        Raises UsageError for a name that is no step of this backbone.
        """
        names = [name for name, _ in self.steps()]
        if last not in (*names, "all"):
            raise UsageError(f"The backbone {self.name} has no step {last!r}. Its steps: {', '.join(names)}, or all.")
        self.frozen = len(names) if last == "all" else names.index(last) + 1
        for _, step in islice(self.steps(), self.frozen):
            step.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Backbone":
        """As torch's, but frozen steps stay in evaluation mode, so that their statistics do not move."""
        super().train(mode)
        for _, step in islice(self.steps(), self.frozen):
            step.eval()
        return self

    def begin(self, images: Float[Tensor, "batch 3 H W"], count: int) -> Float[Tensor, "batch _c _h _w"]:
        """Images 0..1 -> the features after the first `count` steps; with frozen steps, the part that can be kept."""
        features = self.normalise(images)
        for _, step in islice(self.steps(), count):
            features = step(features)
        return features

    def forward(
        self, images: Float[Tensor, "batch 3 H W"], after: After = _NOTHING
    ) -> Float[Tensor, "batch channels h w"]:
        """Images 0..1 -> the features of the last step.

        Raises KeyError for a name in `after` that is no step of this backbone.
        """
        *_, (last, _) = self.steps()
        return self.taps(images, last, after=after)[0]

    def taps(self, images: Float[Tensor, "batch 3 H W"], *names: str, after: After = _NOTHING) -> tuple[Tensor, ...]:
        """Images 0..1 -> the features after each of the named steps; what follows the last of them is not computed.

        Raises KeyError for a name, here or in `after`, that is no step of this backbone.
        """
        steps = list(self.steps())
        place = {name: index for index, (name, _) in enumerate(steps)}
        touched = [place[name] for name in (*names, *after)]
        start = min(self.frozen, *touched)
        features, found = self.begin(images, start), dict[str, Tensor]()
        for name, step in steps[start : max(place[name] for name in names) + 1]:
            features = step(features)
            if name in after:
                features = after[name](features)
            if name in names:
                found[name] = features
        return tuple(found[name] for name in names)
