"""What a network runs on: one processor or GPU, or several processes with one each (Fabric)."""

import atexit
import gc
import logging
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from boxless.runtime.device_options import Precision
from boxless.runtime.distributed import Team, world_layout
from boxless.runtime.errors import UsageError

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.strategy import Strategy

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # who joined whom is not for users


def team_on(device: str, devices: int = 1, nodes: int = 1) -> tuple[torch.device, Team]:
    """The device of this process and its team, for work that processes share without exchanging tensors.

    `device` is as for `device_named`; cuda:N stands for itself and goes with one process alone. Raises UsageError for
    what is not here.
    """
    place = device_named(device)
    devices, nodes = world_layout(devices, nodes)
    if devices * nodes == 1:
        return place, Team()
    from lightning_fabric.strategies.ddp import DDPStrategy

    # Gloo also where there are GPUs: a process that is done early waits for the others, however long they take.
    strategy = DDPStrategy(process_group_backend="gloo", timeout=timedelta(days=30))
    fabric = launch_fabric(device, devices, nodes, strategy=strategy)
    return fabric.device, Team(fabric)


def launch_fabric(
    device: str, devices: int, nodes: int, *, strategy: "str | Strategy", precision: Any = "32-true"
) -> "Fabric":
    """A launched Fabric over `devices` on each of `nodes` machines; raises what `team_on` raises."""
    from lightning_fabric import Fabric

    place = device_named(device)
    devices, nodes = world_layout(devices, nodes)
    cuda, alone, there = place.type == "cuda", devices * nodes == 1, torch.cuda.device_count()
    if ":" in device and not alone:
        raise UsageError(f"--device {device} is one device, and {devices} processes each need one. Give --device cuda.")
    if cuda and devices > there:
        raise UsageError(
            f"{devices} processes need a GPU each, and {there} are here. Start fewer; under SLURM, ask for "
            "--gpus-per-node, so that each task sees all GPUs of its machine."
        )
    fabric = Fabric(
        accelerator=place.type,
        strategy="auto" if alone else strategy,
        devices=[place.index or 0] if cuda and alone else devices,
        num_nodes=nodes,
        precision=precision,
    )
    fabric.launch()
    if fabric.world_size > 1:
        atexit.register(_leave)
    return fabric


def _leave() -> None:
    # Gloo's threads drop tensors some time after a collective is over, and need the interpreter for it: one that does
    # so while Python ends aborts the process. Without the group, and with nothing that refers to it, they are gone.
    if distributed.is_initialized():
        distributed.destroy_process_group()
        gc.collect()


def device_named(name: str) -> torch.device:
    """Auto (a GPU if there is one), cpu, cuda or cuda:N -> the device; raises UsageError for one that is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"There is no device {name!r}. Choose auto, cpu, cuda or cuda:N.")
    device = torch.device(name)
    if device.type == "cuda" and int(name.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise UsageError(f"Device {name} was asked for, but {torch.cuda.device_count()} are here. Choose cpu or auto.")
    return device


def uses_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether networks run in bf16 on this device; auto where they are faster with it."""
    return bf16_is_fast(device) if precision == "auto" else precision == "bf16"


def bf16_is_fast(device: torch.device) -> bool:
    """Whether networks run faster in bf16 on this device: on a processor only with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
