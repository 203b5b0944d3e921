"""What ten boxes are worth: `calibrate` on draws of ten train images of each set, scored on the other train images.

python benchmarks/calibrate.py DOMAINS cells spines profiles codes skin --out result.json
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from boxless.data.folder import read_data
from boxless.data.splits import restricted
from boxless.evaluation.calibrate import METHODS, REFERENCE, Candidate, calibrate, candidate
from boxless.evaluation.evaluate import compute_heatmaps
from boxless.evaluation.metrics import accuracy, hits
from boxless.inference.factory import discoverer
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance

BOXES, DRAWS = 10, 10


def candidates_of(path: Path) -> list[Candidate]:
    """The tables of all methods on the train images of one set, the label-free one first."""
    data = restricted(read_data(path, "train"), None, one_category=True)
    predictors = [discoverer(name) for name in (REFERENCE, *METHODS)]
    return [candidate(predictor, compute_heatmaps(predictor, data, Progress())) for predictor in predictors]


def only(one: Candidate, images: Int[np.ndarray, "image"]) -> Candidate:
    """A candidate on some of the images."""
    return replace(one, ious=one.ious[images])


def draws(tables: list[Candidate]) -> list[dict[str, Any]]:
    """What each draw of boxes chooses, and its GT-known accuracy at IoU 0.5 on the other images."""
    found = []
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(len(tables[0].ious))
        ten, rest = np.sort(order[:BOXES]), np.sort(order[BOXES:])
        chosen = calibrate([only(one, ten) for one in tables[1:]], only(tables[0], ten), {})
        best = next(one for one in tables if one.method == chosen.method)
        column = int(np.argmin(np.abs(best.thresholds - chosen.threshold)))
        unguarded = float(accuracy(hits(best.ious[rest, column])))
        free = float(accuracy(hits(tables[0].at_own[rest])))
        found.append(
            {
                "method": chosen.method,
                "threshold": chosen.threshold,
                "chosen": chosen.chosen,
                "expected": 100 * float((chosen.left_out >= 0.5).mean()),
                "calibrate": unguarded if chosen.chosen else free,
                "without guard": unguarded,
                "auto": free,
            }
        )
    return found


def main() -> None:
    """Measure the sets and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sets = {name: draws(candidates_of(arguments.root / name)) for name in arguments.sets}
    kinds = ("calibrate", "without guard", "auto")
    means = {
        name: {kind: float(np.mean([draw[kind] for draw in each])) for kind in kinds} for name, each in sets.items()
    }
    macro = {kind: float(np.mean([mean[kind] for mean in means.values()])) for kind in kinds}
    content = {"boxes": BOXES, "metric": "GT-known at IoU 0.5, per cent", "macro": macro, "means": means, "draws": sets}
    write_json(arguments.out, content | provenance())


if __name__ == "__main__":
    main()
