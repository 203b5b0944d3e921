"""I2C's ablations (Zhang et al., ECCV 2020, section 4.3) on any data with two splits and boxes.

i2c-table-3: resolution; i2c-table-4: the constraints; i2c-figure-4: where seeds may lie; i2c-figure-5: the factors, the
number of seeds, and a memory learnt by back-propagation. A variant of one name is the same trial in all of them.

Where the data is smaller than ILSVRC, two published constants are put in its terms: the memory's alpha counts updates
of a class, of which ILSVRC has 641 an epoch, and the factors are for plain distances (`methods.i2c.SQUARED`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool

from boxless.boxes.from_heatmap import normalise
from boxless.data.dataset import Boxes, Dataset
from boxless.evaluation.evaluate import HeatmapSet
from boxless.methods.i2c import SQUARED
from boxless.methods.options import resolve_options
from boxless.reproduce.accuracy_table import Published, accuracy_table
from boxless.reproduce.classifier_runs import Trial, TrialMaps
from boxless.reproduce.classifier_tables import ClassifierTable
from boxless.reproduce.cost_profile import cost_table
from boxless.reproduce.markdown import markdown_table
from boxless.reproduce.recipes import TableRecipe
from boxless.reproduce.trial_results import Outcomes

OFF: dict[str, Any] = {"sc_weight": 0.0, "gc_weight": 0.0, "warm_up": 1_000_000}
CONSTRAINTS: dict[str, dict[str, Any]] = {"plain": OFF, "SC": {"gc_weight": 0.0}, "SC + GC": {}}
LAMBDA_1, LAMBDA_2, SEEDS = (0.002, 0.02, 0.08), (0.0001, 0.01, 0.1), (20, 40, 60, 80, 100)
"""The published ranges, besides 0.008, 0.001 and 3, which are SC and SC + GC: multiples of the recipe's factors."""
DEFAULTS = {"sc_weight": 0.008 * SQUARED, "gc_weight": 0.001 * SQUARED}
"""What a recipe without factors of its own has."""
_TIMES = {"sc_times": "sc_weight", "gc_times": "gc_weight"}
_NOT_OPTIONS = {"size", *_TIMES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation(ClassifierTable):
    """A table or figure of variants: name -> options that differ."""

    variants: Mapping[str, Mapping[str, Any]]
    content: Callable[["Ablation", Outcomes], str]
    """How results become markdown."""
    published: Published = field(default_factory=dict)
    """Errors in percent of Top-1 and GT-known localization, InceptionV3 on ILSVRC."""
    against: str = "plain"
    """The variant that all others are compared with on the same images."""
    extra: frozenset[str] = frozenset({"seeds"})

    def trials(self, train: Dataset, recipe: TableRecipe, seeds: Sequence[int]) -> list[Trial]:
        """Every variant with every seed."""
        shared = recipe.options("i2c", train)
        found = []
        for seed in seeds:
            for variant, differs in self.variants.items():
                settings = replace(recipe.training, seed=seed)
                if side := differs.get("size"):  # the margin for crops grows with it
                    settings = replace(settings, size=side, resize=round(side * settings.resize / settings.size))
                options = shared | {key: value for key, value in differs.items() if key not in _NOT_OPTIONS}
                for key in _TIMES.keys() & differs.keys():
                    options[_TIMES[key]] = differs[key] * shared.get(_TIMES[key], DEFAULTS[_TIMES[key]])
                found.append(Trial(variant, "i2c", options, settings))
        return found

    def body(self, trials: Sequence[Trial], outcomes: Outcomes) -> Iterable[str]:
        """The table's own content once there is a result."""
        return [self.content(self, outcomes)] if outcomes.measured else []

    def extra_results(self, trial: Trial, maps: TrialMaps) -> dict[str, Any]:
        """Where the maps of the training images let seeds be drawn."""
        return {"seeds": seed_places(maps.fit, resolve_options(trial.method, trial.options)["delta"])}


def _accuracies(ablation: Ablation, outcomes: Outcomes) -> str:
    return accuracy_table(list(ablation.variants), outcomes, against=ablation.against, published=ablation.published)


def _constraints(ablation: Ablation, outcomes: Outcomes) -> str:
    return f"{_accuracies(ablation, outcomes)}\n{cost_table()}"


def _sweeps(ablation: Ablation, outcomes: Outcomes) -> str:
    names = list(ablation.variants)
    groups = {
        "lambda_1 of SC alone (SC: 0.008)": ["plain", "SC", *(n for n in names if n.startswith("lambda_1"))],
        "lambda_2 (SC + GC: 0.001)": ["plain", "SC + GC", *(n for n in names if n.startswith("lambda_2"))],
        "K (SC + GC: 3)": ["plain", "SC + GC", *(n for n in names if n.startswith("K ="))],
        "the memory": ["SC + GC", "SC + GC by gradient"],
    }
    parts = [
        f"### {title}\n\n" + accuracy_table(kept, outcomes, against=kept[0], published=ablation.published)
        for title, kept in groups.items()
    ]
    return "\n".join(parts)


def _histogram(ablation: Ablation, outcomes: Outcomes) -> str:
    """Training images by the share of their map above delta, and how much of that lies on the object."""
    edges = [0.0, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 100.0]
    titles = [f"{low:g} to {high:g} % of the map" for low, high in pairwise(edges)]
    titles += ["median places above delta", "% of them in a true box", "% of all places in one", "seeds"]
    columns: dict[str, list[str]] = {}
    for variant in ablation.variants:
        results = [r.extra["seeds"] for r in outcomes.measured.values() if r.trial.variant == variant]
        if not results:
            continue
        counts = np.concatenate([np.repeat([int(n) for n in r["counts"]], list(r["counts"].values())) for r in results])
        places = results[0]["places"]
        shares, _ = np.histogram(100 * counts / places, bins=edges)
        inside, chance = (float(np.mean([result[key] for result in results])) for key in ("inside", "chance"))
        columns[variant] = [f"{100 * share / len(counts):.1f}" for share in shares]
        columns[variant] += [f"{np.median(counts):g} of {places}", f"{inside:.1f}", f"{chance:.1f}", str(len(results))]
    rows = zip(titles, *columns.values(), strict=True)
    return "\n".join(markdown_table(["training images in percent", *columns], rows, text=1))


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

TABLES: tuple[ClassifierTable, ...] = (
    Ablation(
        name="i2c-table-3",
        about="input resolution, 224 and 320 pixels",
        variants=_RESOLUTIONS,
        content=_accuracies,
        published={"SC + GC": (None, 31.50), "SC + GC, 320 px": (None, 31.04)},
        against="SC + GC",
    ),
    Ablation(
        name="i2c-table-4",
        about="the constraints against the plain network",
        variants=CONSTRAINTS,
        content=_constraints,
        published=_TABLE_4,
    ),
    Ablation(
        name="i2c-figure-4", about="places above delta, where seeds are drawn", variants=CONSTRAINTS, content=_histogram
    ),
    Ablation(
        name="i2c-figure-5",
        about="factors, seeds and memory",
        variants=_SWEPT,
        content=_sweeps,
        published={**_TABLE_4, "SC + GC by gradient": (49.03, 32.09)},
    ),
)


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
