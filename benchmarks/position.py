"""position on the six groups: trained on a group's training images, measured on the others, with hits of every image.

    python benchmarks/position.py tiny28 --out docs/results/60-position-tiny28 [--groups bird,cat] [--seeds 0,1,2]
    python benchmarks/position.py tiny28 --out OUT --worst FOLDER  # pictures of the 20 worst of each group instead

A run that lies in --runs already is measured as it is. The threshold is the method's own, fixed; the transferred one
is chosen on the boxes of every fifth training image, and so is the centred box. Border contrast stands beside them.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from boxless.boxes.from_heatmap import find_boxes
from boxless.data.dataset import Dataset
from boxless.data.images import read_resized
from boxless.data.published_datasets import GROUPS
from boxless.data.splits import splits_for
from boxless.discovery.position import train_run
from boxless.discovery.position_settings import PositionTraining
from boxless.evaluation.bootstrap import compare
from boxless.evaluation.evaluate import compute_heatmaps, evaluate
from boxless.evaluation.measurement import Measurement
from boxless.evaluation.metrics import iou_table
from boxless.evaluation.protocols import PROTOCOLS
from boxless.evaluation.results import evaluation_result
from boxless.gan.data import read_images
from boxless.inference.factory import discoverer, trained, untrained
from boxless.report.drawing import Picture, captioned, save_picture, sheet, triptych
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress

EVERY = 5
"""Of so many training images one lends its boxes to the transferred threshold and to the centred box."""

PIXELS = 128
"""Side of a picture of what failed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/position"))
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--worst", type=Path, help="where pictures of what fails go; none is part of the repository")
    given = parser.parse_args()
    for seed in map(int, given.seeds.split(",")):
        for group in given.groups.split(","):
            test, train = splits_for(given.data, classes=group, one_category=True)
            assert train is not None
            if given.worst:
                save_picture(given.worst / f"{group}_{seed}.jpg", worst(test, given.runs / f"{group}_{seed}"))
                continue
            path = given.out / f"{group}_{seed}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, measured(train, test, given.runs / f"{group}_{seed}", seed))
            print(path, flush=True)


def measured(train: Dataset, test: Dataset, run: Path, seed: int) -> dict[str, Any]:
    """One run on the test images, beside its controls and border contrast."""
    if not (run / "best.pt").exists():
        train_run(read_images(train, 64), PositionTraining(seed=seed), run, category=train.classes[0])
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
    digits = np.array([1, 2, 4])
    rows = {f"{row.name}, {row.origin}": "".join(map(str, row.hits @ digits)) for row in measured.rows}
    return {"images": list(measured.names), "rows": rows}


if __name__ == "__main__":
    main()
