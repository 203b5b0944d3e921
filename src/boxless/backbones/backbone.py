"""The contract of every backbone: images 0..1 -> features, normalised by itself, in named stages."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from boxless.runtime.errors import UsageError

Stage = tuple[str, nn.Module]
Hooks = Mapping[str, Callable[[Tensor], Tensor]]
"""What a method puts in the middle of a network: functions of the features after the named stages."""
_NOTHING: Hooks = MappingProxyType({})
Engine = Callable[[Tensor, tuple[str, ...], nn.Module], tuple[Tensor, ...] | None]
"""What computes `intermediates` in torch's place: images, stages, neck -> features, or None to leave it to torch."""
_NO_NECK = nn.Identity()
TRIED = 192
"""Pixels of the image that a network is tried out with: not 224, which some networks are bound to."""


class FeatureInfo(NamedTuple):
    """What leaves a stage: its channels, and pixels of the image per place of the map (timm's `feature_info`)."""

    name: str
    channels: int
    reduction: int


@runtime_checkable
class Network(Protocol):
    """What a backbone wraps: a torch module that can say in which stages it runs."""

    def stages(self) -> Iterator[Stage]:
        """The named stages, first to last."""
        ...


class Backbone(nn.Module):
    """A network without its classifier: (batch, 3, H, W) in 0..1 -> (batch, channels, H / stride, W / stride).

    `net` keeps the parameter names of the library that its published weights come from. A method that works in the
    middle of the network gives `hooks` (an attention layer) or asks for `intermediates` (a branch).
    """

    mean: Tensor
    std: Tensor
    bound: int | None = None
    """The one side that images have to have, where the network takes no other."""

    def __init__(
        self, net: nn.Module, *, name: str, stride: int, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.name, self.stride = name, stride
        self.net = net
        self.frozen = 0
        self.engine: Engine | None = None
        # Constants of the code and not of the training: they stay out of the state dict.
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def normalise(self, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch 3 H W"]:
        """Images 0..1 -> the range that the weights were trained with."""
        return (images - self.mean) / self.std

    def stages(self) -> Iterator[Stage]:
        """The network in the order in which it runs: pairs of a name and a module."""
        net: Network = self.net  # type: ignore[assignment]  # a torch module and a Network
        return net.stages()

    @cached_property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """Name, channels and reduction of every stage, first to last."""
        found = [FeatureInfo(name, shape[1], round((self.bound or TRIED) / shape[2])) for name, shape in self._shapes()]
        return (*found[:-1], found[-1]._replace(reduction=self.stride))

    @torch.no_grad()
    def _shapes(self) -> list[tuple[str, torch.Size]]:
        """Name and shape of what leaves every stage for one blank image, of `TRIED` pixels where it is bound to none.

        It is computed, with zeros for weights that are on no device yet: shapes alone, on torch's device "meta", would
        import its compiler, which takes longer than any network here.
        """
        device = torch.device("cpu") if self.mean.is_meta else self.mean.device
        training, found = self.training, list[tuple[str, torch.Size]]()
        self.eval()
        with device:  # also for what stages make on their way
            features = torch.zeros(1, 3, self.bound or TRIED, self.bound or TRIED)
            for name, stage in self.stages():
                state = {**dict(stage.named_parameters()), **dict(stage.named_buffers())}
                filled = {
                    key: torch.zeros((), dtype=value.dtype).expand(value.shape) if value.is_meta else value
                    for key, value in state.items()
                }
                features = functional_call(stage, filled, features)
                found.append((name, (features[0] if isinstance(features, list) else features).shape))
        self.train(training)
        return found

    @property
    def channels(self) -> int:
        """Of the last features."""
        return self.feature_info[-1].channels

    def channels_of(self, stage: str) -> int:
        """Of the features after `stage`; raises KeyError for a name that is no stage of this backbone."""
        return {info.name: info.channels for info in self.feature_info}[stage]

    def freeze(self, last: str) -> None:
        """Keep the weights and statistics of all stages up to the one named `last` ("all": of every stage) as they are.

        Raises UsageError for a name that is no stage of this backbone.
        """
        names = [name for name, _ in self.stages()]
        if last not in (*names, "all"):
            raise UsageError(f"The backbone {self.name} has no stage {last!r}. Its stages: {', '.join(names)}, or all.")
        self.frozen = len(names) if last == "all" else names.index(last) + 1
        for _, stage in islice(self.stages(), self.frozen):
            stage.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Backbone":
        """As torch's, but frozen stages stay in evaluation mode, so that their statistics do not move."""
        super().train(mode)
        for _, stage in islice(self.stages(), self.frozen):
            stage.eval()
        return self

    def forward_stem(self, images: Float[Tensor, "batch 3 H W"], count: int) -> Float[Tensor, "batch _c _h _w"]:
        """Images 0..1 -> the features after the first `count` stages; with frozen stages, the part that can be kept."""
        features = self.normalise(images)
        for _, stage in islice(self.stages(), count):
            features = stage(features)
        return features

    def forward(
        self, images: Float[Tensor, "batch 3 H W"], hooks: Hooks = _NOTHING, neck: nn.Module = _NO_NECK
    ) -> Float[Tensor, "batch _channels h w"]:
        """Images 0..1 -> the features of the last stage, or what a method's `neck` makes of them.

        Raises KeyError for a name in `hooks` that is no stage of this backbone.
        """
        *_, (last, _) = self.stages()
        return self.intermediates(images, last, hooks=hooks, neck=neck)[0]

    def intermediates(
        self, images: Float[Tensor, "batch 3 H W"], *names: str, hooks: Hooks = _NOTHING, neck: nn.Module = _NO_NECK
    ) -> tuple[Tensor, ...]:
        """Images 0..1 -> the features after each of the named stages; what follows the last of them is not computed.

        The last of them go through `neck`. Raises KeyError for a name, here or in `hooks`, that is no stage of this
        backbone.
        """
        if self.engine is not None and not hooks and not torch.is_grad_enabled():
            found = self.engine(images, names, neck)
            if found is not None:
                return found
        return self.compute(images, *names, hooks=hooks, neck=neck)

    def compute(
        self, images: Float[Tensor, "batch 3 H W"], *names: str, hooks: Hooks = _NOTHING, neck: nn.Module = _NO_NECK
    ) -> tuple[Tensor, ...]:
        """As `intermediates`, always by torch."""
        stages = list(self.stages())
        place = {name: index for index, (name, _) in enumerate(stages)}
        touched = [place[name] for name in (*names, *hooks)]
        start = min(self.frozen, *touched)
        features, found = self.forward_stem(images, start), dict[str, Tensor]()
        for name, stage in stages[start : max(place[name] for name in names) + 1]:
            features = stage(features)
            if name in hooks:
                features = hooks[name](features)
            if name in names:
                found[name] = features
        *others, last = (found[name] for name in names)
        return (*others, neck(last))
