"""Numbers and tables as the pages of experiments print them."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float64

from boxless.experiments.rows import markdown_row
from boxless.statistics import Comparison, interval


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a markdown table."""
    return [markdown_row(row) for row in (columns, ["---" for _ in columns], *rows)]


def with_interval(values: Float64[np.ndarray, "image"], scale: float = 100, digits: int = 1) -> str:
    """The mean of `values` times `scale`, with its 95 % bootstrap interval."""
    mean, low, high = (scale * value for value in (values.mean(), *interval(values)))
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def signed(difference: Comparison, scale: float = 100, digits: int = 1) -> str:
    """A difference times `scale` with its interval, its sign written out."""
    mean, low, high = (scale * value for value in (difference.difference, difference.low, difference.high))
    return f"{mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"
