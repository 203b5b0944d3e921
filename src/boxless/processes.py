"""Several processes that train one network: draws that agree between them, and parts of a batch put together.

The training loop brings torch's generators into the same state in every process before each step. A draw for the whole
batch is therefore the same everywhere, and a run on several processes can be the run on one.
"""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


def world_and_rank() -> tuple[int, int]:
    """How many processes there are, and which one this is."""
    if not (dist.is_available() and dist.is_initialized()):
        return 1, 0
    return dist.get_world_size(), dist.get_rank()


def draw(*shape: int, device: torch.device) -> Float[Tensor, "..."]:
    """Random numbers in 0..1, the same for an image whether one process holds the whole batch or several share it."""
    world, rank = world_and_rank()
    return torch.rand(world, *shape, device=device)[rank]


def collected(part: Tensor) -> list[Tensor]:
    """The parts of all processes in their order, which is that of the batch; all have one shape. No gradient flows."""
    world, _ = world_and_rank()
    if world == 1:
        return [part]
    parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(world)]
    dist.all_gather(parts, part.contiguous())
    return parts
