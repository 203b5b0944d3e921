"""The table of variants: accuracy at two thresholds with intervals, controls, costs, and paired differences."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from boxless.evaluation.bootstrap import Comparison, compare, holm
from boxless.reproduce.markdown import markdown_table, signed, with_interval
from boxless.reproduce.trial_results import Outcomes, TrialResult

Published = Mapping[str, tuple[float | None, float]]
"""Errors in percent of Top-1 and GT-known localization, by variant."""

COLUMNS = (
    "", "seeds", "IoU 0.3", "IoU 0.5, GT-known (95 %)", "IoU 0.7", "mean of the three (95 %)", "sd over seeds",
    "MaxBoxAccV2", "Top-1 Loc (95 %)", "class right", "threshold", "processor s per epoch", "MiB per step",
)  # fmt: skip

Seeds = Mapping[int, TrialResult]
"""The results of a variant by seed."""


def accuracy_table(
    variants: Sequence[str], outcomes: Outcomes, *, against: str, published: Published | None = None
) -> str:
    """Markdown: each variant at the transferred threshold and at the oracle's, its controls, and the differences.

    Accuracies in percent, the published ones too. The oracle stands below its variant, the costs beside it; a variant
    that was refused says why.
    """
    by = {variant: seeds for variant in variants if (seeds := _seeds(variant, outcomes))}
    reasons = dict(outcomes.refused.values())
    refused = "".join(f"Refused: {variant}: {reason}\n" for variant, reason in reasons.items())
    if not by:
        return refused + "Nothing has been run yet.\n"
    columns = (*COLUMNS, "published") if published else COLUMNS
    rows = [row for variant, seeds in by.items() for row in _variant(variant, seeds, published or {})]
    for variant, seeds in by.items():
        rows += _controls(variant, seeds, common=variant == next(iter(by)))
    filled = ([*row, *[""] * (len(columns) - len(row))] for row in rows)
    lines = [*markdown_table(columns, filled, text=1), ""]
    if against in by and len(by) > 1:
        lines += _differences(against, by)
    missing = [variant for variant in variants if variant not in by and variant not in reasons]
    about = next(iter(next(iter(by.values())).values())).about
    lines.append(about + (f" Not run: {', '.join(missing)}." if missing else ""))
    return "\n".join(lines) + f"\n{refused}"


def hits_of(results: Iterable[TrialResult], origin: str = "headline") -> Float64[np.ndarray, "seed image iou"]:
    """Hits in percent of each seed, image and IoU."""
    return np.array([result.hits[origin] for result in results])


def _seeds(variant: str, outcomes: Outcomes) -> Seeds:
    found = {r.trial.training.seed: r for r in outcomes.measured.values() if r.trial.variant == variant}
    return dict(sorted(found.items()))


def _variant(name: str, seeds: Seeds, published: Published) -> list[list[str]]:
    """The rows of a variant: at the headline's threshold with its costs, and at the oracle's."""
    results = list(seeds.values())
    hits, oracle = hits_of(results), hits_of(results, "oracle")
    spread = f"{hits.mean(axis=2).mean(axis=1).std(ddof=1):.1f}" if len(seeds) > 1 else "-"
    thresholds = [result.threshold for result in results]
    seconds = [second for result in results for second in result.epoch_seconds]
    steps = [result.step_bytes for result in results if result.step_bytes is not None]
    first = [
        name, str(len(seeds)), *_accuracies(hits), spread, f"{np.mean([result.v2 for result in results]):.1f}",
        with_interval(np.mean([result.top_1_loc for result in results], axis=0)),
        f"{np.mean([result.top_1.mean() for result in results]):.1f}",
        f"{min(thresholds):.2f} to {max(thresholds):.2f}", f"{np.median(seconds):.1f}" if seconds else "-",
        f"{max(steps) / 2**20:.0f}" if steps else "-",
    ]  # fmt: skip
    if name in published:
        loc, gt = published[name]
        first.append(f"GT-known {100 - gt:.2f}" + (f", Top-1 Loc {100 - loc:.2f}" if loc is not None else ""))
    return [first, ["- oracle: thresholds from the test boxes", "", *_accuracies(oracle)]]


def _accuracies(hits: Float64[np.ndarray, "seed image iou"]) -> list[str]:
    """At each IoU and on average, the middle one and the mean with their intervals."""
    low, _, high = hits.mean(axis=(0, 1))
    half, mean = (with_interval(values.mean(axis=0)) for values in (hits[:, :, 1], hits.mean(axis=2)))
    return [f"{low:.1f}", half, f"{high:.1f}", mean]


def _controls(variant: str, seeds: Seeds, *, common: bool) -> list[list[str]]:
    """The controls of one variant, each meaned over its seeds; those that all variants share only if `common`."""
    rows, results = [], list(seeds.values())
    for control in results[0].controls:
        own = control in ("shuffled maps", "untrained network")
        if own or common:
            accuracies = np.mean([result.controls[control] for result in results], axis=0)
            title = f"control: {control}" + (f" ({variant})" if own else "")
            rows.append([title, "", *(f"{value:.1f}" for value in (*accuracies, accuracies.mean()))])
    return rows


def _differences(against: str, by: Mapping[str, Seeds]) -> list[str]:
    """Variant minus `against`: of the seeds that both have, on the same images."""
    rows, means, theirs = list[list[str]](), dict[str, Comparison](), by[against]
    for variant, ours in by.items():
        seeds = [seed for seed in ours if seed in theirs]
        if variant == against or not seeds:
            continue
        if len({which[seed].image_set for which in (ours, theirs) for seed in seeds}) > 1:
            rows.append([variant, str(len(seeds)), "other images", *[""] * 4])
            continue
        pair = [hits_of(which[seed] for seed in seeds) for which in (ours, theirs)]
        half = compare(*(hits[:, :, 1].mean(axis=0) for hits in pair))
        means[variant] = mean = compare(*(hits.mean(axis=2).mean(axis=0) for hits in pair))
        up = int(np.greater(*(hits.mean(axis=(1, 2)) for hits in pair)).sum())
        entries = [entry for one in (half, mean) for entry in (signed(one), f"{one.p:.2g}")]
        rows.append([variant, str(len(seeds)), *entries, f"{up} of {len(seeds)}"])
    minus = f"minus {against}, in points"
    columns = (minus, "seeds", "IoU 0.5 (95 %)", "p", "mean of the three (95 %)", "p", "seeds up")
    return [*markdown_table(columns, rows, text=1), "", *([_verdict(against, means), ""] if means else [])]


def _verdict(against: str, means: Mapping[str, Comparison]) -> str:
    """Who differs from `against` in the mean of the three, after Holm's correction (1979) for all comparisons."""
    groups: dict[str, list[str]] = {"above": [], "below": [], "not told apart": []}
    for (variant, one), sure in zip(means.items(), holm([one.p for one in means.values()]), strict=True):
        groups[("above" if one.difference > 0 else "below") if sure else "not told apart"].append(variant)
    words = "; ".join(f"{group}: {', '.join(sorted(names))}" for group, names in groups.items() if names)
    return (
        f"Against {against} in the mean of the three, p < 0.05 over images after Holm's correction for "
        f"{len(means)} comparisons - {words}."
    )
