"""What a network is trained on: one processor or GPU, or several processes with one each (Fabric)."""

import torch
from lightning_fabric import Fabric

from boxless.errors import BoxlessError
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
