"""Spectral normalisation (Miyato et al. 2018, Eq. 8 and Algorithm 1) whose power iteration is an explicit call.

torch's own version moves its vectors at every forward in training mode: for the real, the generated and the penalty
images and again in G's step, which is most of the kernel launches of an SN-DCGAN step. Here a forward never moves
them; the loop calls `power_iteration` once per D step, and evaluation is deterministic by construction.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

WARM_UP = 15
"""Power iterations at the start; one from a random vector finds only about three quarters of the norm."""


class SpectralNorm(nn.Module):
    """Divide a weight (out, ...) by the largest singular value of its (out, rest) matrix, sigma = u W v.

    The gradient flows through W alone; u and v are constants, saved with the module.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows = weight.detach().flatten(1)
        self.register_buffer("u", F.normalize(torch.randn(rows.shape[0]), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(rows.shape[1]), dim=0))
        for _ in range(WARM_UP):
            self.power_iteration(rows)

    def forward(self, weight: Float[Tensor, "out *rest"]) -> Float[Tensor, "out *rest"]:
        """The weight divided by its sigma, same shape, always computed in float32."""
        device = "cpu" if weight.is_meta else weight.device.type  # shapes alone are asked for, and meta has no autocast
        with torch.autocast(device, enabled=False):
            sigma = torch.dot(self.u, torch.mv(weight.flatten(1), self.v))
            return weight / sigma

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What is assigned to the weight is kept as it is."""
        return weight

    @torch.no_grad()
    def power_iteration(self, weight: Float[Tensor, "out ..."]) -> None:
        """One step of u and v, in place, towards the first singular vectors."""
        rows = weight.flatten(1)
        self.v.copy_(F.normalize(torch.mv(rows.t(), self.u), dim=0, eps=1e-12))
        self.u.copy_(F.normalize(torch.mv(rows, self.v), dim=0, eps=1e-12))


def add_spectral_norm(module: nn.Module) -> None:
    """Normalise every convolution and linear layer inside `module`."""
    for layer in list(module.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))


def power_iteration(module: nn.Module) -> None:
    """One power iteration of every spectrally normalised weight inside `module`."""
    for holder in module.modules():
        if isinstance(holder, parametrize.ParametrizationList) and isinstance(holder[0], SpectralNorm):
            holder[0].power_iteration(holder.original)
