"""Figures 1 to 4 of "Generative Adversarial Networks for Unsupervised Object Co-localization" (Choe, Park and Shim).

    gan-figure-1   samples of each GAN after the same iterations, CIFAR-10 birds
    gan-figure-2   image with box, heat map, both: each GAN on the categories of CIFAR-10
    gan-figure-3   the same for SN-DCGAN on the groups of Tiny ImageNet
    gan-figure-4   samples of SN-DCGAN with and without augmentation, four-legged animals

Each leaves a picture, a page and a json with the numbers behind what the paper says of it. A run is shared by all
figures that have the same --out, and they take those of a gan-table-3 there. The table cannot take theirs, as it
measures on the way: it comes first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boxless.data.dataset import data_hash
from boxless.data.folder import read_data, splits
from boxless.data.splits import split_named
from boxless.gan.data import read_images
from boxless.gan.settings import GanTraining
from boxless.report.drawing import save_picture
from boxless.reproduce.gan.figure_panels import measured, sample_sheet, triptych_sheet
from boxless.reproduce.gan.run import GanTrial, train_further, trained_at
from boxless.reproduce.gan.scoring import category_splits
from boxless.reproduce.gan.table_3 import deciding, groups_in
from boxless.reproduce.grid import Result, TimeBudget, failures, run_grid
from boxless.reproduce.markdown import markdown_table
from boxless.runtime import checkpoint
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.files import write_json
from boxless.runtime.progress import Report
from boxless.runtime.provenance import provenance

COLUMNS = (
    "GAN", "category", "augmented", "seed", "iterations", "MS-SSIM of generated pairs", "of real pairs",
    "KID of generated", "of real halves", "correlation of two images' maps", "untrained D",
)  # fmt: skip
FEWEST = 6
"""Training images whose halves have a distance."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: its runs, how they are drawn, and what the paper says that it shows."""

    says: str
    """What the paper reads in it."""
    gans: tuple[str, ...]
    groups: tuple[str, ...]
    """Categories; none for all that the data holds."""
    augment: tuple[bool, ...]
    size: int
    maps: bool
    """Heat maps are drawn, else samples."""

    def trials(self, gans: Sequence[str], groups: Sequence[str], seed: int) -> list[GanTrial]:
        """Its runs, in the order in which they are drawn."""
        return [
            GanTrial(gan=gan, group=group, augment=augment, seed=seed)
            for gan in gans
            for group in groups
            for augment in self.augment
        ]


_FIVE = ("sn-dcgan", "dragan", "sn-wgan-gp", "dcgan", "wgan-gp")
FIGURES = {
    "gan-figure-1": Figure(
        "SN-DCGAN simplifies the appearance of objects; DRAGAN and SN-WGAN-GP show complex ones and backgrounds.",
        _FIVE, ("bird",), (False,), 32, False,
    ),
    "gan-figure-2": Figure(
        "SN-DCGAN's maps follow the objects; those of SN-WGAN-GP and DRAGAN are nearly identical for all images.",
        _FIVE, (), (False,), 32, True,
    ),
    "gan-figure-3": Figure(
        "D attends to the dominant object of an image.",
        ("sn-dcgan",), (), (False,), 64, True,
    ),
    "gan-figure-4": Figure(
        "With augmentation the samples are more diverse and show other things than the target object.",
        ("sn-dcgan",), ("artiodactyla",), (False, True), 64, False,
    ),
}  # fmt: skip


def run_figure(
    name: str,
    data: Path,
    training: GanTraining,
    out: Path,
    budget: TimeBudget,
    progress: Callable[[GanTrial], Report | None],
    *,
    gans: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> str:
    """Train what a figure still lacks within the minutes -> its page; leaves NAME.jpg, .json and .md in `out`.

    Runs that the minutes did not reach are left out of the picture and named on the page. Raises what `train_gan` and
    `run_grid` raise.
    """
    figure = FIGURES[name]
    splits(data)  # data that is not there is no trial's failure
    trials = figure.trials(gans or figure.gans, groups or figure.groups or categories(data), training.seed)
    settings = {"data": data.name, **deciding(training)}

    def train(trial: GanTrial, budget: TimeBudget) -> Result | None:
        return run(trial, data, training, out / "runs" / trial.name, budget, progress(trial))

    def page(done: Mapping[str, Result]) -> str:
        drawn = [trial for trial in trials if "step" in done.get(trial.name, {})]
        if drawn:
            draw(figure, drawn, data, out / f"{name}.jpg", out / "runs")
        content = {"figure": name, "settings": settings, "seed": training.seed, **provenance(), "cells": done}
        write_json(out / f"{name}.json", content)
        return figure_page(name, trials, done)

    return run_grid(trials, train, out / "figures", settings, budget, page, out / f"{name}.md")


def run(
    trial: GanTrial, data: Path, training: GanTraining, folder: Path, budget: TimeBudget, progress: Report | None
) -> Result | None:
    """Train one GAN in the run folder, going on where it stopped -> its numbers, None out of time."""
    test, train = category_splits(data, trial.group, boxed=False)
    settings = replace(training, augment=trial.augment, seed=trial.seed)
    images = read_images(train, settings.size, settings.workers)
    if len(images) < FEWEST:
        raise UsageError(f"{data} has {len(images)} training images of {trial.group}. Expected {FEWEST} or more, whose "
                         "halves can be compared: add images, or choose other --groups.")  # fmt: skip
    content = train_further(trial.gan, images, settings, folder, budget, progress)
    if content is None:
        return None
    if content["step"] > settings.iterations:
        raise UsageError(f"{folder} went on to iteration {content['step']}. Use that number, or choose another --out.")
    hashes = {"data": {"name": data.name, "hash": data_hash(test), "train_hash": data_hash(train)}}
    return measured(content, images, test, trial.seed) | hashes


def categories(data: Path) -> list[str]:
    """The paper's groups that the data holds, else each of its classes."""
    try:
        return groups_in(data)
    except UsageError:
        return read_data(data, split_named(splits(data), "train")).classes


def draw(figure: Figure, trials: Sequence[GanTrial], data: Path, path: Path, runs: Path) -> None:
    """Write the picture of the runs of `trials`; raises BoxlessError when it cannot be written."""
    read: list[tuple[GanTrial, dict[str, Any]]] = [
        (trial, checkpoint.read(runs / trial.name / "last.pt")) for trial in trials
    ]
    if figure.maps:
        whole = []
        for trial, content in read:
            test, train = category_splits(data, trial.group, boxed=False)
            whole.append((trial, content, read_images(train, content["size"]), test))
        picture = triptych_sheet(whole)
    else:
        picture = sample_sheet(read)
    try:
        save_picture(path, picture)
    except OSError as error:
        raise BoxlessError(f"Could not write {path}: {error}. Free space or choose another --out.") from error


def figure_page(name: str, trials: Sequence[GanTrial], done: Mapping[str, Result]) -> str:
    """Markdown: what the paper says, and the numbers of every run."""
    ready = [trial for trial in trials if "step" in done.get(trial.name, {})]
    page = [
        f"# {name}: Choe, Park and Shim, Figure {name[-1]}",
        "",
        f"The paper says: {FIGURES[name].says}",
        "",
        *(f"Trained {trained_at(done[trial.name]['training'])}.\n" for trial in ready[:1]),
        "MS-SSIM is high where images are alike, over disjoint pairs. KID (x 1000) reads EfficientNet-Lite0's features "
        "and is 0 for images of one distribution; its standard deviation is a jack-knife over images. The "
        "correlation is that of the class activation maps of two different images, 1 where the map does not depend on "
        "the image. Brackets: 95 % bootstrap intervals.",
        "",
        *markdown_table(COLUMNS, [row(trial, done[trial.name]) for trial in ready]),
        *(f"\n{failure}" for failure in failures(done)),
    ]
    missing = [trial.name for trial in trials if trial.name not in done]
    return "\n".join(page + ([f"\nNot run: {', '.join(missing)}."] if missing else [])) + "\n"


def row(trial: GanTrial, result: Result) -> list[str]:
    """The numbers of one run."""
    similarity, distance, maps = result["ms_ssim"], result["kid"], result["map_correlation"]
    untrained = [one["mean"] for one in maps["untrained"]]
    return [
        trial.gan, trial.group, "yes" if trial.augment else "no", str(trial.seed), f"{result['step']:,}",
        bracketed(similarity["generated"]), bracketed(similarity["real"]),
        *("{mean:.0f} (sd {deviation:.0f})".format(**distance[kind]) for kind in ("generated", "real")),
        bracketed(maps["trained"]), f"{min(untrained):.2f} to {max(untrained):.2f}",
    ]  # fmt: skip


def bracketed(value: Mapping[str, float]) -> str:
    """A mean with its interval, three digits."""
    return f"{value['mean']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
