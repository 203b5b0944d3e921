"""Cells of several seeds -> rows of a table: means over seeds, intervals over images, differences on the same images.

An image's value is its mean over the seeds, so that intervals and p-values are about other images; the spread over
seeds stands beside it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from boxless.protocols import DELTAS
from boxless.statistics import compare, interval

Results = Mapping[str, Mapping[str, Any]]
"""What was measured, by the cell's name."""
Published = Mapping[str, tuple[float | None, float]]
"""Errors in percent of Top-1 and GT-known localization, by variant."""

HEAD = ("", "seeds", "IoU 0.3", "IoU 0.5", "IoU 0.7", "mean (95 %)", "sd over seeds", "Top-1 Loc", "class right",
        "threshold", "published")  # fmt: skip


def results_table(
    variants: Sequence[str],
    results: Results,
    *,
    against: str,
    published: Published,
) -> str:
    """Markdown: each variant at the transferred threshold and at the oracle's, its controls, and the differences.

    Accuracies in percent, the published ones too.
    """
    by = {variant: _of(variant, results) for variant in variants}
    there = [variant for variant in variants if by[variant]]
    if not there:
        return "Nothing has been run yet.\n"
    lines = [_line(HEAD), "|---|" + "---:|" * (len(HEAD) - 1)]
    for variant in there:
        lines += [_variant(variant, by[variant], published), _oracle(by[variant])]
    lines += _controls(by[there[-1]], there[-1])
    compared = [variant for variant in there if variant != against]
    text = "\n".join(lines) + "\n"
    if compared and against in there:
        text += "\n" + _differences(against, compared, by)
    first = next(iter(by[there[0]].values()))
    missing = [variant for variant in variants if not by[variant]]
    text += (
        f"\n{len(first['names'])} test images of {first['data']['name']}; {first['measurement']['rows'][0]['origin']}."
    )
    return text + (f" Not run: {', '.join(missing)}.\n" if missing else "\n")


def per_image(cells: Iterable[Mapping[str, Any]], origin: str = "transferred") -> Float64[np.ndarray, "seed image iou"]:
    """Hits in percent of each seed, image and IoU."""
    return 100.0 * np.array([cell["hits"][origin] for cell in cells], np.float64)


def top_1(cells: Iterable[Mapping[str, Any]]) -> Float64[np.ndarray, "seed image"]:
    """Top-1 Loc in percent of each seed and image: box right at IoU 0.5 and class right."""
    return np.array([100.0 * np.array(c["hits"]["transferred"])[:, 1] * np.array(c["known"]) for c in cells])


def _of(variant: str, results: Results) -> dict[int, Mapping[str, Any]]:
    """The cells of a variant by seed."""
    found = {cell["training"]["seed"]: cell for cell in results.values() if cell["variant"] == variant}
    return dict(sorted(found.items()))


def _variant(name: str, cells: Mapping[int, Mapping[str, Any]], published: Published) -> str:
    hits, values = per_image(cells.values()), list(cells.values())
    means = hits.mean(axis=2)
    low, high = interval(means.mean(axis=0))
    spread = f"{means.mean(axis=1).std(ddof=1):.1f}" if len(cells) > 1 else "-"
    at = [cell["measurement"]["rows"][0]["threshold"][0] for cell in values]
    known = 100 * np.mean([cell["known"] for cell in values])
    theirs = ""
    if name in published:
        loc, gt = published[name]
        theirs = f"GT-known {100 - gt:.2f}" + (f", Top-1 Loc {100 - loc:.2f}" if loc is not None else "")
    return _line(
        (name, str(len(cells)), *_three(hits), f"{means.mean():.1f} ({low:.1f} to {high:.1f})", spread,
         f"{top_1(values).mean():.1f}", f"{known:.1f}", f"{min(at):.2f} to {max(at):.2f}", theirs)
    )  # fmt: skip


def _oracle(cells: Mapping[int, Mapping[str, Any]]) -> str:
    hits = per_image(cells.values(), "oracle")
    return _line(("- oracle: thresholds from the test boxes", "", *_three(hits), f"{hits.mean():.1f}", *[""] * 5))


def _controls(cells: Mapping[int, Mapping[str, Any]], name: str) -> list[str]:
    """The controls of one variant, each meaned over its seeds."""
    told = [cell["measurement"]["controls"] for cell in cells.values()]
    lines = []
    for control in told[0]:
        accuracies = [np.mean([one[control]["accuracy"][f"{delta:g}"] for one in told]) for delta in DELTAS]
        own = control in ("shuffled maps", "untrained network")
        title = f"control: {control}" + (f" ({name})" if own else "")
        numbers = [f"{value:.1f}" for value in (*accuracies, np.mean(accuracies))]
        lines.append(_line((title, "", *numbers, *[""] * 5)))
    return lines


def _differences(against: str, compared: Sequence[str], by: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> str:
    """Variant minus `against`: of the seeds that both have, on the same images."""
    lines = [
        _line(
            (f"minus {against}, in points", "seeds", "IoU 0.5 (95 %)", "p", "mean of the three (95 %)", "p", "seeds up")
        ),
        "|---|" + "---:|" * 6,
    ]
    for variant in compared:
        seeds = [seed for seed in by[variant] if seed in by[against]]
        if not seeds:
            continue
        names = {tuple(by[name][seed]["names"]) for name in (variant, against) for seed in seeds}
        if len(names) > 1:
            lines.append(_line((variant, str(len(seeds)), "other images", *[""] * 4)))
            continue
        ours, theirs = (per_image(by[name][seed] for seed in seeds) for name in (variant, against))
        cells = []
        for values in ((ours[:, :, 1], theirs[:, :, 1]), (ours.mean(axis=2), theirs.mean(axis=2))):
            found = compare(values[0].mean(axis=0), values[1].mean(axis=0))
            cells += [f"{found.difference:+.1f} ({found.low:+.1f} to {found.high:+.1f})", f"{found.p:.2g}"]
        up = int((ours.mean(axis=(1, 2)) > theirs.mean(axis=(1, 2))).sum())
        lines.append(_line((variant, str(len(seeds)), *cells, f"{up} of {len(seeds)}")))
    return "\n".join(lines) + "\n"


def _three(hits: Float64[np.ndarray, "seed image iou"]) -> list[str]:
    return [f"{value:.1f}" for value in hits.mean(axis=(0, 1))]


def _line(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entries) + " |"
