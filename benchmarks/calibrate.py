"""What ten boxes are worth: `calibrate` on draws of ten images of each set, scored on the set's other images.

python benchmarks/calibrate.py DOMAINS cells spines profiles codes skin --cache tables --out result.json

The methods see all images of the split, as in use; ten boxes choose, and the boxes of the others only score. --cache
keeps the tables of IoUs, so that a change of the choice alone is measured in seconds.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from boxless.data.dataset import Dataset, data_hash
from boxless.data.folder import read_data
from boxless.data.splits import restricted
from boxless.evaluation.calibrate import METHODS, REFERENCE, Candidate, calibrate, candidate
from boxless.evaluation.evaluate import compute_heatmaps
from boxless.evaluation.metrics import gt_known
from boxless.inference.factory import discoverer
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance

BOXES, DRAWS = 10, 10


def table(method: str, data: Dataset, cached: Path | None) -> Candidate:
    """The IoUs of a method on the boxed images of a set, from the file `cached` where it is there."""
    if cached is not None and cached.exists():
        with np.load(cached) as held:
            return Candidate(method, held["ious"], held["thresholds"], float(held["own"]))
    predictor = discoverer(method)
    made = candidate(predictor, compute_heatmaps(predictor, data, Progress()))
    if cached is not None:
        cached.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cached, ious=made.ious, thresholds=made.thresholds, own=made.own)
    return made


def tables(path: Path, split: str, cache: Path | None) -> list[Candidate]:
    """The tables of all methods on one set, the label-free one first."""
    data = restricted(read_data(path, split), None, one_category=True)
    stem = f"{path.name}-{split}-{data_hash(data)}"
    return [table(name, data, cache and cache / f"{stem}-{name}.npz") for name in (REFERENCE, *METHODS)]


def only(one: Candidate, images: Int[np.ndarray, "image"]) -> Candidate:
    """A candidate on some of the images."""
    return replace(one, ious=one.ious[images])


def draw(candidates: list[Candidate], seed: int) -> dict[str, Any]:
    """What a draw of boxes chooses and promises, and its GT-known accuracy at IoU 0.5 on the other images."""
    order = np.random.default_rng(seed).permutation(len(candidates[0].ious))
    boxed, rest = np.sort(order[:BOXES]), np.sort(order[BOXES:])
    few = [only(one, boxed) for one in candidates]
    made = calibrate(few, few[0], {})
    best = next(one for one in candidates if one.method == made.method)
    unguarded = gt_known(np.asarray(best.ious[rest, int(np.argmin(np.abs(best.thresholds - made.threshold)))]))
    free = gt_known(candidates[0].at_own[rest])
    got = unguarded if made.chosen else free
    promised = made.rows()["chosen with boxes" if made.chosen else REFERENCE]
    low, high = promised["found_interval"]
    return {
        "method": made.method,
        "threshold": made.threshold,
        "p": made.p,
        "chosen": made.chosen,
        "promised": promised["found"],
        "interval": [low, high],
        "kept": bool(low <= got <= high),
        "calibrate": got,
        "without guard": unguarded,
        "auto": free,
    }


def main() -> None:
    """Measure the sets and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--split", default="train")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    made = {}
    for name in arguments.sets:
        candidates = tables(arguments.root / name, arguments.split, arguments.cache)
        draws = [draw(candidates, seed) for seed in range(DRAWS)]
        kinds = ("calibrate", "without guard", "auto", "promised", "chosen", "kept")
        means = {kind: float(np.mean([one[kind] for one in draws])) for kind in kinds}
        made[name] = {"images": len(candidates[0].ious), "mean": means, "draws": draws}
    content = {"calibrated": made, "boxes": BOXES, "split": arguments.split}
    write_json(arguments.out, content | provenance())


if __name__ == "__main__":
    main()
