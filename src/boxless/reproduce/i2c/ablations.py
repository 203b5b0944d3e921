"""I2C's ablations (Zhang et al., ECCV 2020, section 4.3) on any data with two splits and boxes.

i2c-table-3: resolution; i2c-table-4: the constraints; i2c-figure-4: where seeds may lie; i2c-figure-5: the factors, the
number of seeds, and a memory learnt by back-propagation. A variant of one name is the same cell in all of them.

Where the data is smaller than ILSVRC, two published constants are put in its terms: the memory's alpha counts updates
of a class, of which ILSVRC has 641 an epoch, and the factors are for plain distances (`methods.i2c.SQUARED`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from boxless.boxes.from_heatmap import normalise
from boxless.data.dataset import Boxes, Dataset
from boxless.evaluation.evaluate import HeatmapSet
from boxless.methods.i2c import SQUARED
from boxless.methods.options import resolve_options
from boxless.reproduce.classifier_runs import Experiment, Trial, TrialMaps
from boxless.reproduce.cost_profile import cost_table
from boxless.reproduce.grid import TimeBudget
from boxless.reproduce.recipes import RECIPES, Recipe
from boxless.reproduce.tables import Published, Results, finished, results_table, run_table, summary

OFF: dict[str, Any] = {"sc_weight": 0.0, "gc_weight": 0.0, "warm_up": 1_000_000}
CONSTRAINTS: dict[str, dict[str, Any]] = {"plain": OFF, "SC": {"gc_weight": 0.0}, "SC + GC": {}}
LAMBDA_1, LAMBDA_2, SEEDS = (0.002, 0.02, 0.08), (0.0001, 0.01, 0.1), (20, 40, 60, 80, 100)
"""The published ranges, besides 0.008, 0.001 and 3, which are SC and SC + GC: multiples of the recipe's factors."""
DEFAULTS = {"sc_weight": 0.008 * SQUARED, "gc_weight": 0.001 * SQUARED}
"""What a recipe without factors of its own has."""
_TIMES = {"sc_times": "sc_weight", "gc_times": "gc_weight"}
_NOT_OPTIONS = {"size", *_TIMES}


@dataclass(frozen=True, slots=True)
class Ablation:
    """A table or figure: variants (name -> options that differ), how results become markdown, what is published."""

    about: str
    variants: Mapping[str, Mapping[str, Any]]
    table: Callable[["Ablation", Results], str]
    published: Published = field(default_factory=dict)
    """Errors in percent of Top-1 and GT-known localization, InceptionV3 on ILSVRC."""
    against: str = "plain"
    """The variant that all others are compared with on the same images."""


def reproduce(
    name: str,
    data: Sequence[Path],
    out: Path,
    clock: TimeBudget,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    recipe: str = "quick",
    images_per_class: int | None = None,
    begun: Callable[[Trial], None] = lambda cell: None,
    **changed: Any,
) -> str:
    """Run what is left of a table of `ABLATIONS` -> the page, which is also written to `out`/`name`.md.

    A json for every cell is left in `out`/cells, which tables may share. `changed` are settings of training other than
    the recipe's. Raises UsageError for data without boxes in both splits, and for an `out` made with other data or
    settings.
    """
    study = Experiment(data, out / "runs", images_per_class=images_per_class, look=_seeds)
    made = RECIPES[recipe].with_training(**changed)
    grid = cells(name, study.train, made, seeds)

    def told(done: Results) -> str:
        return page(name, grid, done)

    return run_table(study, grid, made.training, out, name, clock, told, begun)


def cells(name: str, train: Dataset, recipe: Recipe, seeds: Sequence[int]) -> list[Trial]:
    """The cells of a table of `ABLATIONS`, seed by seed, so that whole seeds are there when time is over."""
    shared = recipe.options("i2c", train)
    found = []
    for seed in seeds:
        for variant, differs in ABLATIONS[name].variants.items():
            settings = replace(recipe.training, seed=seed)
            if side := differs.get("size"):  # the margin for crops grows with it
                settings = replace(settings, size=side, resize=round(side * settings.resize / settings.size))
            options = shared | {key: value for key, value in differs.items() if key not in _NOT_OPTIONS}
            for key in _TIMES.keys() & differs.keys():
                options[_TIMES[key]] = differs[key] * shared.get(_TIMES[key], DEFAULTS[_TIMES[key]])
            found.append(Trial(variant, "i2c", options, settings))
    return found


def page(name: str, grid: Sequence[Trial], found: Results) -> str:
    """Markdown: what was run and how, accuracies, controls and differences of the cells there are."""
    ablation, whole = ABLATIONS[name], finished(found)
    lines = [f"# {name}: {ablation.about}\n", summary(grid, found)]
    return "\n".join([*lines, ablation.table(ablation, whole)] if whole else [*lines, ""])


def _seeds(cell: Trial, seen: TrialMaps) -> dict[str, Any]:
    """Where the maps of the training images let seeds be drawn."""
    return {"seeds": seed_places(seen.fit, resolve_options(cell.method, cell.options)["delta"])}


def _accuracies(ablation: Ablation, found: Results) -> str:
    return results_table(list(ablation.variants), found, against=ablation.against, published=ablation.published)


def _constraints(ablation: Ablation, found: Results) -> str:
    return f"{_accuracies(ablation, found)}\n{cost_table()}"


def _sweeps(ablation: Ablation, found: Results) -> str:
    names = list(ablation.variants)
    groups = {
        "lambda_1 of SC alone (SC: 0.008)": ["plain", "SC", *(n for n in names if n.startswith("lambda_1"))],
        "lambda_2 (SC + GC: 0.001)": ["plain", "SC + GC", *(n for n in names if n.startswith("lambda_2"))],
        "K (SC + GC: 3)": ["plain", "SC + GC", *(n for n in names if n.startswith("K ="))],
        "the memory": ["SC + GC", "SC + GC by gradient"],
    }
    parts = [
        f"### {title}\n\n" + results_table(kept, found, against=kept[0], published=ablation.published)
        for title, kept in groups.items()
    ]
    return "\n".join(parts)


def _histogram(ablation: Ablation, found: Results) -> str:
    """Training images by the share of their map above delta, and how much of that lies on the object."""
    edges = [0.0, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 100.0]
    titles = [f"{low:g} to {high:g} % of the map" for low, high in pairwise(edges)]
    titles += ["median places above delta", "% of them in a true box", "% of all places in one", "seeds"]
    heads, columns = list[str](), list[list[str]]()
    for variant in ablation.variants:
        told = [result["seeds"] for result in found.values() if result["variant"] == variant]
        if not told:
            continue
        counts = np.concatenate(
            [np.repeat([int(count) for count in seeds["counts"]], list(seeds["counts"].values())) for seeds in told]
        )
        shares, _ = np.histogram(100 * counts / told[0]["places"], bins=edges)
        inside, chance = (float(np.mean([seeds[key] for seeds in told])) for key in ("inside", "chance"))
        where = [f"{np.median(counts):g} of {told[0]['places']}", f"{inside:.1f}", f"{chance:.1f}", str(len(told))]
        heads.append(variant)
        columns.append([*(f"{100 * share / len(counts):.1f}" for share in shares), *where])
    lines = [["training images in percent", *heads], ["---", *["---:"] * len(heads)]]
    lines += [list(row) for row in zip(titles, *columns, strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_SWEPT: dict[str, dict[str, Any]] = CONSTRAINTS | {
    **{f"lambda_1 = {value:g}": {"gc_weight": 0.0, "sc_times": value / 0.008} for value in LAMBDA_1},
    **{f"lambda_2 = {value:g}": {"gc_times": value / 0.001} for value in LAMBDA_2},
    **{f"K = {value}": {"seeds": value} for value in SEEDS},
    "SC + GC by gradient": {"centres": "backprop"},
}
_RESOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": OFF, "SC + GC": {}, "plain, 320 px": OFF | {"size": 320}, "SC + GC, 320 px": {"size": 320},
}  # fmt: skip
_TABLE_4 = {"plain": (53.71, 37.32), "SC": (49.07, 31.63), "SC + GC": (48.08, 31.04)}

ABLATIONS = {
    "i2c-table-3": Ablation(
        "input resolution, 224 and 320 pixels",
        _RESOLUTIONS,
        _accuracies,
        {"SC + GC": (None, 31.50), "SC + GC, 320 px": (None, 31.04)},
        "SC + GC",
    ),
    "i2c-table-4": Ablation("the constraints against the plain network", CONSTRAINTS, _constraints, _TABLE_4),
    "i2c-figure-4": Ablation("places above delta, where seeds are drawn", CONSTRAINTS, _histogram),
    "i2c-figure-5": Ablation(
        "factors, seeds and memory", _SWEPT, _sweeps, {**_TABLE_4, "SC + GC by gradient": (49.03, 32.09)}
    ),
}


def seed_places(maps: HeatmapSet, delta: float) -> dict[str, Any]:
    """Places above `delta` in each map, and the percentage of them inside a true box (Fig. 4).

    `counts` says how many images have how many such places; `chance` is the percentage of all places that are inside,
    which places drawn at random would reach.
    """
    counts, inside, chance = list[int](), list[float](), list[float]()
    for heat, size, truth in zip(maps.heats, maps.sizes, maps.truths, strict=True):
        warm, within = normalise(heat) > delta, places_inside(heat.shape, size, truth if truth is not None else _NONE)
        counts.append(int(warm.sum()))
        chance.append(float(100 * within.mean()))
        if warm.any():
            inside.append(float(100 * within[warm].mean()))
    return {
        "places": int(np.prod(maps.heats[0].shape)),
        "counts": {str(count): images for count, images in sorted(Counter(counts).items())},
        "inside": float(np.mean(inside)) if inside else None,
        "chance": float(np.mean(chance)),
    }


_NONE = np.zeros((0, 4), np.float32)


def places_inside(shape: tuple[int, ...], size: tuple[int, int], boxes: Boxes) -> Bool[np.ndarray, "h w"]:
    """Which places of a map have their centre in one of the boxes of an image of `size` (width, height)."""
    y, x = (((np.arange(n) + 0.5) / n * side) for n, side in zip(shape, size[::-1], strict=True))
    x0, y0, x1, y1 = boxes[:, None, None, :].transpose(3, 0, 1, 2)
    within = (x >= x0) & (x < x1) & (y[:, None] >= y0) & (y[:, None] < y1)
    return np.asarray(within.any(axis=0))
