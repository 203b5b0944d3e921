"""What G and D minimise: the paper's Eqs. 1 to 5, in forms that stay finite and keep their gradients.

With logits r of real and f of generated images, log D = -softplus(-logit) and log(1 - D) = -softplus(logit); no
sigmoid is ever taken. Losses and slopes are float32 whatever the networks computed in.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boxless.gan import Loss


def d_loss(loss: Loss, real: Float[Tensor, "batch"], fake: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """D's loss from the logits of real and generated images: Eq. 1, or for `wasserstein` mean f - mean r.

    The paper prints Eq. 4's first line with the opposite sign and says that it is minimised, which would let D help
    G; this is the sign of Arjovsky et al.
    """
    if loss == "wasserstein":
        return fake.float().mean() - real.float().mean()
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def g_loss(loss: Loss, fake: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """G's loss from the logits of its images: Eq. 3 (non-saturating), Eq. 2 (minimax) or Eq. 4 (wasserstein)."""
    fake = fake.float()
    if loss == "wasserstein":
        return -fake.mean()
    if loss == "minimax":
        return -F.softplus(fake).mean()
    return F.softplus(-fake).mean()


def gradient_penalty(network: Callable[[Tensor], Tensor], points: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, ""]:
    """Eq. 5: mean over images of (|gradient of the logit by all pixels of the image| - 1)².

    Differentiable in the parameters of `network`, which maps images to logits (batch,). The gradient of the summed
    logits is that of each image alone only if the network keeps images apart, which batch normalisation does not.
    """
    points = points.detach().requires_grad_(True)
    logits = network(points)
    (gradient,) = torch.autograd.grad(logits.float().sum(), points, create_graph=True)
    slope: Tensor = torch.linalg.vector_norm(gradient.float().flatten(1), dim=1)
    return (slope - 1).square().mean()


def between(
    real: Float[Tensor, "batch 3 h w"], fake: Float[Tensor, "batch 3 h w"], generator: torch.Generator
) -> Float[Tensor, "batch 3 h w"]:
    """Points where WGAN-GP is penalised: alpha real + (1 - alpha) fake, one alpha ~ U[0, 1) per image."""
    return fake + _alpha(real, generator) * (real - fake)


def around(
    real: Float[Tensor, "batch 3 h w"], generator: torch.Generator, noise: Literal["uniform", "gaussian"] = "uniform"
) -> Float[Tensor, "batch 3 h w"]:
    """Points where DRAGAN is penalised: real + alpha .5 std noise, one alpha ~ U[0, 1) per image.

    std is that of all pixels of the batch. `uniform` noise in [0, 1) is what DRAGAN's authors' code draws;
    `gaussian` N(0, 1) is the co-localization paper's text.
    """
    draw = torch.rand if noise == "uniform" else torch.randn
    perturbation = draw(real.shape, generator=generator, device=real.device)
    return real + _alpha(real, generator) * (0.5 * real.std() * perturbation)


@torch.no_grad()
def clip_weights(network: nn.Module, limit: float) -> None:
    """Clip every parameter to [-limit, limit], as WGAN does after each step of D."""
    torch._foreach_clamp_min_(list(network.parameters()), -limit)
    torch._foreach_clamp_max_(list(network.parameters()), limit)


def _alpha(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(len(like), 1, 1, 1, generator=generator, device=like.device)
