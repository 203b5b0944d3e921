"""A closer look at what was found: auto without it and with it, and what as dear a look at the whole image would give.

    python benchmarks/closer.py cub10 --split train --sizes 448 --grown 1.1,1.25,1.5 --out closer-train.json
    python benchmarks/closer.py cub10 --split test --out closer-test.json
    python benchmarks/closer.py cub10 --split train --time 3 --out closer-time.json
    python benchmarks/closer.py domains/skin --split train --method position --steps 400 --out skin-closer.json

All images are one category. Hits of every image at IoU 0.3, 0.5 and 0.7, and the paired difference to the method
without a closer look, at its threshold, which knows no box. position learns once, from the images that are measured.
`--time` measures instead how long each takes, in turns.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import boxless.inference.closer_look as closer_look
from boxless.data.dataset import Dataset, data_hash
from boxless.data.splits import splits_for
from boxless.discovery.position import Position, PositionNetwork
from boxless.discovery.position_settings import STEPS
from boxless.evaluation.bootstrap import compare
from boxless.evaluation.evaluate import compute_heatmaps
from boxless.evaluation.measure import measure
from boxless.inference.factory import discoverer
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", choices=("train", "test", "val"), default="train")
    parser.add_argument("--method", choices=("auto", "position"), default="auto")
    parser.add_argument("--steps", type=int, default=STEPS, help="of position")
    parser.add_argument("--sizes", default="", help="sides of the whole image to compare with")
    parser.add_argument("--grown", default=str(closer_look.GROWN), help="sides of the part, in sides of the box")
    parser.add_argument("--time", type=int, default=0, help="times that each way is timed, instead of measured")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    images, _ = splits_for(given.data, split=given.split, fit="none", one_category=True)
    name = given.method
    ways: dict[str, dict[str, Any]] = {name: {}}
    ways |= {f"{name} at {side} pixels": {"size": int(side)} for side in filter(None, given.sizes.split(","))}
    ways |= {f"closer, {grown} boxes wide": {"closer": True, "grown": float(grown)} for grown in given.grown.split(",")}
    for how in ways.values():
        how |= {"method": given.method, "steps": given.steps}
    about = {"split": given.split, "images": len(images), "hash": data_hash(images), **provenance()}
    found = timed(images, ways, given.time) if given.time else measured(images, ways)
    write_json(given.out, {"data": given.data.name, **about, "ways": found})


def measured(images: Dataset, ways: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Hits of every image by each way, and how far its mean over the three IoUs is above that of the first."""
    found, first = dict[str, Any](), None
    for name, how in ways.items():
        predictor = built(**how)
        maps = compute_heatmaps(predictor, images, Progress())
        scored = measure(maps.heats, maps.sizes, maps.truths, readout=predictor.readout)
        row = next(row for row in scored.rows if row.kind == "maps")
        first = row.hits if first is None else first
        found[name] = {
            "accuracy": [float(100 * part) for part in row.hits.mean(0)],
            "above": compare(100.0 * row.hits.mean(1), 100.0 * first.mean(1)).to_dict(),
            "hits": "".join(map(str, row.hits @ np.array([1, 2, 4]))),
        }
        print(name, found[name]["accuracy"], found[name]["above"], flush=True)
    return found


def timed(images: Dataset, ways: dict[str, dict[str, Any]], times: int) -> dict[str, Any]:
    """Seconds by the clock and of the processor for the maps of all images, the median of `times` in turns."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(times):
        for name, how in ways.items():
            predictor = built(**how, precision="auto")
            before = time.perf_counter(), time.process_time()
            compute_heatmaps(predictor, images, Progress())
            taken[name].append((time.perf_counter() - before[0], time.process_time() - before[1]))
    medians = {name: [statistics.median(one) for one in zip(*runs, strict=True)] for name, runs in taken.items()}
    return {name: {"seconds": clock, "processor": processor} for name, (clock, processor) in medians.items()}


class Learnt(Position):
    """position, which learns from the images when it first sees them, and then keeps what it has learnt."""

    kept: ClassVar[dict[int, PositionNetwork | None]] = {}

    def fit_done(self) -> None:
        if self.steps not in self.kept:
            super().fit_done()
            self.kept[self.steps] = self.network
        self.network = self.kept[self.steps]


def built(method: str, *, steps: int, grown: float = closer_look.GROWN, precision: Any = "fp32", **how: Any) -> Any:
    """The predictor of a method, its parts as large as asked for."""
    closer_look.GROWN = grown
    predictor = discoverer(method, precision=precision, **how)
    if method == "position":
        predictor.method = Learnt(steps).to(predictor.how.device)
    return predictor


if __name__ == "__main__":
    main()
