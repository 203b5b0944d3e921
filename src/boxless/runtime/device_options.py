"""What users may ask of devices, by name; no torch, so that settings and help can read it."""

from collections.abc import Mapping
from typing import Any, Literal

Precision = Literal["auto", "fp32", "bf16"]
EngineName = Literal["auto", "torch", "openvino"]

FORMER_NAMES = {"accelerator": "device"}
FORMER_VALUES = {"precision": {"32-true": "fp32", "bf16-mixed": "bf16"}}
"""How runs of boxless 0.1 called what is now called otherwise."""


def current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a run wrote them, in today's words; what has not been renamed stays as it is."""
    renamed = {FORMER_NAMES.get(name, name): value for name, value in settings.items()}
    for name, words in FORMER_VALUES.items():
        if isinstance(renamed.get(name), str):
            renamed[name] = words.get(renamed[name], renamed[name])
    return renamed
