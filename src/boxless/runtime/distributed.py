"""Several processes at one task: how many there are, what each works on, and the few things they tell each other.

Fabric starts them (`devices` on each of `nodes` machines), or torchrun or srun did so before. One process is a team
too.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, distributed

from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.files import folder_lock
from boxless.runtime.peers import watched

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Value = TypeVar("Value")


class Team:
    """The processes of a launched Fabric, or this one alone."""

    def __init__(self, fabric: "Fabric | None" = None) -> None:
        self.rank, self.world = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks for all."""
        return self.rank == 0

    def shard(self, parts: list[Value]) -> list[Value]:
        """What of `parts` this process works on; every part is one process's."""
        return parts[self.rank :: self.world]

    def on_main(self, work: Callable[[], Value]) -> Value:
        """What `work` gives when the first process does it, in all of them; the BoxlessError it raises, all raise."""
        answer: Value | BoxlessError
        try:
            answer = work() if self.first else BoxlessError()
        except BoxlessError as error:
            answer = error
        if self.world > 1:
            answers = [answer]
            distributed.broadcast_object_list(answers, src=0)
            answer = answers[0]
        if isinstance(answer, BoxlessError):
            raise self._repeated(answer, 0)
        return answer

    @contextmanager
    def raise_together(self) -> Iterator[None]:
        """Left by no process before all have done what is inside; the BoxlessError of one is raised in all."""
        mine: BoxlessError | None = None
        try:
            yield
        except BoxlessError as error:
            mine = error
        errors = [mine]
        if self.world > 1:
            errors *= self.world
            distributed.all_gather_object(errors, mine)
        for rank, theirs in enumerate(errors):
            if theirs is not None:
                raise self._repeated(theirs, rank)

    @contextmanager
    def lock(self, out: Path) -> Iterator[None]:
        """Keep the folder `out` for this team, and end with it; raises what `folder_lock` raises, in all processes."""
        with watched(self.rank, self.world), ExitStack() as stack:
            self.on_main(lambda: stack.enter_context(folder_lock(out)))
            yield

    def any_rank(self, asked: bool, device: torch.device) -> bool:
        """Whether it is asked for in one of the processes."""
        if self.world == 1:
            return asked
        count = torch.tensor(int(asked), device=device)
        distributed.all_reduce(count)
        return bool(count)

    def _repeated(self, error: BoxlessError, rank: int) -> BoxlessError:
        error.reported_elsewhere = rank != self.rank
        return error


def detect_launcher() -> tuple[int, int] | None:
    """Processes on each machine, and machines, when torchrun or srun started this one; None when neither did."""
    if not any(name.startswith(("TORCHELASTIC_", "SLURM_")) for name in os.environ):
        return None
    # Here and elsewhere Fabric is imported where it is used: that takes longer than a search of twenty photographs.
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        return local, world // local
    if SLURMEnvironment.detect():
        nodes, tasks = int(os.environ.get("SLURM_NNODES", 1)), int(os.environ["SLURM_NTASKS"])
        return tasks // nodes, nodes
    return None


def world_layout(devices: int, nodes: int) -> tuple[int, int]:
    """Processes on each machine, and machines: as they were started, else as asked for.

    Raises UsageError when more than one is asked for and something else was started.
    """
    for name, value in (("devices", devices), ("nodes", nodes)):
        if value < 1:
            raise UsageError(f"{name} is {value}; expected more than 0.")
    found = detect_launcher()
    if found is None:
        return devices, nodes
    if (devices, nodes) not in ((1, 1), found):
        raise UsageError(
            f"torchrun or srun started {found[0]} processes on each of {found[1]} machines, and --devices {devices} "
            f"--nodes {nodes} was asked for. Leave both out, or start as many."
        )
    return found


def require_single_process(what: str) -> None:
    """Raise UsageError when torchrun or srun started several processes for something that one process does."""
    devices, nodes = detect_launcher() or (1, 1)
    if devices * nodes > 1:
        raise UsageError(
            f"{what} runs in one process, and {devices * nodes} were started. Start one for each device, with an --out "
            "of its own and --device cuda:0, cuda:1, ..."
        )


def world_and_rank() -> tuple[int, int]:
    """How many processes there are, and which one this is."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1, 0
    return distributed.get_world_size(), distributed.get_rank()


def rank_slice_rand(*shape: int, device: torch.device) -> Float[Tensor, "..."]:
    """Random numbers in 0..1, the same for an image whether one process holds the whole batch or several share it."""
    world, rank = world_and_rank()
    return torch.rand(world, *shape, device=device)[rank]


def all_gather(part: Tensor) -> list[Tensor]:
    """The parts of all processes in their order, which is that of the batch; all have one shape. No gradient flows."""
    world, _ = world_and_rank()
    if world == 1:
        return [part]
    parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(world)]
    distributed.all_gather(parts, part.contiguous())
    return parts
