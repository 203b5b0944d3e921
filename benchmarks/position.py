"""position on the six groups: trained on a group's training images, measured on the others, with hits of every image.

    python benchmarks/position.py tiny28 --out docs/results/60-position-tiny28 [--groups bird,cat] [--seeds 0,1,2]
    python benchmarks/position.py tiny28 --out OUT --worst FOLDER  # pictures of the 20 worst of each group instead
    python benchmarks/position.py tiny28 --out OUT --forms --groups artiodactyla,bird,bottle  # on training images
    python benchmarks/position.py domains --out OUT --forms --groups cells,codes --steps 400  # sets: domains/cells...

A run that lies in --runs already is measured as it is. The threshold is the method's own, fixed; the transferred one
is chosen on the boxes of every fifth training image, and so is the centred box. Border contrast stands beside them.
--forms reads the networks of these runs in several ways on training images, on which a form of the method is chosen.
What is no group of Tiny ImageNet is a data set in the folder DATA, which ImageNet does not know: ddt and auto stand
beside its forms.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from boxless.boxes.from_heatmap import find_boxes
from boxless.boxes.otsu import otsu
from boxless.data.dataset import Dataset
from boxless.data.images import read_resized
from boxless.data.published_datasets import GROUPS
from boxless.data.splits import splits_for
from boxless.data.transforms import to_images
from boxless.discovery.contrast import Contrast
from boxless.discovery.discriminant import with_cut_at_half
from boxless.discovery.pictures import Pictures
from boxless.discovery.position import FIELD, FIRST, Position, placed_share, train_run
from boxless.discovery.position_settings import STEPS, PositionTraining
from boxless.evaluation.bootstrap import compare
from boxless.evaluation.evaluate import compute_heatmaps, evaluate
from boxless.evaluation.measure import measure
from boxless.evaluation.measurement import Measurement
from boxless.evaluation.metrics import hits as hit
from boxless.evaluation.metrics import iou_table
from boxless.evaluation.protocols import DELTAS, PROTOCOLS
from boxless.evaluation.results import evaluation_result
from boxless.evaluation.thresholds import best_threshold
from boxless.gan.data import read_images
from boxless.gan.position_head import middle
from boxless.inference.factory import discoverer, trained, untrained
from boxless.report.drawing import Picture, captioned, save_picture, sheet, triptych
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance

EVERY = 5
"""Of so many training images one lends its boxes to the transferred threshold and to the centred box."""

PIXELS = 128
"""Side of a picture of what failed."""

SIDE = 64
"""Pixels of the square that position works on."""

AT_MOST = 1500
"""Training images that forms of the map are measured on, evenly taken."""

CPU = torch.device("cpu")

CONTRAST, FIRST_MAP, STUDENT_ALONE, BOTH = (
    "border contrast", "first map", "student, each at its own Otsu", "student + first map, each at its own Otsu",
)  # fmt: skip
READOUTS = {CONTRAST: Contrast.readout, FIRST_MAP: FIRST, STUDENT_ALONE: Position.readout, BOTH: Position.readout}
"""Forms that have a threshold of their own; that of all others is the median of their Otsu thresholds."""

OTHERS = ("ddt", "auto")
"""Methods that stand beside the forms where ImageNet knows nothing."""

PADDING = (FIELD // 2 - 1,) * 4
"""So that there is a window around every place."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/position"))
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--forms", action="store_true", help="several forms of the map, on training images")
    parser.add_argument("--worst", type=Path, help="where pictures of what fails go; none is part of the repository")
    given = parser.parse_args()
    for seed in map(int, given.seeds.split(",")):
        for group in given.groups.split(","):
            known = group in GROUPS
            data = given.data if known else given.data / group
            test, train = splits_for(data, classes=group if known else None, one_category=True)
            assert train is not None
            if given.worst:
                save_picture(given.worst / f"{group}_{seed}.jpg", worst(test, given.runs / f"{group}_{seed}"))
                continue
            path = given.out / f"{group}_{seed}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            run = given.runs / f"{group}_{seed}"
            if not (run / "best.pt").exists():
                settings = PositionTraining(seed=seed, steps=given.steps)
                train_run(read_images(train, SIDE), settings, run, category=train.classes[0])
            write_json(path, forms(train, group, run, seed) if given.forms else measured(train, test, run, seed))
            print(path, flush=True)


def measured(train: Dataset, test: Dataset, run: Path, seed: int) -> dict[str, Any]:
    """One run on the test images, beside its controls and border contrast."""
    fit, progress, predictor = replace(train, samples=train.samples[::EVERY]), Progress(), trained(run)
    control = untrained(predictor, fit, seed=seed)
    mine, _ = evaluate(predictor, test, progress, fit=fit, untrained=control, seed=seed)
    contrast, _ = evaluate(discoverer("contrast"), test, progress, fit=fit, seed=seed)
    above = {str(delta): compare(100.0 * mine.rows[0].at(delta), 100.0 * contrast.rows[0].at(delta)).to_dict()
             for delta in (0.3, 0.5, 0.7)}  # fmt: skip
    return {
        **evaluation_result(mine, predictor, test, fit, progress, seed=seed),
        "trained_on": len(train),
        "contrast": {"measurement": contrast.to_dict(), "hits": hits(contrast), "above": above},
        "hits": hits(mine),
    }


def forms(train: Dataset, group: str, run: Path, seed: int) -> dict[str, Any]:
    """Maps of training images in several forms, by the networks of one run: hits of every image, form by form."""
    taught, train = len(train), replace(train, samples=train.samples[:: -(-len(train) // AT_MOST)])
    seen, network = compute_heatmaps(discoverer("contrast"), train, Progress()), trained(run).localizer.network
    pictures, found = read_images(train, SIDE), dict[str, Any]()
    maps, readouts = looks(network, pictures), dict(READOUTS)
    for name in () if group in GROUPS else OTHERS:
        predictor = discoverer(name, precision="fp32")
        maps[name], readouts[name] = compute_heatmaps(predictor, train, Progress()).heats, predictor.readout
    for name, heats in maps.items():
        scored = measure(list(heats), seen.sizes, seen.truths, readout=readouts.get(name), seed=seed)
        best = best_threshold(scored.table)
        at_best = np.stack([hit(scored.table.at(best), delta) for delta in DELTAS], axis=1)
        rows = {f"{row.name}, {row.origin}": (row.threshold[0], row.hits) for row in scored.rows if row.kind == "maps"}
        rows["best threshold, chosen with these boxes"] = best, at_best
        found[name] = {
            "thresholds": {words: threshold for words, (threshold, _) in rows.items()},
            "rows": {words: digits(hits) for words, (_, hits) in rows.items()},
            "anatomy": scored.error_types.totals(),
        }
    placed = placed_share(network.patches, pictures)
    return {"group": group, "seed": seed, "trained_on": taught, "images": len(pictures), "placed": placed,
            **provenance(), "forms": found}  # fmt: skip


def looks(network: Any, pictures: Pictures) -> dict[str, Any]:
    """Maps (image, h, w) of pictures by each form."""

    def seen(look: Callable[[Tensor], Tensor], scale: float = 1) -> Any:
        heats = torch.cat([look(resized(to_images(part, CPU), round(SIDE * scale))) for part in pictures.split(64)])
        return resized(heats[:, None], SIDE // 2)[:, 0].numpy()

    contrast, network.both = Contrast(), True
    first, student = seen(network.patches.heatmap), seen(network.student.heatmap)
    return {
        CONTRAST: seen(lambda images: contrast.heatmap(contrast.descriptors(images))),
        "patches x Gaussian": seen(lambda images: middle(network.patches(F.pad(images, PADDING, mode="replicate")))),
        FIRST_MAP: first,
        "student": student,
        "student, also of the image enlarged 1.5 times": student + seen(network.student.heatmap, 1.5),
        "student x root of the first map": student * np.sqrt(first),
        "student + first map": over_range(student) + over_range(first),
        STUDENT_ALONE: np.stack([with_cut_at_half(heat, otsu(heat)) for heat in student]),
        BOTH: seen(network.heatmap),
    }


def resized(images: Tensor, side: int) -> Tensor:
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


def over_range(heats: Any) -> Any:
    """Maps from 0 to 1 each."""
    low, high = heats.min((1, 2), keepdims=True), heats.max((1, 2), keepdims=True)
    return (heats - low) / np.maximum(high - low, 1e-9)


def worst(test: Dataset, run: Path, count: int = 20) -> Picture:
    """The `count` images whose box at the method's threshold has the least IoU with a true one, worst first."""
    predictor = trained(run)
    found = compute_heatmaps(predictor, test, Progress()).boxed()
    table = iou_table(*found.split(), PROTOCOLS["boxless"], extra=[predictor.readout.threshold])
    ious = table.at(predictor.readout.threshold)
    cells = []
    for index in np.argsort(ious, kind="stable")[:count]:
        sample, heat, size = found.samples[index], found.heats[index], found.sizes[index]
        picture = read_resized(test.source.read(sample.name), sample.name, PIXELS)[0]
        boxes, _ = find_boxes(heat, size, predictor.readout.threshold)
        scale = np.array([PIXELS / size[0], PIXELS / size[1]] * 2, np.float32)
        drawn = triptych(picture, heat, boxes * scale, sample.boxes * scale)
        cells.append(captioned(drawn, f"{Path(sample.name).stem} {ious[index]:.2f}"))
    return sheet(cells, columns=4)


def hits(measured: Measurement) -> dict[str, Any]:
    """Whether each image is hit, row by row: a digit an image, the sum of 1, 2 and 4 for IoU 0.3, 0.5 and 0.7."""
    rows = {f"{row.name}, {row.origin}": digits(row.hits) for row in measured.rows}
    return {"images": list(measured.names), "rows": rows}


def digits(hits: Any) -> str:
    """Hits (image, IoU) as a digit an image."""
    return "".join(map(str, hits @ np.array([1, 2, 4])))


if __name__ == "__main__":
    main()
