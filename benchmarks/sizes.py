"""auto with larger images and a finer map on training halves: what they gain, cost, and whether its signs say so.

    python benchmarks/sizes.py domains/cells domains/skin cub10 --cache seen --out sizes.json

Each set is one category of at most 120 images of its training half, evenly taken. For every side of the square and
stride of the map: GT-known accuracy of auto, and seconds of the processor per image. Then what could choose among them
without a box (auto's own signs, or the agreement of a candidate's boxes with those of the others), and what each of
these choices, always taking one candidate, and the choice by boxes give over the sets. Candidates that are in the
cache are not run again.
"""

import argparse
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from boxless.boxes.from_heatmap import boxes_at
from boxless.boxes.iou import box_ious
from boxless.data.dataset import Dataset
from boxless.data.folder import read_data
from boxless.data.splits import restricted
from boxless.evaluation.bootstrap import compare
from boxless.evaluation.metrics import hits
from boxless.evaluation.protocols import DELTAS
from boxless.inference.factory import discoverer
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance

IMAGES = 120
CANDIDATES = {"288": (288, None), "448": (448, None), "640": (640, None), "288, stride 8": (288, 8)}
"""Side of the square and stride of the map; the first is what `find` begins with."""
OWN = next(iter(CANDIDATES))
AUTO = "auto's own choice"
"""What `find` does: it chooses the side by a few images."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a candidate gave on a set."""

    chosen: str
    signs: dict[str, float]
    ious: Float32[np.ndarray, "image"]
    boxes: Float32[np.ndarray, "image 4"]
    seconds: float
    """Of the processor, for each image."""
    larger: str
    """Why the images were looked at larger than OWN; empty where they were not."""


def some(root: Path, count: int = IMAGES) -> Dataset:
    """At most `count` images of a training half as one category, evenly taken."""
    data = restricted(read_data(root, "train"), None, one_category=True)
    taken = np.linspace(0, len(data) - 1, min(count, len(data))).round().astype(int)
    return replace(data, samples=[data.samples[place] for place in taken])


def seen(data: Dataset, side: int | None, stride: int | None) -> Seen:
    """Run auto once."""
    predictor = discoverer("auto", size=side, stride=stride, precision="fp32", engine="torch")
    began = time.process_time()
    mapped = list(predictor.maps(data, Progress()))
    spent = (time.process_time() - began) / len(mapped)
    found = [boxes_at(predictor.readout, one.heat, one.size)[0] for one in mapped]
    boxes = np.concatenate([each[:1] if len(each) else np.zeros((1, 4), np.float32) for each in found])
    ious = [iou(box, one.sample.boxes) for box, one in zip(boxes, mapped, strict=True)]
    notes = mapped[0].notes
    signs = {sign.name: float(sign.value) for sign in notes.signs}
    return Seen(notes.chosen, signs, np.array(ious, np.float32), boxes, spent, notes.size)


def iou(box: Float32[np.ndarray, "4"], truth: Float32[np.ndarray, "box 4"]) -> float:
    """The highest with any box of `truth`; all lie inside of their image."""
    return float(box_ious(box[None], truth, 0, (10**6, 10**6))[0])


def of_three(ious: Float32[np.ndarray, "image"]) -> Float32[np.ndarray, "image"]:
    return np.mean([100 * hits(ious, delta) for delta in DELTAS], 0)


def agreeing(each: dict[str, Seen], name: str) -> float:
    """Mean IoU of a candidate's boxes with those of the others."""
    others = [one.boxes for other, one in each.items() if other not in (name, AUTO)]
    return float(np.mean([iou(box, there[at][None]) for there in others for at, box in enumerate(each[name].boxes)]))


WAYS: dict[str, Callable[[dict[str, Seen], str], float]] = {
    **{f"always {name}": lambda _, candidate, name=name: float(candidate == name) for name in CANDIDATES},
    "highest agreement of the two steps": lambda each, candidate: each[candidate].signs["agreement"],
    "highest margin": lambda each, candidate: each[candidate].signs["margin"],
    "highest separation": lambda each, candidate: each[candidate].signs["separation"],
    "boxes that agree most with the others'": agreeing,
    "by the boxes themselves": lambda each, candidate: float(of_three(each[candidate].ious).mean()),
}


def described(each: dict[str, Seen]) -> dict[str, Any]:
    """A set's candidates in figures."""
    own = of_three(each[OWN].ious)
    return {
        name: {
            "images": len(one.ious),
            "chosen": one.chosen,
            "GT-known@0.5": float(100 * hits(one.ious).mean()),
            "mean of three": float(of_three(one.ious).mean()),
            **({} if name == OWN else {f"above {OWN}": compare(of_three(one.ious), own).to_dict()}),
            "processor seconds": one.seconds,
            **({"larger": one.larger} if one.larger else {}),
            "signs": one.signs | {"boxes agree": agreeing(each, name)},
        }
        for name, one in each.items()
    }


def by(way: Callable[[dict[str, Seen], str], float], sets: dict[str, dict[str, Seen]]) -> dict[str, Any]:
    """What a choice gives over the sets, which weigh alike."""
    taken = {name: max(CANDIDATES, key=lambda one: way(each, one)) for name, each in sets.items()}
    return {"takes": taken, **over([sets[name][candidate].ious for name, candidate in taken.items()])}


def over(ious: list[Float32[np.ndarray, "image"]]) -> dict[str, float]:
    """Accuracy over sets, which weigh alike."""
    return {
        "GT-known@0.5": float(np.mean([100 * hits(one).mean() for one in ious])),
        "mean of three": float(np.mean([of_three(one).mean() for one in ious])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    asked.cache.mkdir(parents=True, exist_ok=True)
    sets: dict[str, dict[str, Seen]] = {}
    for root in asked.sets:
        for name, (side, stride) in {**CANDIDATES, AUTO: (None, None)}.items():
            file = asked.cache / f"{root.name} {name}.pickle"
            if not file.exists():
                file.write_bytes(pickle.dumps(seen(some(root), side, stride)))
            sets.setdefault(root.name, {})[name] = pickle.loads(file.read_bytes())
    content = {
        "sets": {name: described(each) for name, each in sets.items()},
        "choices": {name: by(way, sets) for name, way in WAYS.items()}
        | {AUTO: over([each[AUTO].ious for each in sets.values()])},
    }
    write_json(asked.out, content | provenance())


if __name__ == "__main__":
    main()
