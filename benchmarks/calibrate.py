"""What ten boxes are worth: `calibrate` on ten draws of ten images of each set, scored on the set's other images.

python benchmarks/calibrate.py DOMAINS cells spines profiles codes skin --cache tables --out result.json

The methods see all images of the split, as in use; the drawn boxes choose, and the boxes of the others only score.
--cache keeps the tables of IoUs, so that a change of the choice alone is measured in seconds.
"""

import argparse
import pickle
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from boxless.data.dataset import data_hash
from boxless.data.folder import read_data
from boxless.data.splits import restricted
from boxless.evaluation.calibrate import CHOSEN, REFERENCE, Candidate, calibrate, candidates_of
from boxless.evaluation.metrics import Ious, accuracy, hits
from boxless.inference.factory import discoverer
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance

DRAWS = 10


def tables(path: Path, split: str, cache: Path | None) -> list[Candidate]:
    """The tables of all methods on one set, the label-free one first; from the folder `cache` where they are."""
    data = restricted(read_data(path, split), None, one_category=True)
    held = None if cache is None else cache / f"{path.name}-{split}-{data_hash(data)}.pickle"
    if held is not None and held.exists():
        made: list[Candidate] = pickle.loads(held.read_bytes())
        return made
    made, _ = candidates_of(data, discoverer, lambda title: nullcontext(Progress()))
    if held is not None:
        held.parent.mkdir(parents=True, exist_ok=True)
        held.write_bytes(pickle.dumps(made))
    return made


def only(one: Candidate, images: Int[np.ndarray, "image"]) -> Candidate:
    """A candidate on some of the images."""
    return replace(one, ious=one.ious[images])


def found(ious: Ious) -> float:
    """GT-known accuracy at IoU 0.5, in per cent."""
    return float(accuracy(hits(ious)))


def draw(candidates: list[Candidate], boxes: int, seed: int) -> dict[str, Any]:
    """What a draw of boxes chooses and promises, and its GT-known accuracy at IoU 0.5 on the other images."""
    order = np.random.default_rng(seed).permutation(len(candidates[0].ious))
    boxed, rest = np.sort(order[:boxes]), np.sort(order[boxes:])
    few = [only(one, boxed) for one in candidates]
    made = calibrate(few, few[0], {})
    best = next(one for one in candidates if one.method == made.method)
    unguarded = found(np.asarray(best.ious[rest, int(np.argmin(np.abs(best.thresholds - made.threshold)))]))
    free = found(candidates[0].at_own[rest])
    got = unguarded if made.chosen else free
    promised = made.rows()[CHOSEN if made.chosen else REFERENCE]
    low, high = promised["found_interval"]
    return {
        "method": made.method,
        "threshold": made.threshold,
        "p": made.p,
        "chosen": made.chosen,
        "promised": promised["found"],
        "interval": [low, high],
        "kept": bool(low - 1e-6 <= got <= high + 1e-6),
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
    parser.add_argument("--boxes", type=int, default=10)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    made = {}
    for name in arguments.sets:
        candidates = tables(arguments.root / name, arguments.split, arguments.cache)
        draws = [draw(candidates, arguments.boxes, seed) for seed in range(DRAWS)]
        kinds = ("calibrate", "without guard", "auto", "promised", "chosen", "kept")
        means = {kind: float(np.mean([one[kind] for one in draws])) for kind in kinds}
        made[name] = {"images": len(candidates[0].ious), "mean": means, "draws": draws}
    content = {"calibrated": made, "boxes": arguments.boxes, "split": arguments.split}
    write_json(arguments.out, content | provenance())


if __name__ == "__main__":
    main()
