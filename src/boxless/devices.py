"""What a network is trained on: one processor or GPU, or several processes with one each (Fabric)."""

import torch
from lightning_fabric import Fabric

from boxless.errors import BoxlessError, UsageError
from boxless.settings import Training


def make_fabric(settings: Training) -> Fabric:
    """Fabric for the settings, launched; raises BoxlessError when CUDA is asked for and absent."""
    if settings.accelerator == "cuda" and not torch.cuda.is_available():
        raise BoxlessError("There is no CUDA device that torch can use. Use the accelerator cpu or auto.")
    cuda = settings.accelerator != "cpu" and torch.cuda.is_available()
    precision = ("bf16-mixed" if cuda else "32-true") if settings.precision == "auto" else settings.precision
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        strategy="ddp" if settings.devices > 1 else "auto",
        devices=settings.devices,
        precision=precision,
    )
    fabric.launch()
    return fabric


def device_named(name: str) -> torch.device:
    """Auto (a GPU if there is one), cpu, cuda or cuda:N -> the device; raises UsageError for one that is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"There is no device {name!r}. Choose auto, cpu, cuda or cuda:N.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"Device {name} was asked for, but {torch.cuda.device_count()} are here. Choose cpu or auto.")
    return device


def bf16_is_fast(device: torch.device) -> bool:
    """Whether networks run faster in bf16 on this device: on a processor only with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
