"""How fast each parameter learns, and when: SGD with Nesterov momentum in four groups, as ACoL, SPG and I2C publish it.

The backbone's weights learn at the base rate, its biases at twice that, everything new (the head) at ten and twenty
times; weight decay is the same for all. Rates fall by steps of ten or along half a cosine.
"""

import math
from typing import Any

import torch
from torch import nn

from boxless.methods.settings import Training


def make_optimizer(network: nn.Module, settings: Training) -> torch.optim.SGD:
    """SGD over the four groups of a method's parameters; each group keeps its rate at the start as `initial`."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            new = settings.head_factor if not name.startswith("backbone.") else 1.0
            factor = new * (2.0 if name.endswith("bias") else 1.0)
            groups.setdefault(factor, []).append(parameter)
    rates: list[dict[str, Any]] = [
        {"params": parameters, "lr": settings.lr * factor, "initial": settings.lr * factor}
        for factor, parameters in sorted(groups.items())
    ]
    nesterov = settings.momentum > 0
    return torch.optim.SGD(
        rates, settings.lr, settings.momentum, weight_decay=settings.weight_decay, nesterov=nesterov, foreach=True
    )


def set_rates(optimizer: torch.optim.Optimizer, settings: Training, done: float) -> None:
    """Set the learning rates of a step, `done` being the epochs (and the part of one) that lie before it."""
    if settings.decay:
        factor = 0.1 ** sum(done >= epoch for epoch in settings.decay)
    else:
        factor = 0.5 * (1 + math.cos(math.pi * done / settings.epochs))
    for group in optimizer.param_groups:
        group["lr"] = group["initial"] * factor


def load_state(optimizer: torch.optim.Optimizer, state: dict[int, Any]) -> None:
    """Take over the momentum of a saved optimizer; the groups and their flags stay ours."""
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
