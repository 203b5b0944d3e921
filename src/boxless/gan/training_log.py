"""What a GAN run tells about itself: means of its terms without waiting for the device, and what is going wrong."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from boxless.gan.training_step import TERMS

COLUMNS = ("step", "seconds", *TERMS)
"""Of metrics.csv."""
WINDOWS = 5
"""Rows of metrics.csv in a row that D must win before it is called winning outright."""


class Meter:
    """Sums of the terms since the last row, kept on the device, and when each first stopped being a number."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(len(TERMS), device=device)
        self.bad_since = torch.full((len(TERMS),), -1, device=device)
        self.steps = 0

    def add(self, terms: Float[Tensor, "term"], number: int) -> None:
        """Add the terms of iteration `number`."""
        self.sums += terms
        self.bad_since = torch.where((self.bad_since < 0) & ~terms.isfinite(), number, self.bad_since)
        self.steps += 1

    def broken(self) -> str | None:
        """Which term stopped being a number first, in words; None while all are. Waits for the device."""
        since = {name: step for name, step in zip(TERMS, self.bad_since.tolist(), strict=True) if step >= 0}
        if not since:
            return None
        first = min(since.values())
        names = " and ".join(name for name, step in since.items() if step == first)
        return f"{names} stopped being a finite number in iteration {first + 1}"

    def means(self) -> dict[str, float]:
        """Mean of every term since the last call. Waits for the device."""
        means = (self.sums / max(1, self.steps)).tolist()
        self.sums.zero_()
        self.steps = 0
        return dict(zip(TERMS, means, strict=True))


def d_wins(rows: Sequence[Mapping[str, float]]) -> bool:
    """Whether D has told nearly all real from generated images in the last rows: G learns next to nothing."""
    recent = rows[-WINDOWS:]
    return len(recent) == WINDOWS and all(
        min(row["real_accuracy"], row["fake_accuracy"]) > 0.99 and row["d_loss"] < 0.05 for row in recent
    )
