"""What has D learnt? Every way to read one trained D, beside the same reading of Ds that were never trained.

The runs are the finished ones of a gan-table-3. A reading that lies above its shuffled maps sees something of its
image; only one that also lies above the same reading of untrained Ds sees something that D has learnt. Thresholds come
from boxes of other images than those that are measured, for every reading and every network on its own.

Measured are test images, or the training images: D saw those without their boxes, so that nothing is given away, and
there are ten times as many in Tiny ImageNet. They are what co-localization is asked of, and tell smaller lifts apart.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from jaxtyping import UInt8
from torch import Tensor

from boxless.data.dataset import data_hash
from boxless.evaluation.bootstrap import Comparison, compare, holm
from boxless.gan import GANS
from boxless.gan.attribution import density, gradient, occlusion
from boxless.gan.data import read_images
from boxless.gan.localizer import GanLocalizer, untrained_d
from boxless.gan.networks import Discriminator
from boxless.gan.position_head import LEAST, Windows, pixel_heatmap
from boxless.gan.samples import generator_of, samples
from boxless.reproduce.gan.run import UNTRAINED, GanTrial, trained_at, trained_d
from boxless.reproduce.gan.run_results import GanRun, ImageHits, over_groups, runs_in
from boxless.reproduce.gan.scoring import HeatmapFunction, Score, Scoring, category_splits
from boxless.reproduce.grid import Result, TimeBudget, failures, run_grid, stored
from boxless.reproduce.markdown import markdown_table, signed, with_interval
from boxless.runtime import checkpoint
from boxless.runtime.devices import device_named
from boxless.runtime.errors import UsageError

NAME = "gan-readings"
EVERY = "every way"
"""What is written where no kind of reading was asked for."""
SplitName = Literal["test", "train"]
WHICH: dict[SplitName, tuple[str, str]] = {
    "test": ("test images", "at thresholds transferred from boxes of training images"),
    "train": (
        "training images",
        "which D saw without their boxes, at thresholds transferred from boxes of test images",
    ),
}
"""What is measured, and how."""
GENERATED = 1024
"""Images of G that `density` compares with at most as many real ones."""
PIXELS = "position on the pixels of the windows"
"""The control of the position readings that has no D."""
COLUMNS = (
    "reading", "IoU 0.5", "shuffled maps", "lift over shuffled", "untrained D", "lift over untrained",
)  # fmt: skip
Images = UInt8[Tensor, "_n size size 3"]
Make = Callable[[Discriminator, Images, Images], HeatmapFunction]
"""A D, real training images, generated images -> how maps are made."""


def attribution_methods(network: Discriminator) -> dict[str, Make]:
    """Every way to read such a D, by name."""
    found: dict[str, Make] = {}
    for finer in ("none", "shift", "stride"):
        for shown, sign in (("real", 1), ("generated", -1)):
            name = f"cam of what is {shown}" + ("" if finer == "none" else f", finer by {finer}")
            found[name] = partial(_localizer, reading="cam", sign=sign, finer=finer)
    inner = range(len(network.convolutions()))
    for reading in ("ddt", "border"):
        found |= {f"{reading}, layer {i}": partial(_localizer, reading=reading, layer=i) for i in inner}
    found |= {f"density, layer {i}": partial(_density, layer=i) for i in inner}
    probes: dict[str, Make] = {
        "gradient": partial(_probe, probe=gradient),
        "occlusion": partial(_probe, probe=occlusion),
    }
    asked = {
        f"position, layer {i}": partial(_localizer, reading="position", layer=i, finer="stride" if i else "none")
        for i in windows_asked(network)
    }
    return found | {"smoothgrad": partial(_localizer, reading="smoothgrad")} | probes | asked


def windows_asked(network: Discriminator) -> dict[int, Windows]:
    """The layers of such a D whose windows can be asked for their position, and those windows.

    The grid is as fine as can be; the first layer's is fine as it is.
    """
    layers = network.convolutions()
    windows = {i: Windows.of(layers[: i + 1], dense=i > 0) for i in range(len(layers))}
    return {i: seen for i, seen in windows.items() if seen.inside(network.options["size"]) >= LEAST}


def run_readings(
    data: Path,
    out: Path,
    budget: TimeBudget,
    *,
    on: SplitName = "test",
    only: str = "",
    device: str = "auto",
    begun: Callable[[GanTrial], object] = lambda trial: None,
) -> str:
    """Read every finished run of the gan-table-3 in `out` in every way -> the page, also left there.

    Only in ways whose names begin with `only`. Leaves `out`/gan-readings-ON.md, and a json for each run in
    `out`/readings-ON. Raises UsageError where there is no finished run of this data.
    """
    trials = finished(out / "cells", data.name)

    def run(trial: GanTrial, budget: TimeBudget) -> Result | None:
        begun(trial)
        return read_run(trial, data, out / "runs" / trial.name, budget, on, only, device)

    def page(done: Mapping[str, Result]) -> str:
        return readings_page(trials, done, on)

    settings = {"data": data.name, "on": on, "only": only or EVERY}
    return run_grid(trials, run, out / f"readings-{on}", settings, budget, page, out / f"{NAME}-{on}.md")


def finished(folder: Path, data: str) -> list[GanTrial]:
    """The GAN trials of a table on `data` that have a result; raises UsageError when there is none."""
    there = {path.stem: stored(path) for path in sorted(folder.glob("*.json")) if path.stem.split("_")[0] in GANS}
    names = [
        name for name, kept in there.items() if kept["settings"].get("data") == data and "stages" in kept["result"]
    ]
    if not names:
        raise UsageError(
            f"{folder} holds no finished run on {data}. Run boxless reproduce gan-table-3 first, or name its --out."
        )
    return [GanTrial.named(name) for name in names]


def read_run(
    trial: GanTrial,
    data: Path,
    run: Path,
    budget: TimeBudget,
    on: SplitName = "test",
    only: str = "",
    device: str = "auto",
) -> Result | None:
    """The scores of every reading that `only` begins, of the D in run/last.pt and untrained ones; None out of time."""
    content = checkpoint.read(run / "last.pt")
    test, train = category_splits(data, trial.group)
    asked, others = (test, train) if on == "test" else (train, test)
    scoring = Scoring(asked, others, size=content["size"], device=device_named(device), seed=trial.seed)
    real = read_images(train, content["size"]).to(scoring.device)
    generated = samples(*generator_of(content), GENERATED).to(scoring.device)
    networks = [trained_d(content)]
    networks += [untrained_d(content["options"]["discriminator"], trial.seed + i) for i in range(UNTRAINED)]
    networks = [network.to(scoring.device) for network in networks]
    found: dict[str, Result] = {}
    for name, make in attribution_methods(networks[0]).items():
        if not name.startswith(only):
            continue
        if budget.over:
            return None
        trained, *fresh = (scoring.score(make(network, real, generated)) for network in networks)
        found[name] = {kind: _transferred(trained[kind]) for kind in ("maps", "shuffled")}
        found[name]["untrained"] = [_transferred(scores["maps"]) for scores in fresh]
    pixels = {
        f"{PIXELS}, layer {i}": scoring.score(pixel_heatmap(windows, real))["maps"]["transferred"]
        for i, windows in windows_asked(networks[0]).items()
    }
    return {
        "step": content["step"],
        "images": len(scoring.asked.truths),
        "readouts": found,
        "controls": {**scoring.constants(), **pixels},
        "data": {"name": data.name, "hash": data_hash(asked), "fit_hash": data_hash(others)},
        "training": content["settings"],
    }


def _transferred(scores: Mapping[str, Score]) -> dict[str, Score]:
    """Without the paper's threshold, which is one reading's."""
    return {"transferred": scores["transferred"]}


def _localizer(network: Discriminator, real: Images, generated: Images, **options: object) -> HeatmapFunction:
    return GanLocalizer(network, **options).to(real.device).prepare(real).heatmap  # type: ignore[arg-type]


def _density(network: Discriminator, real: Images, generated: Images, *, layer: int) -> HeatmapFunction:
    GanLocalizer(network).prepare(real)
    return density(network, real[:: -(-len(real) // GENERATED)], generated, layer)


def _probe(
    network: Discriminator, real: Images, generated: Images, *, probe: Callable[[HeatmapFunction, Tensor], Tensor]
) -> HeatmapFunction:
    return partial(probe, GanLocalizer(network).to(real.device).prepare(real).forward)


def readings_page(trials: Sequence[GanTrial], done: Mapping[str, Result], on: SplitName = "test") -> str:
    """Markdown: a table for every GAN with and without augmentation, over all its groups."""
    images, how = WHICH[on]
    page = [
        f"# gan-readings: what D has learnt, on {images}",
        "",
        f"GT-known localization in percent at IoU 0.5 over the {images} of all groups that were read, {how}; seeds are "
        "averaged image by image. Lifts are differences on the same images with 95 % bootstrap intervals. What does "
        "not lie above untrained Ds was not learnt; what lies above them and not above its shuffled maps says nothing "
        "of the image at hand.",
    ]
    for gan, augment in dict.fromkeys((trial.gan, trial.augment) for trial in trials):
        mine = [trial for trial in trials if (trial.gan, trial.augment) == (gan, augment)]
        runs = list(runs_in(mine, done, "readouts").values())
        title = f"{gan}, {'with' if augment else 'without'} augmentation"
        read = f"{len(runs)} of {len(mine)} finished runs read." + (f" {_what_was_read(runs)}" if runs else "")
        page += ["", f"## {title}", "", *failures({trial.name: done.get(trial.name, {}) for trial in mine}), read]
        if runs:
            names = [name for name in runs[0].attribution_methods if all(name in r.attribution_methods for r in runs)]
            readings = [MeasuredReading.of(name, runs) for name in names]
            shared = [name for name in runs[0].controls if all(name in run.controls for run in runs)]
            constants = [_constant(name, runs) for name in shared]
            rows = [*(reading.row for reading in readings), *constants]
            page += ["", *markdown_table(COLUMNS, rows), "", learnt(readings)]
    return "\n".join(page) + "\n"


def _what_was_read(runs: Sequence[GanRun]) -> str:
    groups = {run.trial.group: run.images for run in reversed(runs)}
    steps = ", ".join(f"{step:,}" for step in sorted({run.content["step"] for run in runs}))
    return (
        f"Groups: {', '.join(dict.fromkeys(run.trial.group for run in runs))}; {sum(groups.values())} images; after "
        f"{steps} iterations {trained_at(runs[0].content['training'])}."
    )


@dataclass(frozen=True, slots=True)
class MeasuredReading:
    """One attribution method over all groups: which share of the runs hits each image, and beside what."""

    name: str
    maps: ImageHits
    shuffled: ImageHits
    untrained: ImageHits
    over_shuffled: Comparison
    over_untrained: Comparison

    @classmethod
    def of(cls, name: str, runs: Sequence[GanRun]) -> "MeasuredReading":
        """The attribution method `name` of some runs."""
        maps = over_groups(runs, lambda run: run.attribution(name, "maps"))
        shuffled = over_groups(runs, lambda run: run.attribution(name, "shuffled"))
        untrained = over_groups(runs, lambda run: run.attribution(name, "untrained"))
        return cls(name, maps, shuffled, untrained, compare(maps, shuffled), compare(maps, untrained))

    @property
    def row(self) -> list[str]:
        """Its line of the table."""
        entries = [with_interval(self.maps, 100), f"{100 * self.shuffled.mean():.1f}", signed(self.over_shuffled, 100)]
        return [self.name, *entries, f"{100 * self.untrained.mean():.1f}", signed(self.over_untrained, 100)]


def learnt(readings: Sequence[MeasuredReading]) -> str:
    """Which readings lie above untrained Ds, and which of those above their shuffled maps, in words.

    Both at p < 0.05 after Holm's correction for all readings.
    """

    def above(lifts: Sequence[Comparison]) -> list[str]:
        asked = zip(readings, lifts, holm([lift.p for lift in lifts]), strict=True)
        return [reading.name for reading, lift, sure in asked if sure and lift.difference > 0]

    untrained = above([reading.over_untrained for reading in readings])
    shuffled = above([reading.over_shuffled for reading in readings])
    both = [name for name in untrained if name in shuffled]
    return (
        f"At p < 0.05 after Holm's correction for {len(readings)} readings, above untrained Ds: "
        f"{', '.join(untrained) or 'none'}; above these and their own shuffled maps: {', '.join(both) or 'none'}."
    )


def _constant(name: str, runs: Sequence[GanRun]) -> list[str]:
    title = "border contrast, no learning" if name == "no learning" else name
    return [title, with_interval(over_groups(runs, lambda run: [run.control(name)]), 100), "-", "-", "-", "-"]
