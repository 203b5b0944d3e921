"""What the tables of classifiers share: running their cells, what makes two tables one, and what was run in words."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from boxless.experiments.cells import Clock, Result, results, run_grid
from boxless.experiments.rows import Results
from boxless.experiments.study import Cell, Study
from boxless.results import data_hash
from boxless.run_folder import plain
from boxless.settings import Training
from boxless.writing import write_whole


def run_table(
    study: Study,
    grid: Sequence[Cell],
    training: Training,
    out: Path,
    name: str,
    clock: Clock,
    page: Callable[[Results], str],
    begun: Callable[[Cell], None],
) -> str:
    """Run what is left of the cells -> their page, which is also written to `out`/`name`.md.

    `training` is what all cells have in common. Raises UsageError for an `out` made with other data or settings.
    """
    settings = {"data": data_hash(study.test), "fit": data_hash(study.fit), "training": deciding(training)}
    folder = out / "cells"

    def work(cell: Cell, clock: Clock) -> Result | None:
        begun(cell)
        others = [other for other in grid if other != cell and other.learnt.name == cell.learnt.name]
        return study.run(cell, clock, keep=any(not (folder / f"{other.name}.json").exists() for other in others))

    try:
        run_grid(grid, work, folder, settings, clock)
    finally:  # also after Ctrl-C: what there is makes a table
        text = page(results(grid, folder, settings))
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / f"{name}.md", [text], "the page")
    return text


def deciding(settings: Training) -> dict[str, Any]:
    """What makes two tables different; where and how fast they run does not, and seed and backbone are the cell's."""
    free = {"seed", "backbone", "stride", "freeze", "workers", "memory", "save_minutes", "accelerator"}
    return {name: value for name, value in plain(settings).items() if name not in free}


def finished(found: Results) -> Results:
    """The cells that were measured."""
    return {cell: result for cell, result in found.items() if "hits" in result}


def summary(grid: Sequence[Cell], found: Results) -> str:
    """How many cells were run, how, in which time, and which ones failed."""
    whole, settings = finished(found), grid[0].training
    ways = dict.fromkeys(_way(cell.training) for cell in grid)
    lines = [
        f"{len(whole)} of {len(grid)} cells run: {'; '.join(ways)}; {settings.epochs} epochs of batches of "
        f"{settings.batch_size}, learning rate {settings.lr:g}, the head's {settings.head_factor:g} times that."
    ]
    lines += [f"Failed: {cell}: {result['failed']}" for cell, result in found.items() if "failed" in result]
    if whole:
        seconds = [sum(result["cpu_seconds"].values()) for result in whole.values()]
        lines.append(f"Processor seconds of a cell: median {np.median(seconds):.0f}, most {max(seconds):.0f}.")
    return "\n".join([*lines, ""])


def _way(settings: Training) -> str:
    frozen = f"frozen up to {settings.freeze}" if settings.freeze else "nothing frozen"
    stride = "its own stride" if settings.stride is None else f"stride {settings.stride}"
    return f"{settings.backbone} at {stride}, {frozen}, {settings.size} pixels"
