"""Does any criterion without boxes choose a better checkpoint than the last one? Asked of the cells of a gan-table-3.

Every finished cell holds what each criterion said of each of its checkpoints, and what each checkpoint scores. The
target is the lift over shuffled maps, because accuracy itself follows the size of boxes. For each criterion: Spearman's
rank correlation with the target within a run, and the regret of choosing its best checkpoint, the best lift less the
chosen one's. A peak over noisy scores is high by chance, so a regret of 0 is out of reach for any choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from boxless import checkpoint
from boxless.errors import UsageError
from boxless.experiments.cells import Result, stored
from boxless.experiments.gan_cell import GanCell, maps_file
from boxless.experiments.gan_readings import finished
from boxless.experiments.markdown import table
from boxless.gan.stopping import agreement, derangement
from boxless.results import provenance, write_json
from boxless.statistics import interval
from boxless.writing import write_whole

NAME = "gan-stopping"
READING, THRESHOLD = "cam", "transferred"
"""What is scored: the paper's maps, which the criteria were measured on."""
CRITERIA = ("equivariance", "stability", "deletion", "similarity", "agreement")
"""Of every stage; similarity is the MS-SSIM of generated pairs, agreement that of the maps of two seeds."""
COLUMNS = (
    "choice of the checkpoint",
    "runs",
    "Spearman with the lift",
    "regret",
    "lift above last's",
    "better : worse than last",
)

Values = Float64[np.ndarray, "stage"]


@dataclass(frozen=True, slots=True)
class Course:
    """One run: the lift of each of its checkpoints in points, and what each criterion said of it (nan: unknown)."""

    name: str
    lift: Values
    criteria: Mapping[str, Values]
    chosen: int
    """The stage that the shipped rule chose."""

    @property
    def choices(self) -> dict[str, float]:
        """The lift that each way of choosing ends with; those whose criterion is unknown are left out."""
        made = {"label-free rule": self.lift[self.chosen], "last": self.lift[-1], "random": self.lift.mean()}
        known = {name: values for name, values in self.criteria.items() if np.isfinite(values).all()}
        made |= {f"best {name}": self.lift[int(np.argmax(values))] for name, values in known.items()}
        return {name: float(value) for name, value in made.items()}


def validate(out: Path, data: str) -> list[str]:
    """What the finished cells in out/cells say of every criterion -> the page, left in out/gan-stopping.md and .json.

    Raises UsageError where there is no finished run of `data`.
    """
    cells = finished(out / "cells", data)
    agreed = agreements(cells, out / "runs")
    kept = {cell.name: stored(out / "cells" / f"{cell.name}.json")["result"] for cell in cells}
    courses = [course(name, result, agreed.get(name)) for name, result in kept.items()]
    courses = [one for one in courses if len(one.lift) > 1]
    if not courses:
        raise UsageError(f"The runs in {out} have one checkpoint each. There is nothing to choose from.")
    runs = {one.name: {"lift": one.lift.tolist(), "choices": one.choices} for one in courses}
    result = {"summary": summarise(courses), "runs": runs}
    page = page_of_result(result)
    write_whole(out / f"{NAME}.md", ["\n".join(page) + "\n"], "the page")
    write_json(out / f"{NAME}.json", {"cell": NAME, "settings": {"data": data}, **provenance(), "result": result})
    return page


def course(name: str, result: Result, agreed: Values | None = None) -> Course:
    """The course of a finished cell; a criterion that was not measured is nan."""
    stages = result["stages"]
    scores = [stage["readings"][READING] for stage in stages]
    accuracies = np.array(
        [[one[kind][THRESHOLD]["accuracy"]["0.5"] for kind in ("maps", "shuffled")] for one in scores]
    )
    criteria = {
        key: np.array([stage["criteria"][key] for stage in stages], float) for key in CRITERIA if key != "agreement"
    }
    if not criteria["similarity"].any():  # runs before it was measured have zeros
        criteria["similarity"] = np.full(len(stages), np.nan)
    criteria["stability"][0] = criteria["stability"][1:].min(initial=0.0)  # there is none before it
    criteria["agreement"] = np.full(len(stages), np.nan) if agreed is None else agreed
    steps = [stage["step"] for stage in stages]
    lift = accuracies[:, 0].astype(float) - accuracies[:, 1]
    return Course(name, lift, criteria, steps.index(result["label_free"]))


def agreements(cells: Sequence[GanCell], runs: Path) -> dict[str, Values]:
    """For runs that differ by their seed alone, how far the maps of each stage agree with the others' of that stage."""
    found: dict[str, list[Values]] = {}
    for a, b in combinations(cells, 2):
        if (a.gan, a.group, a.augment) != (b.gan, b.group, b.augment):
            continue
        maps = [_maps(runs / cell.name) for cell in (a, b)]
        if maps[0].keys() != maps[1].keys() or not maps[0]:
            continue
        pairs = zip(*(one.values() for one in maps), strict=True)
        values = np.array([agreement(x, y, derangement(len(x))) for x, y in pairs])
        for cell in (a, b):
            found.setdefault(cell.name, []).append(values)
    return {name: np.asarray(np.mean(values, axis=0)) for name, values in found.items()}


def _maps(run: Path) -> dict[int, torch.Tensor]:
    steps = sorted(int(path.stem.removeprefix("maps_")) for path in run.glob("maps_*.pt"))
    return {step: checkpoint.read(maps_file(run, step))["maps"] for step in steps}


def spearman(a: Values, b: Values) -> float:
    """Spearman's rank correlation, ties at their mean rank; 0 where one side is constant."""
    x, y = (_ranks(values) - (len(values) - 1) / 2 for values in (a, b))
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else 0.0


def _ranks(values: Values) -> Values:
    return np.asarray([(np.sum(values < value) + np.sum(values <= value) - 1) / 2 for value in values])


def summarise(courses: Sequence[Course]) -> dict[str, dict[str, float | int]]:
    """Of every way of choosing: on how many runs it is known, mean Spearman and regret, and how it compares with last.

    `against_last` is the mean lift of the choice less that of the last checkpoint on the same runs, with its bootstrap
    interval over runs.
    """
    found: dict[str, dict[str, float | int]] = {}
    for name in dict.fromkeys(name for one in courses for name in one.choices):
        known = [one for one in courses if name in one.choices]
        gains = np.array([one.choices[name] - one.choices["last"] for one in known])
        low, high = interval(gains)
        found[name] = {
            "runs": len(known),
            "regret": float(np.mean([one.lift.max() - one.choices[name] for one in known])),
            "against_last": float(gains.mean()),
            "low": low,
            "high": high,
            "better": int((gains > 0).sum()),
            "worse": int((gains < 0).sum()),
        }
        criterion = name.removeprefix("best ")
        if criterion in CRITERIA:
            found[name]["spearman"] = float(np.mean([spearman(one.criteria[criterion], one.lift) for one in known]))
    return found


def page_of_result(result: Result) -> list[str]:
    """The lines of a markdown page with a verdict that follows from the numbers."""
    summary: Mapping[str, Mapping[str, float | int]] = result["summary"]
    lifts = [run["lift"] for run in result["runs"].values()]
    counts = [len(lift) for lift in lifts]
    best, mean = max(map(max, lifts)), float(np.mean([lift[-1] for lift in lifts]))
    page = [
        "# gan-stopping: stopping without labels",
        "",
        f"{len(lifts)} runs with {min(counts)} to {max(counts)} "
        "checkpoints. Lift: class activation maps above shuffled ones, points of GT-known localization at IoU 0.5, "
        f"threshold transferred; {mean:+.1f} at the last checkpoints on average, {best:+.1f} at most. Regret: the best "
        "lift of a run less that of the choice. Brackets: 95 % bootstrap interval over runs.",
        "",
        *table(COLUMNS, [_row(name, numbers) for name, numbers in summary.items()]),
        "",
        verdict(summary),
    ]
    unknown = [name for name in CRITERIA if f"best {name}" not in summary]
    return page + ([f"\nNot measured in these runs: {', '.join(unknown)}."] if unknown else [])


def verdict(summary: Mapping[str, Mapping[str, float | int]]) -> str:
    """Which ways of choosing are better than the last checkpoint beyond chance, in words."""
    better = [name for name, numbers in summary.items() if name != "last" and numbers["low"] > 0]
    if not better:
        return "No way of choosing beats the last checkpoint: no interval of the difference lies above 0."
    return f"Better than the last checkpoint beyond chance: {', '.join(better)}."


def _row(name: str, numbers: Mapping[str, float | int]) -> list[str]:
    against = (
        "-" if name == "last" else (f"{numbers['against_last']:+.1f} ({numbers['low']:+.1f} to {numbers['high']:+.1f})")
    )
    rank = f"{numbers['spearman']:+.2f}" if "spearman" in numbers else "-"
    return [
        name,
        str(numbers["runs"]),
        rank,
        f"{numbers['regret']:.1f}",
        against,
        f"{numbers['better']} : {numbers['worse']}",
    ]
