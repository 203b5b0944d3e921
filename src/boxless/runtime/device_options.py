"""What users may ask of devices, by name; no torch, so that settings and help can read it."""

from typing import Literal

Precision = Literal["auto", "32-true", "bf16-mixed"]
Accelerator = Literal["auto", "cpu", "cuda"]
