"""Does any criterion without boxes choose a better checkpoint than the last one? Asked of the trials of a gan-table-3.

Every finished trial holds what each criterion said of each of its checkpoints, and what each checkpoint scores. The
target is the lift over shuffled maps, because accuracy itself follows the size of boxes. For each criterion: Spearman's
rank correlation with the target within a run, and the regret of choosing its best checkpoint, the best lift less the
chosen one's. A peak over noisy scores is high by chance, so a regret of 0 is out of reach for any choice: how noisy is
told by resampling the images, the same ones for all checkpoints of a run.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from boxless.evaluation.bootstrap import compare, holm, interval
from boxless.gan.checkpoint_selection import agreement, derangement
from boxless.reproduce.gan.readings import finished
from boxless.reproduce.gan.run import GanTrial, maps_file
from boxless.reproduce.gan.run_results import GanRun, MapKind
from boxless.reproduce.grid import Result, stored
from boxless.reproduce.markdown import markdown_table
from boxless.runtime import checkpoint
from boxless.runtime.errors import UsageError
from boxless.runtime.files import write_json, write_text_atomic
from boxless.runtime.provenance import provenance

NAME = "gan-stopping"
MAPS = ("cam", "transferred")
"""What is scored: the paper's maps, which the criteria were measured on."""
KINDS: tuple[MapKind, MapKind] = ("maps", "shuffled")
CRITERIA = ("equivariance", "stability", "deletion", "similarity", "fidelity", "agreement", "balance")
"""Of every stage, more is better: similarity is the MS-SSIM of generated pairs, fidelity the KID with its sign changed,
agreement that of the maps of two seeds, balance how near the loss of D is to the one where it cannot tell (ln 4)."""
OF_RUNS = ("agreement", "balance")
"""Those that no trial holds: they are read from the run folders."""
LOGISTIC = ("minimax", "non-saturating")
"""Losses of which ln 4 is the value where D cannot tell."""
FIFTH = "a fifth of the run"
"""The paper's fixed choice, 50,000 of 250,000 iterations."""
DRAWS = 500
"""Resamples of the images of a run."""
COLUMNS = (
    "choice of the checkpoint", "runs", "Spearman with the lift", "regret", "lift above last's",
    "better : worse than last",
)  # fmt: skip

Values = Float64[np.ndarray, "stage"]
StageLifts = Float64[np.ndarray, "stage image"]


@dataclass(frozen=True, slots=True)
class Course:
    """One run: the lift of each of its checkpoints, and what each criterion said of it (nan: unknown)."""

    name: str
    steps: Sequence[int]
    lifts: StageLifts
    """Of every image in points: 100 where only its own map hits, -100 where only another's does."""
    criteria: Mapping[str, Values]
    chosen: int
    """The stage that the shipped rule chose."""

    @property
    def lift(self) -> Values:
        """Of every checkpoint, the mean over images."""
        return np.asarray(self.lifts.mean(axis=1))

    def resampled(self, seed: int = 0) -> Float64[np.ndarray, "draw stage"]:
        """The lifts of resamples of the images; a resample is the same for all checkpoints."""
        images = self.lifts.shape[1]
        drawn = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), DRAWS)
        return np.asarray(drawn @ self.lifts.T / images)

    @property
    def choices(self) -> dict[str, float]:
        """The lift that each way of choosing ends with; those whose criterion is unknown are left out."""
        lift = self.lift
        fifth = int(np.argmin(np.abs(np.array(self.steps) - self.steps[-1] / 5)))
        made = {"label-free rule": lift[self.chosen], "last": lift[-1], "random": lift.mean(), FIFTH: lift[fifth]}
        known = {name: values for name, values in self.criteria.items() if np.isfinite(values).all()}
        made |= {f"best {name}": lift[int(np.argmax(values))] for name, values in known.items()}
        return {name: float(value) for name, value in made.items()}


def validate(out: Path, data: str) -> str:
    """What the finished trials in out/cells say of every criterion -> the page, left in out/gan-stopping.md and .json.

    Raises UsageError where there is no finished run of `data`.
    """
    trials = finished(out / "cells", data)
    runs = [GanRun(trial, stored(out / "cells" / f"{trial.name}.json")["result"]) for trial in trials]
    measured = {"agreement": agreements(trials, out / "runs"), "balance": balances(runs, out / "runs")}
    courses = [
        course(run, {of: values[run.trial.name] for of, values in measured.items() if run.trial.name in values})
        for run in runs
        if len(run.steps) > 1
    ]
    if not courses:
        raise UsageError(f"The runs in {out} have one checkpoint each. There is nothing to choose from.")
    noise = float(np.mean([one.resampled().max(axis=1).std() for one in courses]))
    kept = {one.name: {"lift": one.lift.tolist(), "choices": one.choices} for one in courses}
    result = {"summary": summarise(courses), "runs": kept, "noise": noise}
    page = page_of_result(result)
    write_text_atomic(out / f"{NAME}.md", [page], "the page")
    write_json(out / f"{NAME}.json", {"cell": NAME, "settings": {"data": data}, **provenance(), "result": result})
    return page


def course(run: GanRun, of_run: Mapping[str, Values] | None = None) -> Course:
    """The course of a finished trial with what its run folder says; a criterion that was not measured is nan."""
    unknown = np.full(len(run.steps), np.nan)
    own, other = (np.array(run.stages(*MAPS, kind)) for kind in KINDS)
    criteria = {name: run.criterion(name) for name in CRITERIA if name not in OF_RUNS}
    if not criteria["similarity"].any():  # runs before it was measured have zeros
        criteria["similarity"] = unknown
    criteria["stability"][0] = criteria["stability"][1:].min(initial=0.0)  # there is none before it
    criteria |= {name: (of_run or {}).get(name, unknown) for name in OF_RUNS}
    return Course(run.trial.name, run.steps, 100 * (own - other), criteria, run.chosen)


def agreements(trials: Sequence[GanTrial], runs: Path) -> dict[str, Values]:
    """For runs that differ by their seed alone, how far the maps of each stage agree with the others' of that stage."""
    found: dict[str, list[Values]] = {}
    for a, b in combinations(trials, 2):
        if (a.gan, a.group, a.augment) != (b.gan, b.group, b.augment):
            continue
        maps = [_maps(runs / trial.name) for trial in (a, b)]
        if maps[0].keys() != maps[1].keys() or not maps[0]:
            continue
        pairs = zip(*(one.values() for one in maps), strict=True)
        values = np.array([agreement(x, y, derangement(len(x))) for x, y in pairs])
        for trial in (a, b):
            found.setdefault(trial.name, []).append(values)
    return {name: np.asarray(np.mean(values, axis=0)) for name, values in found.items()}


def balances(runs: Sequence[GanRun], folder: Path) -> dict[str, Values]:
    """How near ln 4 the loss of D was before each checkpoint, for the runs whose loss that is a meaningful value of."""
    found: dict[str, Values] = {}
    for run in runs:
        table = folder / run.trial.name / "metrics.csv"
        if run.content.get("training", {}).get("loss") not in LOGISTIC or not table.exists():
            continue
        with table.open(newline="") as file:
            losses = {int(row["step"]): float(row["d_loss"]) for row in csv.DictReader(file)}
        found[run.trial.name] = -np.abs(np.array([losses.get(step, np.nan) for step in run.steps]) - log(4))
    return found


def _maps(run: Path) -> dict[int, torch.Tensor]:
    steps = sorted(int(path.stem.removeprefix("maps_")) for path in run.glob("maps_*.pt"))
    return {step: checkpoint.read(maps_file(run, step))["maps"] for step in steps}


def spearman(a: Values, b: Float64[np.ndarray, "*draws stage"]) -> Float64[np.ndarray, "*draws"]:
    """Spearman's rank correlation of `a` with each row of `b`, ties at their mean rank; 0 where one is constant."""
    x, y = (_ranks(values) - (len(a) - 1) / 2 for values in (a, b))
    scale = np.sqrt((x @ x) * (y**2).sum(axis=-1))
    return np.asarray(np.where(scale > 0, y @ x / np.where(scale > 0, scale, 1), 0.0))


def _ranks(values: Float64[np.ndarray, "*draws stage"]) -> Float64[np.ndarray, "*draws stage"]:
    ours, others = values[..., :, None], values[..., None, :]
    return np.asarray(((others < ours).sum(axis=-1) + (others <= ours).sum(axis=-1) - 1) / 2)


def summarise(courses: Sequence[Course]) -> dict[str, dict[str, float | int]]:
    """Of every way of choosing: on how many runs it is known, mean Spearman and regret, and how it compares with last.

    `against_last` is the mean lift of the choice less that of the last checkpoint on the same runs, with its bootstrap
    interval over runs; the interval of Spearman is over the images of the runs.
    """
    resamples = {one.name: one.resampled() for one in courses}
    found: dict[str, dict[str, float | int]] = {}
    for name in dict.fromkeys(name for one in courses for name in one.choices):
        known = [one for one in courses if name in one.choices]
        chosen, last = (np.array([one.choices[way] for one in known]) for way in (name, "last"))
        against = compare(chosen, last)
        regrets = np.array([one.lift.max() - one.choices[name] for one in known])
        least, most = interval(regrets)
        found[name] = {
            "runs": len(known),
            "regret": float(regrets.mean()),
            "regret_low": least,
            "regret_high": most,
            "against_last": against.difference,
            "low": against.low,
            "high": against.high,
            "p": against.p,
            "better": int((chosen > last).sum()),
            "worse": int((chosen < last).sum()),
        }
        criterion = name.removeprefix("best ")
        if criterion in CRITERIA:
            found[name] |= _ranked(known, criterion, resamples)
    return found


def _ranked(
    courses: Sequence[Course], criterion: str, resamples: Mapping[str, Float64[np.ndarray, "draw stage"]]
) -> dict[str, float]:
    """The mean over runs of Spearman's rank correlation of a criterion with the lift, and its interval over images."""
    seen = np.mean([spearman(one.criteria[criterion], one.lift) for one in courses])
    draws = np.mean([spearman(one.criteria[criterion], resamples[one.name]) for one in courses], axis=0)
    low, high = np.percentile(draws, [2.5, 97.5])
    return {"spearman": float(seen), "spearman_low": float(low), "spearman_high": float(high)}


def page_of_result(result: Result) -> str:
    """Markdown with a verdict that follows from the numbers."""
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
        f"lift of a run less that of the choice; the best lift itself moves by {result['noise']:.1f} (standard "
        "deviation) when the images are resampled. Brackets: 95 % bootstrap intervals, of Spearman's correlation over "
        "images, of regret and lift over runs.",
        "",
        *markdown_table(COLUMNS, [_row(name, numbers) for name, numbers in summary.items()]),
        "",
        verdict(summary),
    ]
    unknown = [name for name in CRITERIA if f"best {name}" not in summary]
    return "\n".join(page + ([f"\nNot measured in these runs: {', '.join(unknown)}."] if unknown else [])) + "\n"


def verdict(summary: Mapping[str, Mapping[str, float | int]]) -> str:
    """Which ways of choosing are better than the last checkpoint beyond chance, in words; few runs can show none."""
    ways = {name: numbers for name, numbers in summary.items() if name != "last"}
    asked = zip(ways.items(), holm([numbers["p"] for numbers in ways.values()]), strict=True)
    better = [name for (name, numbers), sure in asked if sure and numbers["against_last"] > 0]
    tested = f"p < 0.05 over runs, sign flips, after Holm's correction for {len(ways)} ways of choosing"
    if not better:
        return f"No way of choosing beats the last checkpoint beyond chance ({tested})."
    return f"Better than the last checkpoint: {', '.join(better)} ({tested})."


def _row(name: str, numbers: Mapping[str, float | int]) -> list[str]:
    return [
        name,
        str(numbers["runs"]),
        _bracketed(numbers, ("spearman", "spearman_low", "spearman_high"), "+.2f") if "spearman" in numbers else "-",
        _bracketed(numbers, ("regret", "regret_low", "regret_high"), ".1f"),
        "-" if name == "last" else _bracketed(numbers, ("against_last", "low", "high"), "+.1f"),
        f"{numbers['better']} : {numbers['worse']}",
    ]


def _bracketed(numbers: Mapping[str, float | int], keys: tuple[str, str, str], style: str) -> str:
    value, low, high = (format(numbers[key], style) for key in keys)
    return f"{value} ({low} to {high})"
