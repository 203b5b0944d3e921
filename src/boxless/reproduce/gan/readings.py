"""What has D learnt? Every way to read one trained D, beside the same reading of Ds that were never trained.

The runs are the finished ones of a gan-table-3. A reading that lies above its shuffled maps sees something of its
image; only one that also lies above the same reading of untrained Ds sees something that D has learnt. Thresholds come
from boxes of other images than those that are measured, for every reading and every network on its own.

Measured are test images, or the training images: D saw those without their boxes, so that nothing is given away, and
there are ten times as many in Tiny ImageNet. They are what co-localization is asked of, and tell smaller lifts apart.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64, UInt8
from torch import Tensor

from boxless.data.dataset import data_hash
from boxless.evaluation.bootstrap import Comparison, compare, holm
from boxless.gan import GANS
from boxless.gan.attribution import density, gradient, occlusion
from boxless.gan.data import read_images
from boxless.gan.localizer import GanLocalizer, untrained_d
from boxless.gan.networks import Discriminator
from boxless.gan.samples import generator_of, samples
from boxless.reproduce.gan.run import UNTRAINED, GanTrial, trained_at, trained_d
from boxless.reproduce.gan.scoring import HeatmapFunction, Score, Scoring, boxed_splits, mean_hits
from boxless.reproduce.grid import Result, TimeBudget, results, run_grid, stored
from boxless.reproduce.markdown import markdown_table, signed, with_interval
from boxless.runtime import checkpoint
from boxless.runtime.devices import device_named
from boxless.runtime.errors import UsageError
from boxless.runtime.files import write_text_atomic

NAME = "gan-readings"
Split = Literal["test", "train"]
WHICH: dict[Split, tuple[str, str]] = {
    "test": ("test images", "at thresholds transferred from boxes of training images"),
    "train": (
        "training images",
        "which D saw without their boxes, at thresholds transferred from boxes of test images",
    ),
}
"""What is measured, and how."""
GENERATED = 1024
"""Images of G that `density` compares with at most as many real ones."""
COLUMNS = (
    "reading", "IoU 0.5", "shuffled maps", "lift over shuffled", "untrained D", "lift over untrained",
)  # fmt: skip
Images = UInt8[Tensor, "_n size size 3"]
Hits = Float64[np.ndarray, "_images"]
Make = Callable[[Discriminator, Images, Images], HeatmapFunction]
"""A D, real training images, generated images -> how maps are made."""


def readouts(layers: int) -> dict[str, Make]:
    """Every reading of a D with that many layers, by name."""
    signs: tuple[tuple[str, Literal[1, -1]], ...] = (("real", 1), ("generated", -1))
    finer: tuple[Literal["none", "shift", "stride"], ...] = ("none", "shift", "stride")
    inner: tuple[Literal["ddt", "border"], ...] = ("ddt", "border")
    found: dict[str, Make] = {}
    for how in finer:
        for shown, sign in signs:
            name = f"cam of what is {shown}" + ("" if how == "none" else f", finer by {how}")
            found[name] = partial(_localizer, reading="cam", sign=sign, finer=how)
    for reading in inner:
        for layer in range(layers):
            found[f"{reading}, layer {layer}"] = partial(_localizer, reading=reading, layer=layer)
    for layer in range(layers):
        found[f"density, layer {layer}"] = partial(_density, layer=layer)
    found["smoothgrad"] = partial(_localizer, reading="smoothgrad")
    found["gradient"] = partial(_probe, probe=gradient)
    found["occlusion"] = partial(_probe, probe=occlusion)
    return found


def run_readings(
    data: Path,
    out: Path,
    clock: TimeBudget,
    *,
    on: Split = "test",
    device: str = "auto",
    begun: Callable[[GanTrial], object] = lambda cell: None,
) -> list[str]:
    """Read every finished run of the gan-table-3 in `out` in every way -> the page, also left there.

    Leaves `out`/gan-readings-ON.md, and a json for each run in `out`/readings-ON. Raises UsageError where there is no
    finished run of this data.
    """
    cells = finished(out / "cells", data.name)
    settings, folder = {"data": data.name, "on": on}, out / f"readings-{on}"

    def work(cell: GanTrial, clock: TimeBudget) -> Result | None:
        begun(cell)
        return read(cell, data, out / "runs" / cell.name, clock, on, device)

    try:
        run_grid(cells, work, folder, settings, clock)
    finally:  # also after Ctrl-C: what there is makes a table
        page = readings_page(cells, results(cells, folder, settings), on)
        write_text_atomic(out / f"{NAME}-{on}.md", ["\n".join(page) + "\n"], "the page")
    return page


def finished(folder: Path, data: str) -> list[GanTrial]:
    """The GAN cells of a table on `data` that have a result; raises UsageError when there is none."""
    there = {path.stem: stored(path) for path in sorted(folder.glob("*.json")) if path.stem.split("_")[0] in GANS}
    names = [
        name for name, kept in there.items() if kept["settings"].get("data") == data and "stages" in kept["result"]
    ]
    if not names:
        raise UsageError(
            f"{folder} holds no finished run on {data}. Run boxless reproduce gan-table-3 first, or name its --out."
        )
    return [GanTrial.named(name) for name in names]


def read(
    cell: GanTrial, data: Path, run: Path, clock: TimeBudget, on: Split = "test", device: str = "auto"
) -> Result | None:
    """The scores of every reading of the D in run/last.pt and of untrained ones, None out of time."""
    content = checkpoint.read(run / "last.pt")
    test, train = boxed_splits(data, cell.group)
    asked, others = (test, train) if on == "test" else (train, test)
    scoring = Scoring(asked, others, size=content["size"], device=device_named(device), seed=cell.seed)
    real = read_images(train, content["size"]).to(scoring.device)
    generated = samples(*generator_of(content), GENERATED).to(scoring.device)
    networks = [trained_d(content)]
    networks += [untrained_d(content["options"]["discriminator"], cell.seed + i) for i in range(UNTRAINED)]
    networks = [network.to(scoring.device) for network in networks]
    found: dict[str, Result] = {}
    for name, make in readouts(len(networks[0].convolutions())).items():
        if clock.over:
            return None
        trained, *fresh = (scoring.measured(make(network, real, generated)) for network in networks)
        found[name] = {kind: _transferred(trained[kind]) for kind in ("maps", "shuffled")}
        found[name]["untrained"] = [_transferred(scores["maps"]) for scores in fresh]
    return {
        "step": content["step"],
        "images": len(scoring.asked.truths),
        "readouts": found,
        "controls": scoring.constants(),
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


def readings_page(cells: Sequence[GanTrial], done: Mapping[str, Result], on: Split = "test") -> list[str]:
    """The lines of a markdown page: a table for every GAN with and without augmentation, over all its groups."""
    images, how = WHICH[on]
    page = [
        f"# gan-readings: what D has learnt, on {images}",
        "",
        f"GT-known localization in percent at IoU 0.5 over the {images} of all groups that were read, {how}; seeds are "
        "averaged image by image. Lifts are differences on the same images with 95 % bootstrap intervals. What does "
        "not lie above untrained Ds was not learnt; what lies above them and not above its shuffled maps says nothing "
        "of the image at hand.",
    ]
    for gan, augment in dict.fromkeys((cell.gan, cell.augment) for cell in cells):
        mine = [cell for cell in cells if (cell.gan, cell.augment) == (gan, augment)]
        read = [cell for cell in mine if "readouts" in done.get(cell.name, {})]
        title = f"{gan}, {'with' if augment else 'without'} augmentation"
        page += ["", f"## {title}", "", f"{len(read)} of {len(mine)} finished runs read."]
        page += [f"Failed: {c.name}: {done[c.name]['failed']}" for c in mine if "failed" in done.get(c.name, {})]
        if read:
            groups = list(dict.fromkeys(cell.group for cell in read))
            runs = [[done[cell.name] for cell in read if cell.group == group] for group in groups]
            names = [name for name in runs[0][0]["readouts"] if all(name in r["readouts"] for run in runs for r in run)]
            steps = sorted({r["step"] for run in runs for r in run})
            page[-1] += f" Groups: {', '.join(groups)}; {sum(run[0]['images'] for run in runs)} images; after "
            page[-1] += f"{', '.join(f'{step:,}' for step in steps)} iterations {trained_at(runs[0][0]['training'])}."
            constants = [_constant(name, runs) for name in ("no learning", "centred box", "whole image")]
            readings = [Reading.of(name, runs) for name in names]
            page += ["", *markdown_table(COLUMNS, [*(one.row for one in readings), *constants]), "", learnt(readings)]
    return page


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading over all groups: which share of the runs hits each image, and beside what."""

    name: str
    maps: Hits
    shuffled: Hits
    untrained: Hits
    over_shuffled: Comparison
    over_untrained: Comparison

    @classmethod
    def of(cls, name: str, runs: Sequence[Sequence[Result]]) -> "Reading":
        """The reading `name` of the runs of each group."""

        def over(pick: Callable[[Result], Iterable[Score]]) -> Hits:
            return np.concatenate([mean_hits([s for r in group for s in pick(r["readouts"][name])]) for group in runs])

        maps = over(lambda readout: [readout["maps"]["transferred"]])
        shuffled = over(lambda readout: [readout["shuffled"]["transferred"]])
        untrained = over(lambda readout: [scores["transferred"] for scores in readout["untrained"]])
        return cls(name, maps, shuffled, untrained, compare(maps, shuffled), compare(maps, untrained))

    @property
    def row(self) -> list[str]:
        """Its line of the table."""
        cells = [with_interval(self.maps, 100), f"{100 * self.shuffled.mean():.1f}", signed(self.over_shuffled, 100)]
        return [self.name, *cells, f"{100 * self.untrained.mean():.1f}", signed(self.over_untrained, 100)]


def learnt(readings: Sequence[Reading]) -> str:
    """Which readings lie above untrained Ds, and which of those above their shuffled maps, in words.

    Both at p < 0.05 after Holm's correction for all readings.
    """

    def above(lifts: Sequence[Comparison]) -> list[str]:
        sure = holm([lift.p for lift in lifts])
        told = zip(readings, lifts, sure, strict=True)
        return [reading.name for reading, lift, known in told if known and lift.difference > 0]

    untrained = above([reading.over_untrained for reading in readings])
    shuffled = above([reading.over_shuffled for reading in readings])
    both = [name for name in untrained if name in shuffled]
    return (
        f"At p < 0.05 after Holm's correction for {len(readings)} readings, above untrained Ds: "
        f"{', '.join(untrained) or 'none'}; above these and their own shuffled maps: {', '.join(both) or 'none'}."
    )


def _constant(name: str, runs: Sequence[Sequence[Result]]) -> list[str]:
    hit = np.concatenate([mean_hits([result["controls"][name] for result in group]) for group in runs])
    title = "border contrast, no learning" if name == "no learning" else name
    return [title, with_interval(hit, 100), "-", "-", "-", "-"]
