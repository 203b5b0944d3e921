"""Table 3 of "Generative Adversarial Networks for Unsupervised Object Co-localization" (Choe, Park and Shim), rebuilt.

The paper reports the peak over training, found with the boxes it is scored on. Here it stands beside the last state and
a choice made without boxes, and all three beside what scores without learning anything. A cell is one run; seeds are
averaged image by image, and the intervals are over images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from boxless.data.folder import read_data, splits
from boxless.data.published_datasets import GROUPS
from boxless.gan.settings import GanTraining
from boxless.reproduce.gan.cam_reference import CAM, run_reference
from boxless.reproduce.gan.claims import NOT_RUN, claims_section
from boxless.reproduce.gan.run import GanTrial, measured_stages, run_cell, trained_at
from boxless.reproduce.gan.scoring import FIXED, Score, mean_hits
from boxless.reproduce.grid import Result, TimeBudget, results, run_grid
from boxless.reproduce.markdown import markdown_table, with_interval
from boxless.runtime.errors import UsageError
from boxless.runtime.files import write_text_atomic
from boxless.runtime.progress import Report

PAPER: dict[tuple[str, bool], dict[str, float]] = {
    ("sn-dcgan", False): {
        "artiodactyla": 54.4, "bird": 58.0, "bottle": 38.0, "cat": 78.0, "dog": 63.0, "vehicle": 75.0,
    },
    ("sn-dcgan", True): {
        "artiodactyla": 44.0, "bird": 60.6, "bottle": 41.0, "cat": 76.5, "dog": 63.0, "vehicle": 68.0,
    },
    ("dcgan", False): {
        "artiodactyla": 41.4, "bird": 49.4, "bottle": 36.0, "cat": 66.3, "dog": 55.0, "vehicle": 54.0,
    },
    ("dcgan", True): {
        "artiodactyla": 43.0, "bird": 52.3, "bottle": 36.4, "cat": 71.8, "dog": 60.8, "vehicle": 61.7,
    },
    ("cam", True): {
        "artiodactyla": 53.4, "bird": 57.0, "bottle": 34.3, "cat": 80.4, "dog": 65.5, "vehicle": 74.1,
    },
}  # fmt: skip
"""GT-known localization in percent at IoU 0.5, as published: Table 3, whose "four-legs animals" are artiodactyla."""
GROUP_ORDER = ("vehicle", "bird", "cat", "dog", "artiodactyla", "bottle")
"""Vehicle first: the one group where the published peak is clearly above the whole image as the box."""
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
}
"""The same runs under every reading: title -> reading and threshold."""
NOT_READ = "not read in this way"
NAME = "gan-table-3"


def table_3_cells(groups: Sequence[str], gans: Sequence[str], seeds: Sequence[int]) -> list[GanTrial]:
    """All cells, the most telling first: one seed everywhere, the paper's best GAN without augmentation before all.

    Among `gans` may be `cam`, the reference with labels, which the paper has with augmentation alone.
    """
    return [
        GanTrial(gan=gan, group=group, augment=augment, seed=seed)
        for seed in seeds
        for gan in gans
        for augment in ((True,) if gan == CAM else (False, True))
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
    cells: Sequence[GanTrial],
    data: Path,
    training: GanTraining,
    out: Path,
    clock: TimeBudget,
    progress: Callable[[GanTrial], Report | None],
) -> list[str]:
    """Run what is not yet run within the clock's minutes -> the page, which is also written to `out`/gan-table-3.md."""
    settings = {"data": data.name, **deciding(training)}

    def work(cell: GanTrial, clock: TimeBudget) -> Result | None:
        if cell.gan == CAM:
            progress(cell)
            return run_reference(cell, data, training, out / "runs", clock)
        return run_cell(cell, data, training, out / "runs" / cell.name, clock, progress(cell))

    try:
        run_grid(cells, work, out / "cells", settings, clock)
    finally:  # also after Ctrl-C: what there is makes a table
        done = results(cells, out / "cells", settings)
        begun = {cell.name: measured_stages(out / "runs" / cell.name) for cell in cells if cell.name not in done}
        page = table_3_page(cells, done, begun, training)
        out.mkdir(parents=True, exist_ok=True)
        write_text_atomic(out / f"{NAME}.md", ["\n".join(page) + "\n"], "the page")
    return page


def table_3_page(
    cells: Sequence[GanTrial], done: Mapping[str, Result], begun: Mapping[str, list[Result]], training: GanTraining
) -> list[str]:
    """The lines of a markdown page: what was run, what it says, and a table for every reading."""
    page = [
        "# gan-table-3: GAN co-localization",
        "",
        f"GT-known localization in percent at IoU 0.5 with 95 % bootstrap intervals over images. {len(done)} of "
        f"{len(cells)} cells run: {training.iterations:,} iterations {trained_at(asdict(training))} (the paper: "
        "250,000 at width 1, 64 pixels).",
    ]
    failed = {name: result["failed"] for name, result in done.items() if "failed" in result}
    page += [f"Failed: {name}: {reason}" for name, reason in failed.items()]
    page += [f"Begun: {name}, {stages[-1]['step']:,} iterations." for name, stages in begun.items() if stages]
    page += claims_section({cell: done[cell.name] for cell in cells if cell.name in done})
    for index, (title, (reading, threshold)) in enumerate(TABLES.items()):
        told = rows(cells, done, reading, threshold)
        if index:  # what was not run stands in the first table alone
            told = [row for row in told if row[-1] not in (NOT_RUN, NOT_READ)]
        if told:
            page += ["", f"## {title}", "", *markdown_table(COLUMNS, told)]
    return page


def page_of_results(cells: Sequence[GanTrial], done: Mapping[str, Result]) -> list[str]:
    """The page from results alone, with the paper's cells that are not among them as not run."""
    groups = list(dict.fromkeys([*GROUP_ORDER, *(cell.group for cell in cells)]))
    groups = [group for group in groups if group not in GROUP_ORDER or any(cell.group in GROUP_ORDER for cell in cells)]
    gans = list(dict.fromkeys(["sn-dcgan", "dcgan", CAM, *(cell.gan for cell in cells)]))
    grid = table_3_cells(groups, gans, sorted({cell.seed for cell in cells}))
    runs = [done[cell.name].get("training", {}) for cell in cells if cell.gan != CAM and cell.name in done]
    told: Mapping[str, Any] = next((run for run in runs if run), {})
    training = GanTraining(**{name: told[name] for name in ("preset", "iterations", "width", "size") if name in told})
    return table_3_page(grid, done, {}, training)


def rows(cells: Sequence[GanTrial], done: Mapping[str, Result], reading: str, threshold: str) -> list[list[str]]:
    """A row for each GAN, augmentation and group, in the order of the cells; the reference has one reading only."""
    found = []
    cells = [cell for cell in cells if cell.gan != CAM or reading == "cam"]
    for gan, augment, group in dict.fromkeys((cell.gan, cell.augment, cell.group) for cell in cells):
        names = [cell.name for cell in cells if (cell.gan, cell.augment, cell.group) == (gan, augment, group)]
        results = [done[name] for name in names if reading in _readings(done.get(name, {}))]
        paper = PAPER.get((gan, augment), {}).get(group)
        head = [gan, "yes" if augment else "no", group]
        published = "-" if paper is None else f"{paper:.1f}"
        if not results:
            ran = [done[name] for name in names if name in done]
            reason = NOT_RUN if not ran else NOT_READ if any("stages" in result for result in ran) else "failed"
            found.append([*head, "-", f"0 of {len(names)}", published, *[reason] * 8])
            continue
        values = [_estimate(scores) for scores in _columns(results, reading, threshold)]
        if gan == CAM:  # it has no stages to choose from
            values[1:3] = ["-", "-"]
        found.append([*head, str(results[0]["images"]), f"{len(results)} of {len(names)}", published, *values])
    return found


def _readings(result: Result) -> Mapping[str, Any]:
    """What was measured of each stage of a run; nothing of one that failed."""
    found: Mapping[str, Any] = result["stages"][-1]["readings"] if result.get("stages") else {}
    return found


def _columns(results: Sequence[Result], reading: str, threshold: str) -> list[list[Score]]:
    """The scores that each column from "last" on is the mean of."""
    stages = [
        [(stage["step"], stage["readings"][reading]["maps"][threshold]) for stage in r["stages"]] for r in results
    ]
    shuffled = [r["stages"][-1]["readings"][reading]["shuffled"][threshold] for r in results]
    return [
        [run[-1][1] for run in stages],
        [dict(run)[r["label_free"]] for run, r in zip(stages, results, strict=True)],
        [max((score for _, score in run), key=lambda score: float(score["accuracy"]["0.5"])) for run in stages],
        shuffled,
        [score[threshold] for r in results for score in r["controls"]["untrained"][reading]],
        *([r["controls"][name] for r in results] for name in ("no learning", "centred box", "whole image")),
    ]


def _estimate(scores: Sequence[Score]) -> str:
    """The mean over images of the mean over runs, in percent, with its interval."""
    return with_interval(mean_hits(scores), 100)


def deciding(training: GanTraining) -> dict[str, Any]:
    """What makes two grids different; where and how fast they run does not, nor how maps are read: in every way."""
    free = {
        "minutes",
        "device",
        "graph",
        "log_every",
        "save_every",
        "augment",
        "seed",
        "sign",
        "finer",
        "shifts",
        "layer",
    }
    return {name: value for name, value in asdict(training).items() if name not in free}
