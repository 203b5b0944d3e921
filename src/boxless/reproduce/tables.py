"""What the tables of classifiers share: running their cells, what makes two tables one, and what was run in words."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from boxless.data.dataset import data_hash
from boxless.evaluation.bootstrap import Comparison, compare, holm, interval
from boxless.evaluation.protocols import DELTAS
from boxless.methods.settings import Training, plain
from boxless.reproduce.classifier_runs import Experiment, Trial
from boxless.reproduce.grid import Result, TimeBudget, results, run_grid
from boxless.runtime.files import write_text_atomic

Results = Mapping[str, Mapping[str, Any]]
"""What was measured, by the cell's name."""

Published = Mapping[str, tuple[float | None, float]]
"""Errors in percent of Top-1 and GT-known localization, by variant."""

HEAD = (
    "", "seeds", "IoU 0.3", "IoU 0.5, GT-known (95 %)", "IoU 0.7", "mean of the three (95 %)", "sd over seeds",
    "MaxBoxAccV2", "Top-1 Loc (95 %)", "class right", "threshold", "processor s an epoch", "MiB a step",
)  # fmt: skip


def run_table(
    study: Experiment,
    grid: Sequence[Trial],
    training: Training,
    out: Path,
    name: str,
    clock: TimeBudget,
    page: Callable[[Results], str],
    begun: Callable[[Trial], None],
) -> str:
    """Run what is left of the cells -> their page, which is also written to `out`/`name`.md.

    `training` is what all cells have in common. Raises UsageError for an `out` made with other data or settings.
    """
    settings = {"data": data_hash(study.test), "fit": data_hash(study.fit), "training": deciding(training)}
    folder = out / "cells"

    def work(cell: Trial, clock: TimeBudget) -> Result | None:
        begun(cell)
        others = [other for other in grid if other != cell and other.learnt.name == cell.learnt.name]
        return study.run(cell, clock, keep=any(not (folder / f"{other.name}.json").exists() for other in others))

    try:
        run_grid(grid, work, folder, settings, clock)
    finally:  # also after Ctrl-C: what there is makes a table
        text = page(results(grid, folder, settings))
        out.mkdir(parents=True, exist_ok=True)
        write_text_atomic(out / f"{name}.md", [text], "the page")
    return text


def deciding(settings: Training) -> dict[str, Any]:
    """What makes two tables different; where and how fast they run does not, and seed and backbone are the cell's."""
    free = {"seed", "backbone", "stride", "freeze", "workers", "memory", "save_minutes", "device"}
    return {name: value for name, value in plain(settings).items() if name not in free}


def finished(found: Results) -> Results:
    """The cells that were measured."""
    return {cell: result for cell, result in found.items() if "hits" in result}


def summary(grid: Sequence[Trial], found: Results) -> str:
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


def results_table(
    variants: Sequence[str], results: Results, *, against: str, published: Published | None = None
) -> str:
    """Markdown: each variant at the transferred threshold and at the oracle's, its controls, and the differences.

    Accuracies in percent, the published ones too. The oracle stands below its variant, the costs beside it; a variant
    that was refused says why.
    """
    by = {variant: _of(variant, results) for variant in variants}
    there = [variant for variant in variants if by[variant]]
    refused = [
        f"Refused: {cell['variant']}: {cell['refused']}\n"
        for cell in {cell["variant"]: cell for cell in results.values() if "refused" in cell}.values()
    ]
    if not there:
        return "".join(refused) + "Nothing has been run yet.\n"
    heads = (*HEAD, "published") if published else HEAD
    lines = [markdown_row(heads), "|---|" + "---:|" * (len(heads) - 1)]
    for variant in there:
        ends = [_published(variant, published), ""] if published else []
        lines += [_variant(variant, by[variant], ends[:1]), _oracle(by[variant], ends[1:])]
    for variant in there:
        lines += _controls(by[variant], variant, common=variant == there[0], ends=[""] if published else [])
    compared = [variant for variant in there if variant != against]
    text = "\n".join(lines) + "\n"
    if compared and against in there:
        text += "\n" + _differences(against, compared, by)
    first = next(iter(by[there[0]].values()))
    missing = [variant for variant in variants if not by[variant] and not any(variant in line for line in refused)]
    text += (
        f"\n{first['measurement']['images']} test images of {first['data']['name']}; "
        f"{first['measurement']['rows'][0]['origin']}."
    )
    return text + (f" Not run: {', '.join(missing)}.\n" if missing else "\n") + "".join(refused)


def per_image(cells: Iterable[Mapping[str, Any]], origin: str = "headline") -> Float64[np.ndarray, "seed image iou"]:
    """Hits in percent of each seed, image and IoU."""
    return np.array([np.stack([percent(digits) for digits in cell["hits"][origin].values()], 1) for cell in cells])


def percent(digits: str) -> Float64[np.ndarray, "image"]:
    """A digit for each image, 1 or 0, as 100 or 0."""
    return 100.0 * (np.frombuffer(digits.encode(), np.uint8) - ord("0")).astype(np.float64)


def top_1(cells: Iterable[Mapping[str, Any]]) -> Float64[np.ndarray, "seed image"]:
    """Top-1 Loc in percent of each seed and image: box right at IoU 0.5 and class right."""
    return np.array([np.minimum(percent(c["hits"]["headline"]["0.5"]), percent(c["known"])) for c in cells])


def _of(variant: str, results: Results) -> dict[int, Mapping[str, Any]]:
    """The cells of a variant by seed."""
    found = {
        cell["training"]["seed"]: cell
        for cell in results.values()
        if cell.get("variant") == variant and "training" in cell
    }
    return dict(sorted(found.items()))


def _variant(name: str, cells: Mapping[int, Mapping[str, Any]], ends: Sequence[str]) -> str:
    hits, values = per_image(cells.values()), list(cells.values())
    means = hits.mean(axis=2)
    spread = f"{means.mean(axis=1).std(ddof=1):.1f}" if len(cells) > 1 else "-"
    at = [cell["measurement"]["rows"][0]["threshold"][0] for cell in values]
    known = np.mean([percent(cell["known"]).mean() for cell in values])
    seconds = [second for cell in values for second in cell["epoch_seconds"]]
    steps = [cell["step_bytes"] for cell in values if cell["step_bytes"] is not None]
    return markdown_row(
        (name, str(len(cells)), *_three(hits), _estimate(means), spread, f"{np.mean([c['v2'] for c in values]):.1f}",
         _estimate(top_1(values)), f"{known:.1f}", f"{min(at):.2f} to {max(at):.2f}",
         f"{np.median(seconds):.1f}" if seconds else "-", f"{max(steps) / 2**20:.0f}" if steps else "-", *ends)
    )  # fmt: skip


def _published(name: str, published: Published) -> str:
    if name not in published:
        return ""
    loc, gt = published[name]
    return f"GT-known {100 - gt:.2f}" + (f", Top-1 Loc {100 - loc:.2f}" if loc is not None else "")


def _estimate(values: Float64[np.ndarray, "seed image"]) -> str:
    low, high = interval(values.mean(axis=0))
    return f"{values.mean():.1f} ({low:.1f} to {high:.1f})"


def _oracle(cells: Mapping[int, Mapping[str, Any]], ends: Sequence[str]) -> str:
    hits = per_image(cells.values(), "oracle")
    return markdown_row(
        ("- oracle: thresholds from the test boxes", "", *_three(hits), _estimate(hits.mean(axis=2)), *[""] * 7, *ends)
    )


def _controls(cells: Mapping[int, Mapping[str, Any]], name: str, *, common: bool, ends: Sequence[str]) -> list[str]:
    """The controls of one variant, each meaned over its seeds; those that all variants share only if `common`."""
    told = [cell["measurement"]["controls"] for cell in cells.values()]
    lines = []
    for control in told[0]:
        own = control in ("shuffled maps", "untrained network")
        if not own and not common:
            continue
        accuracies = [np.mean([one[control]["accuracy"][f"{delta:g}"] for one in told]) for delta in DELTAS]
        title = f"control: {control}" + (f" ({name})" if own else "")
        numbers = [f"{value:.1f}" for value in (*accuracies, np.mean(accuracies))]
        lines.append(markdown_row((title, "", *numbers, *[""] * 7, *ends)))
    return lines


def _differences(against: str, compared: Sequence[str], by: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> str:
    """Variant minus `against`: of the seeds that both have, on the same images."""
    lines = [
        markdown_row(
            (f"minus {against}, in points", "seeds", "IoU 0.5 (95 %)", "p", "mean of the three (95 %)", "p", "seeds up")
        ),
        "|---|" + "---:|" * 6,
    ]
    means: dict[str, Comparison] = {}
    for variant in compared:
        seeds = [seed for seed in by[variant] if seed in by[against]]
        if not seeds:
            continue
        images = {by[name][seed]["images"] for name in (variant, against) for seed in seeds}
        if len(images) > 1:
            lines.append(markdown_row((variant, str(len(seeds)), "other images", *[""] * 4)))
            continue
        ours, theirs = (per_image(by[name][seed] for seed in seeds) for name in (variant, against))
        cells = []
        for values in ((ours[:, :, 1], theirs[:, :, 1]), (ours.mean(axis=2), theirs.mean(axis=2))):
            found = compare(values[0].mean(axis=0), values[1].mean(axis=0))
            cells += [f"{found.difference:+.1f} ({found.low:+.1f} to {found.high:+.1f})", f"{found.p:.2g}"]
        means[variant] = found
        up = int((ours.mean(axis=(1, 2)) > theirs.mean(axis=(1, 2))).sum())
        lines.append(markdown_row((variant, str(len(seeds)), *cells, f"{up} of {len(seeds)}")))
    return "\n".join(lines) + "\n" + (f"\n{_verdict(against, means)}\n" if means else "")


def _verdict(against: str, means: Mapping[str, Comparison]) -> str:
    """Who differs from `against` in the mean of the three, after Holm's correction (1979) for all comparisons."""
    sure = holm([one.p for one in means.values()])
    told = [variant for variant, known in zip(means, sure, strict=True) if known]
    groups = {
        "above": [variant for variant in told if means[variant].difference > 0],
        "below": [variant for variant in told if means[variant].difference < 0],
        "not told apart": [variant for variant in means if variant not in told],
    }
    words = "; ".join(f"{group}: {', '.join(sorted(names))}" for group, names in groups.items() if names)
    return (
        f"Against {against} in the mean of the three, p < 0.05 over images after Holm's correction for "
        f"{len(means)} comparisons - {words}."
    )


def _three(hits: Float64[np.ndarray, "seed image iou"]) -> list[str]:
    low, _, high = hits.mean(axis=(0, 1))
    return [f"{low:.1f}", _estimate(hits[:, :, 1]), f"{high:.1f}"]


def markdown_row(entries: Sequence[str]) -> str:
    """One line of a markdown table."""
    return "| " + " | ".join(entries) + " |"
