"""How `boxless train position` trains; without torch, so that help is instant."""

from dataclasses import dataclass

from boxless.runtime.device_options import Precision
from boxless.runtime.toml_settings import require_positive, require_side

STEPS = 1_200
"""Batches of 32 images that the network of patches learns from."""


@dataclass(frozen=True, slots=True)
class PositionTraining:
    """The settings of one training."""

    size: int = 64
    """Side of the square that images are resized to, in pixels."""
    steps: int = STEPS
    """Batches of 32 images that the network of patches learns from; the second one has five sixths as many."""
    seed: int = 0
    """Of the weights, the batches and the augmentation."""
    workers: int = 2
    """Threads that read images."""
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda or cuda:N."""
    precision: Precision = "auto"
    """Numbers in the network: bf16, fp32, or auto for bf16 where the device is faster with it."""

    def __post_init__(self) -> None:
        """Raise UsageError for a number that must be 1 or more."""
        require_side(size=self.size)
        require_positive(steps=self.steps, workers=self.workers)
