"""How much what a network says moves with what it is shown: gradients for readings, not for training."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Shown = Float[Tensor, "batch c h w"]


def input_gradient(
    network: Callable[[Tensor], Tensor], shown: Shown, score: Callable[[Tensor], Tensor] = lambda outputs: outputs
) -> tuple[Shown, Float[Tensor, "batch *output"]]:
    """The slope of each image's score(network(shown)) on what is shown of it, and network(shown).

    No parameter's gradient is touched, no graph is left behind, and inference mode does not matter.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # Copies, because what was made in inference mode can never be differentiated.
        shown = shown.detach().clone().requires_grad_()
        outputs = network(shown)
        (found,) = torch.autograd.grad(score(outputs).sum(), shown)
    return found, outputs.detach()
