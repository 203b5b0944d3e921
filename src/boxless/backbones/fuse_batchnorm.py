"""Batch normalisation folded into the convolution before it: the same network with a third less to compute."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from boxless.backbones.backbone import Backbone


def folded(backbone: Backbone) -> Backbone:
    """A copy for inference whose every convolution carries the batch normalisation that follows it (equal to rounding).

    Which one follows which is seen by running the network once on a blank image.
    """
    net = copy.deepcopy(backbone).eval()
    for convolution, normalisation in _pairs(net):
        fused = fuse_conv_bn_eval(net.get_submodule(convolution), net.get_submodule(normalisation))  # type: ignore[type-var, arg-type]
        _replace(net, convolution, fused)
        _replace(net, normalisation, nn.Identity())
    return net


def _pairs(net: Backbone) -> list[tuple[str, str]]:
    made_by: dict[int, tuple[str, Tensor]] = {}  # the tensor is kept, so that its id stays its own
    pairs = []

    def leaves(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            made_by[id(output)] = (name, output)

        return hook

    def enters(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if id(inputs[0]) in made_by:
                pairs.append((made_by[id(inputs[0])][0], name))

        return hook

    hooks = [
        module.register_forward_hook(leaves(name))
        if isinstance(module, nn.Conv2d)
        else module.register_forward_pre_hook(enters(name))
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d) or type(module) is nn.BatchNorm2d  # timm's own kinds hold an activation too
    ]
    with torch.inference_mode():
        net(torch.zeros(1, 3, net.bound or 64, net.bound or 64, device=net.mean.device))
    for hook in hooks:
        hook.remove()
    return pairs


def _replace(net: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(net.get_submodule(parent), leaf, new)
