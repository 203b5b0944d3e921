"""Any network of timm (Wightman, PyTorch Image Models) as a backbone: `timm:resnet18`, `timm:convnext_atto.d2_in1k`.

Most convolutional networks are a chain of their children; that is tried out once when the network is built, and then
the children are the stages, under timm's names. Of all others, transformers too, the last map is the one stage. A finer
map than the network's own comes by timm's dilation (`output_stride`), where timm offers it. Some networks (BEiT, Mixer)
are bound to the side of the images that they were trained on, and refuse others.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import boxless.runtime.torchvision_compat  # noqa: F401

# isort: split
import torch
from jaxtyping import Float
from torch import Tensor, nn

from boxless.backbones.backbone import TRIED, Backbone, Stage
from boxless.runtime.errors import BoxlessError, UsageError


class TimmBackbone(Backbone):
    """A network of timm under its own parameter names; its stages are the parts called `names`, else it is one."""

    def __init__(self, net: nn.Module, names: tuple[str, ...], bound: int | None, **rest: Any) -> None:
        super().__init__(net, **rest)
        self.names, self.bound = names, bound

    def stages(self) -> Iterator[Stage]:
        """The network in the order in which it runs."""
        if not self.names:
            yield "features", LastMap(self.net, self.bound)
        yield from ((name, self.net.get_submodule(name)) for name in self.names)


class LastMap(nn.Module):
    """A whole network as one stage: (batch, 3, H, W) -> (batch, channels, h, w), tokens back in their places."""

    def __init__(self, net: nn.Module, side: int | None) -> None:
        super().__init__()
        self.net, self.side = net, side

    def forward(self, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch channels h w"]:
        """The last map, normalised where the network does so; raises UsageError for a side that it is not bound to."""
        net: Any = self.net
        if self.side is not None and images.shape[2:] != (self.side, self.side):
            called = net.pretrained_cfg["architecture"]
            raise UsageError(f"timm's {called} takes images of {self.side} pixels alone. Give --size {self.side}.")
        maps: list[Tensor] = net.forward_intermediates(
            images, indices=1, output_fmt="NCHW", intermediates_only=True, norm=True
        )
        return maps[-1]


def build_timm(name: str, stride: int | None, *, pretrained: bool) -> Backbone:
    """The network that `name` calls, timm:NAME, with random weights or timm's pretrained ones.

    Raises BoxlessError where timm is missing or its weights are, UsageError for a network that timm does not have, or
    that gives no map for images of any size, or not at `stride`.
    """
    timm, called = _timm(), name.partition(":")[2]
    known = [*timm.list_models(), *timm.list_models(include_tags=True)]
    if called not in known:
        near = get_close_matches(called, known, n=3, cutoff=0)
        raise UsageError(f"timm has no network {called!r}. Near to that: {', '.join(near)}.")
    options, net = _created(timm, called, stride)
    reached = net.feature_info[-1]["reduction"] if hasattr(net, "feature_info") else None
    if reached is None or stride not in (None, reached):
        raise UsageError(f"timm's {called} cannot be built at stride {stride}. Its own is {reached}.")
    if pretrained:
        net = _filled(timm, called, options, net.pretrained_cfg)
    expected = net.pretrained_cfg
    names, bound = _stages(net, called)
    return TimmBackbone(net, names, bound, name=name, stride=reached, mean=expected["mean"], std=expected["std"])


def _timm() -> Any:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise BoxlessError("Backbones called timm:NAME need timm. Install it: pip install 'boxless[timm]'.") from error
    return timm


def _created(timm: Any, called: str, stride: int | None) -> tuple[dict[str, Any], Any]:
    """The network without classifier and pooling, and the options it took: transformers, images of any size.

    Some networks (BEiT, EVA) have no last normalisation of their tokens, but one of their mean, and get an untrained
    one when they are built without pooling; they, and those that cannot be built without, keep their pooling, which is
    not run then.
    """
    tries: list[dict[str, Any]] = [] if stride is None else [{"output_stride": stride}]
    tries += [{"dynamic_img_size": True, "dynamic_img_pad": True}, {"strict_img_size": False}, {}]
    for more in ({**pooling, **one} for one in tries for pooling in ({"global_pool": ""}, {})):
        options = {"num_classes": 0, **more}
        try:
            built = timm.create_model(called, **options)
            if not _gains_weights(timm, called, built):
                return options, built
        except (TypeError, AssertionError, NotImplementedError):  # an option or a stride that this network has not
            continue
    raise UsageError(f"timm's {called} cannot be built without its classifier. Choose another network.")


def _gains_weights(timm: Any, called: str, built: nn.Module) -> bool:
    """Whether the network without pooling has weights that the one that was trained has not."""
    with torch.device("meta"):
        trained = timm.create_model(called)
    return not built.state_dict().keys() <= trained.state_dict().keys()


def _filled(timm: Any, called: str, options: dict[str, Any], config: dict[str, Any]) -> Any:
    hub, address = config.get("hf_hub_id"), config.get("url")
    if not hub and not address:
        raise UsageError(f"timm has no weights for {called}. Give --weights none, or the path of a state dict.")
    try:
        return timm.create_model(called, pretrained=True, **options)
    except Exception as error:  # the hub's client has many kinds for one thing: the file could not be had
        from huggingface_hub.constants import HF_HUB_CACHE

        source = f"https://huggingface.co/{hub}/resolve/main/pytorch_model.bin" if hub else address
        raise BoxlessError(
            f"The weights of timm's {called} are not in {HF_HUB_CACHE} and could not be downloaded "
            f"({type(error).__name__}). Download {source} on another machine and give the file with --weights, or "
            "choose lite0, whose weights come with pip."
        ) from error


def _stages(net: Any, called: str) -> tuple[tuple[str, ...], int | None]:
    """The parts that, run in order, are the network, none where they are not; and the side that it is bound to."""
    mode, names = net.training, tuple(_parts(net))
    net.eval()
    with torch.inference_mode():
        for side in (TRIED, int(net.pretrained_cfg["input_size"][-1])):
            image = torch.linspace(-1, 1, 3 * side**2).view(1, 3, side, side)
            if side != TRIED or not _are_chain(net, names, image):
                names = ()
            try:
                net(image) if names else LastMap(net, None)(image)
                break
            except Exception as error:  # whatever networks raise that give no map
                failed = error
        else:
            raise UsageError(f"timm's {called} gives no map ({type(failed).__name__}: {failed}).") from failed
    net.train(mode)
    return names, None if side == TRIED else side


def _are_chain(net: nn.Module, names: tuple[str, ...], image: Tensor) -> bool:
    """Whether running the parts in order gives the network's map, which has to be (batch, channels, h, w)."""
    if getattr(net, "output_fmt", "NCHW") != "NCHW":
        return False
    try:
        whole, chained = net(image), image
        for name in names:
            chained = net.get_submodule(name)(chained)
    except Exception:  # whatever parts raise that are no chain
        return False
    same_shape = whole.ndim == 4 and chained.shape == whole.shape
    return same_shape and (whole.is_meta or torch.allclose(chained, whole, atol=1e-5))


def _parts(net: nn.Module) -> Iterator[str]:
    """The children of a network, sequences opened, without what does nothing."""
    for name, child in net.named_children():
        if isinstance(child, nn.Sequential):
            yield from (f"{name}.{inner}" for inner, _ in child.named_children())
        elif not isinstance(child, nn.Identity) and name != "global_pool":
            yield name
