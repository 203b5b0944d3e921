"""Boxes of `find` in other numbers and by another engine, against those of torch in fp32, on images with known boxes.

    python benchmarks/engines.py FOLDER... --out engines.json [--split train] [--count 60] [--groups GROUP,GROUP]

Each folder is a set; with --groups it is cut into one category a group. Of every set, --count evenly taken images (of
each category at most) are searched by `auto` in all ways. A row that the output holds already is not computed again.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from boxless.backbones.openvino_engine import OpenvinoEngine
from boxless.boxes.iou import box_ious
from boxless.data.dataset import Dataset
from boxless.data.folder import read_data
from boxless.data.splits import restricted
from boxless.inference.discovery_predictor import DiscoveryPredictor
from boxless.inference.engines import some_of
from boxless.inference.factory import discoverer
from boxless.inference.predictors import detections_in
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance

WAYS = ("torch bf16", "openvino fp32", "openvino bf16", "openvino int8")
LIMIT = (1 << 20, 1 << 20)  # no box is cut
THRESHOLDS = (0.3, 0.5, 0.7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--groups", default="")
    asked = parser.parse_args()
    content = json.loads(asked.out.read_text()) if asked.out.exists() else {"rows": {}}
    for folder in asked.folders:
        for name, data in sets(folder, asked.split, asked.groups, asked.count):
            if name in content["rows"]:
                continue
            content["rows"][name] = compared(data)
            print(name, json.dumps(content["rows"][name]))
            write_json(asked.out, content | provenance() | {"split": asked.split, "summary": summary(content["rows"])})


def sets(folder: Path, split: str, groups: str, count: int) -> Iterator[tuple[str, Dataset]]:
    """The categories of a folder: its classes together as one set, or each of the groups."""
    data = read_data(folder, split)
    if not groups:
        yield folder.name, even(data, count)
        return
    for group in groups.split(","):
        yield f"{folder.name} {group}", even(restricted(data, group, one_category=True), count)


def even(data: Dataset, count: int) -> Dataset:
    kept = []
    for label in dict.fromkeys(sample.label for sample in data.samples):
        own = [sample for sample in data.samples if sample.label == label]
        kept += [own[place] for place in np.unique(np.linspace(0, len(own) - 1, count).round().astype(int))]
    return replace(data, samples=kept)


def compared(data: Dataset) -> dict[str, Any]:
    (reference, _), truth = boxes(data, "torch fp32"), [np.asarray(sample.boxes, np.float32) for sample in data.samples]
    found: dict[str, Any] = {"images": len(data), "torch fp32": {"corloc": corloc(reference, data, truth)}}
    for way in WAYS:
        ours, used = boxes(data, way)
        same = [iou(ours.get(name), box[None]) for name, box in reference.items()]
        hits = corloc(ours, data, truth)
        found[way] = {"used": used, "same": float(np.mean(np.array(same) >= 0.9)), "corloc": hits}
    return found


def boxes(data: Dataset, way: str) -> tuple[dict[str, np.ndarray], str]:
    """Image -> its box; and the numbers that were used, which are others where those of the way were not faithful."""
    engine, numbers = way.split()
    predictor = discoverer("auto", engine="torch", precision="bf16" if numbers == "bf16" else "fp32")
    if engine == "openvino":
        predictor = with_openvino(data, numbers)
    found = {}
    for mapped in predictor.maps(data, Progress()):
        one = detections_in(mapped, predictor.readout, "")
        if len(one.boxes):
            found[one.name] = np.asarray(one.boxes[0], np.float32)
    engine_used = predictor.method.backbone.engine  # type: ignore[attr-defined]  # auto has one
    return found, engine_used.numbers if engine_used else numbers


def with_openvino(data: Dataset, numbers: str) -> DiscoveryPredictor:
    predictor = discoverer("auto", engine="torch", precision="fp32" if numbers == "fp32" else "bf16")
    images = some_of(data, predictor.how, predictor.size) if numbers == "int8" else None
    backbone = predictor.method.backbone  # type: ignore[attr-defined]  # auto has one
    backbone.engine = OpenvinoEngine(backbone, bf16=numbers != "fp32", lanes=1, required=True, images=images)
    return predictor


def iou(box: np.ndarray | None, others: np.ndarray) -> float:
    return 0.0 if box is None or not len(others) else float(box_ious(box[None], others, 0, LIMIT).max())


def corloc(found: dict[str, np.ndarray], data: Dataset, truth: list[np.ndarray]) -> list[float]:
    """Share of images whose box overlaps a true one, at each of the thresholds."""
    ious = np.array([iou(found.get(s.name), boxes) for s, boxes in zip(data.samples, truth, strict=True)])
    return [float((ious >= threshold).mean()) for threshold in THRESHOLDS]


def summary(rows: dict[str, Any]) -> dict[str, Any]:
    """Over all images of all sets: share of the same boxes, and what CorLoc at .5 and its mean differ from fp32's."""
    weights = np.array([row["images"] for row in rows.values()])
    found = {}
    for way in WAYS:
        apart = np.array([np.subtract(row[way]["corloc"], row["torch fp32"]["corloc"]) for row in rows.values()])
        same = np.array([row[way]["same"] for row in rows.values()])
        over = weights @ apart / weights.sum()
        found[way] = {
            "same": float(weights @ same / weights.sum()),
            "corloc_50": float(over[1]),
            "corloc_mean": float(over.mean()),
        }
    return found


if __name__ == "__main__":
    main()
