"""With what a result was made: versions, hardware, time and command."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("boxless", "torch", "torchvision", "numpy", "opencv-python-headless")


def package_version() -> str:
    """The version of the installed boxless, as pip knows it."""
    return version("boxless")


def provenance() -> dict[str, Any]:
    """Versions, hardware and time of a result."""
    import torch

    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = models[0] if models else processor
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "hardware": {
            "processor": processor,
            "cores": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([_program(sys.argv[0]), *map(_portable, sys.argv[1:])]),
    }


def _program(path: str) -> str:
    return Path(path).name.replace("__main__.py", "boxless")  # python -m boxless, wherever that lies


def _portable(argument: str) -> str:
    """An argument without the folders that only this machine has."""
    return Path(argument).name if Path(argument).is_absolute() else argument
