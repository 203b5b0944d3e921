"""Markdown tables, and numbers with their intervals as the entries of one."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float64

from boxless.evaluation.bootstrap import Comparison, interval


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, text: int | None = None) -> list[str]:
    """The lines of a table; columns after the first `text` ones hold numbers and are aligned to the right."""
    left = len(columns) if text is None else text
    return [_row(columns), f"|{'---|' * left}{'---:|' * (len(columns) - left)}", *map(_row, rows)]


def with_interval(values: Float64[np.ndarray, "image"], scale: float = 1) -> str:
    """The mean of `values` times `scale`, with its 95 % bootstrap interval."""
    mean, low, high = (scale * value for value in (values.mean(), *interval(values)))
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


def signed(difference: Comparison, scale: float = 1) -> str:
    """A difference times `scale` with its interval, its sign written out."""
    mean, low, high = (scale * value for value in (difference.difference, difference.low, difference.high))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def _row(entries: Sequence[str]) -> str:
    return f"| {' | '.join(entries)} |"
