"""Table 3 of "Generative Adversarial Networks for Unsupervised Object Co-localization" (Choe, Park and Shim), rebuilt.

The paper reports the peak over training, found with the boxes it is scored on. Here it stands beside the last state and
a choice made without boxes, and all three beside what scores without learning anything. A trial is one run; seeds are
averaged image by image, and the intervals are over images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from boxless.data.folder import read_data, splits
from boxless.data.published_datasets import GROUPS
from boxless.gan.settings import GanTraining
from boxless.reproduce.gan.cam_reference import CAM, run_reference
from boxless.reproduce.gan.claims import NOT_RUN, claims_section
from boxless.reproduce.gan.position_reference import POSITION, run_position
from boxless.reproduce.gan.run import GanTrial, measured_stages, run_trial, trained_at
from boxless.reproduce.gan.run_results import GanRun, ImageHits, runs_in
from boxless.reproduce.gan.scoring import FIXED
from boxless.reproduce.grid import Result, TimeBudget, failures, run_grid
from boxless.reproduce.markdown import markdown_table, with_interval
from boxless.runtime.errors import UsageError
from boxless.runtime.progress import Report

GROUP_ORDER = ("vehicle", "bird", "cat", "dog", "artiodactyla", "bottle")
"""Vehicle first: the one group where the published peak is clearly above the whole image as the box."""
PAPER = {
    key: dict(zip(GROUP_ORDER, percentages, strict=True))
    for key, percentages in {
        ("sn-dcgan", False): (75.0, 58.0, 78.0, 63.0, 54.4, 38.0),
        ("sn-dcgan", True): (68.0, 60.6, 76.5, 63.0, 44.0, 41.0),
        ("dcgan", False): (54.0, 49.4, 66.3, 55.0, 41.4, 36.0),
        ("dcgan", True): (61.7, 52.3, 71.8, 60.8, 43.0, 36.4),
        ("cam", True): (74.1, 57.0, 80.4, 65.5, 53.4, 34.3),
    }.items()
}
"""GT-known localization in percent at IoU 0.5, as published: Table 3, whose "four-legs animals" are artiodactyla."""
COLUMNS = (
    "GAN", "augmented", "group", "images", "seeds", "paper (peak)",
    "last", "label-free choice", "peak: chosen with boxes",
    "shuffled maps", "untrained D", "no learning: border contrast", "centred box", "whole image",
)  # fmt: skip
TABLES = {
    f"Class activation maps at {FIXED:g} of their range, the paper's reading": ("cam", "fixed"),
    "Class activation maps, threshold transferred from boxes of training images": ("cam", "transferred"),
    "DDT of D's inner features, threshold transferred": ("ddt", "transferred"),
    "Distance of D's inner features from the border's, threshold transferred": ("border", "transferred"),
    "Size of the gradient of D's logit, SmoothGrad, threshold transferred": ("smoothgrad", "transferred"),
    "Position as a free label, no GAN, threshold transferred": (POSITION, "transferred"),
}
"""The same runs under every reading: title -> reading and threshold."""
REFERENCES = {CAM: "cam", POSITION: POSITION}
"""What stands among the GANs and is none, and its only reading."""
NOT_READ = "not read in this way"
NAME = "gan-table-3"


def table_3_trials(groups: Sequence[str], gans: Sequence[str], seeds: Sequence[int]) -> list[GanTrial]:
    """All trials, the most telling first: one seed everywhere, the paper's best GAN without augmentation before all.

    Among `gans` may be `cam`, the reference with labels, which the paper has with augmentation alone, and `position`,
    which has none.
    """
    return [
        GanTrial(gan=gan, group=group, augment=augment, seed=seed)
        for seed in seeds
        for gan in gans
        for augment in {CAM: (True,), POSITION: (False,)}.get(gan, (False, True))
        for group in groups
    ]


def groups_in(data: Path) -> list[str]:
    """The paper's groups that the data holds all classes of; raises UsageError when there is none."""
    there = splits(data)
    classes = set(read_data(data, "train" if "train" in there else None).classes)
    found = [group for group in GROUP_ORDER if classes.issuperset(GROUPS[group])]
    if not found:
        raise UsageError(
            f"{data} holds none of the paper's groups. Expected Tiny ImageNet with its 28 classes, or say with "
            "--groups which classes are to be one category each."
        )
    return found


def run_table_3(
    trials: Sequence[GanTrial],
    data: Path,
    training: GanTraining,
    out: Path,
    budget: TimeBudget,
    progress: Callable[[GanTrial], Report | None],
) -> str:
    """Run what is not yet run within the minutes -> the page, which is also written to `out`/gan-table-3.md."""
    splits(data)  # data that is not there is no trial's failure

    def run(trial: GanTrial, budget: TimeBudget) -> Result | None:
        if trial.gan == CAM:
            progress(trial)
            return run_reference(trial, data, training, out / "runs", budget)
        if trial.gan == POSITION:
            progress(trial)
            return run_position(trial, data, training, out / "runs" / trial.name, budget)
        return run_trial(trial, data, training, out / "runs" / trial.name, budget, progress(trial))

    def page(done: Mapping[str, Result]) -> str:
        begun = {trial.name: measured_stages(out / "runs" / trial.name) for trial in trials if trial.name not in done}
        return table_3_page(trials, done, begun, training)

    settings = {"data": data.name, **deciding(training)}
    return run_grid(trials, run, out / "cells", settings, budget, page, out / f"{NAME}.md")


def table_3_page(
    trials: Sequence[GanTrial], done: Mapping[str, Result], begun: Mapping[str, list[Result]], training: GanTraining
) -> str:
    """Markdown: what was run, what it says, and a table for every reading."""
    page = [
        "# gan-table-3: GAN co-localization",
        "",
        f"GT-known localization in percent at IoU 0.5 with 95 % bootstrap intervals over images. {len(done)} of "
        f"{len(trials)} trials run"
        + (
            f": {training.iterations:,} iterations {trained_at(asdict(training))} (the paper: 250,000 at width 1, 64 "
            "pixels)."
            if any(trial.gan not in REFERENCES for trial in trials)
            else ", and no GAN among them."
        ),
        *failures(done),
    ]
    page += [f"Begun: {name}, {stages[-1]['step']:,} iterations." for name, stages in begun.items() if stages]
    page += claims_section(runs_in(trials, done))
    for index, (title, (reading, threshold)) in enumerate(TABLES.items()):
        found = rows(trials, done, reading, threshold)
        if index:  # what was not run stands in the first table alone
            found = [row for row in found if row[-1] not in (NOT_RUN, NOT_READ)]
        if found:
            page += ["", f"## {title}", "", *markdown_table(COLUMNS, found)]
    return "\n".join(page) + "\n"


def page_of_results(trials: Sequence[GanTrial], done: Mapping[str, Result]) -> str:
    """The page from results alone, with the paper's trials that are not among them as not run, if any of its is."""
    groups = list(dict.fromkeys(trial.group for trial in trials))
    if any(group in GROUP_ORDER for group in groups):
        groups = list(dict.fromkeys([*GROUP_ORDER, *groups]))
    ran = list(dict.fromkeys(trial.gan for trial in trials))
    gans = ran if ran == [POSITION] else list(dict.fromkeys(["sn-dcgan", "dcgan", CAM, *ran]))
    grid = table_3_trials(groups, gans, sorted({trial.seed for trial in trials}))
    kept = (done[trial.name].get("training") for trial in trials if trial.gan not in REFERENCES and trial.name in done)
    shared: dict[str, Any] = next(filter(None, kept), {})
    names = {"preset", "iterations", "width", "size"} & shared.keys()
    return table_3_page(grid, done, {}, GanTraining(**{name: shared[name] for name in names}))


def rows(trials: Sequence[GanTrial], done: Mapping[str, Result], reading: str, threshold: str) -> list[list[str]]:
    """A row for each GAN, augmentation and group, in the order of the trials; a reference has one reading only."""
    found, every = [], runs_in(trials, done)
    trials = [trial for trial in trials if REFERENCES.get(trial.gan, reading) == reading]
    for gan, augment, group in dict.fromkeys((trial.gan, trial.augment, trial.group) for trial in trials):
        seeds = [trial for trial in trials if (trial.gan, trial.augment, trial.group) == (gan, augment, group)]
        runs = [run for trial in seeds if (run := every.get(trial)) and reading in run.readings]
        paper = PAPER.get((gan, augment), {}).get(group)
        head = [gan, "yes" if augment else "no", group]
        of, published = f"{len(runs)} of {len(seeds)}", "-" if paper is None else f"{paper:.1f}"
        if not runs:
            ran = [trial for trial in seeds if trial.name in done]
            reason = NOT_RUN if not ran else NOT_READ if any(trial in every for trial in ran) else "failed"
            found.append([*head, "-", of, published, *[reason] * 8])
            continue
        values = [with_interval(np.mean(scores, axis=0), 100) for scores in _columns(runs, reading, threshold)]
        if gan in REFERENCES:  # it has no stages to choose from
            values[1:3] = ["-", "-"]
        found.append([*head, str(runs[0].images), of, published, *values])
    return found


def _columns(runs: Sequence[GanRun], reading: str, threshold: str) -> list[list[ImageHits]]:
    """The scores that each column from "last" on is the mean of."""
    stages = [run.stages(reading, threshold) for run in runs]
    return [
        [scores[-1] for scores in stages],
        [scores[run.chosen] for run, scores in zip(runs, stages, strict=True)],
        [run.peak(reading, threshold) for run in runs],
        [run.stages(reading, threshold, "shuffled")[-1] for run in runs],
        [score for run in runs for score in run.untrained(reading, threshold)],
        *([run.control(name) for run in runs] for name in ("no learning", "centred box", "whole image")),
    ]


FREE = {
    "minutes", "device", "workers", "graph", "log_every", "save_every", "augment", "seed",
    "sign", "finer", "shifts", "layer",
}  # fmt: skip
"""Options that do not make two grids different: a trial's own, where and how fast it runs, and how maps are read."""


def deciding(training: GanTraining) -> dict[str, Any]:
    """What makes two grids different."""
    return {name: value for name, value in asdict(training).items() if name not in FREE}
