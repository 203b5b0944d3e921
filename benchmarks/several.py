"""A box for each object: `find --multiple` of this checkout and of another one on the same boxed images, scored alike.

    python benchmarks/several.py ../before SCENES [--split test] [--room FOLDER] [--out several.json]

The images of a split of a data folder are searched by both, each in a process of its own with only the path of the
package different; this checkout's evaluation scores both, and boxes that no method made: the whole image, a centred box
of 0.8 x 0.8 of it, the one box of this checkout's `find`, and the boxes of another image. What the searches wrote into
--room is taken up when it is given again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from boxless.data.annotation_files import parse_annotations
from boxless.data.annotations import stacked
from boxless.data.folder import read_data
from boxless.evaluation.baselines import centred_box, derangement
from boxless.evaluation.detection import DRAWS, METRICS, match, resampled
from boxless.runtime.files import write_json
from boxless.runtime.provenance import provenance

HERE = Path(__file__).resolve().parents[1]
NONE = np.zeros((0, 4), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--room", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    samples = [sample for sample in read_data(asked.data, asked.split).samples if sample.boxes is not None]
    with tempfile.TemporaryDirectory() as made:
        room = asked.room or Path(made)
        photos, names = asked.data / asked.split, [sample.name.partition("/")[2] for sample in samples]
        found = {
            "this": read_found(search(HERE, photos, room / "this", "--multiple"), names),
            "before": read_found(search(asked.other.resolve(), photos, room / "before", "--multiple"), names),
            "one box": read_found(search(HERE, photos, room / "one"), names),
        }
    sizes = [sample.size or (0, 0) for sample in samples]
    score = np.ones(1, np.float32)
    found["whole image"] = [(centred_box(size, (1, 1)), score) for size in sizes]
    found["centred box"] = [(centred_box(size), score) for size in sizes]
    found["another image's boxes"] = [found["this"][other] for other in derangement(len(samples))]
    weights = np.random.default_rng(0).multinomial(len(samples), np.full(len(samples), 1 / len(samples)), DRAWS)
    draws, results = {}, {}
    for name, boxes in found.items():
        matches, values = match(boxes, sizes, [sample.boxes for sample in samples], [NONE] * len(samples))
        draws[name] = resampled(matches, weights)
        results[name] = figures(matches, values, draws[name]) | counting(boxes, matches)
        if name == "this":
            results[name]["reliability"] = matches.reliability()
    gain = np.percentile(draws["this"][:, 0] - draws["before"][:, 0], [2.5, 97.5])
    content = {**provenance(), "data": asked.data.name, "split": asked.split, "images": len(samples), **results}
    content["this minus before"] = {"AP.5 low": float(gain[0]), "AP.5 high": float(gain[1])}
    print(json.dumps(content, indent=1))
    if asked.out:
        write_json(asked.out, content)


def search(checkout: Path, photos: Path, out: Path, *more: str) -> Path:
    """The folder of one search, which is not done again where it was finished."""
    command = ["-m", "boxless", "find", str(photos), "--precision", "fp32", "--out", str(out), "--resume", *more]
    subprocess.run([sys.executable, *command], check=True, env=os.environ | {"PYTHONPATH": str(checkout / "src")})
    return out


def read_found(folder: Path, names: list[str]) -> list[tuple[Any, Any]]:
    """The boxes and scores of every image; nothing for one in which nothing was found."""
    written = {sample.name: sample.written for sample in parse_annotations(folder).samples}
    found = []
    for name in names:
        boxes = stacked(one.box for one in written.get(name, ()))
        scores = np.array([one.score or 0 for one in written.get(name, ())], np.float32)
        found.append((NONE if boxes is None else boxes, scores))
    return found


def figures(matches: Any, values: Any, draws: Any) -> dict[str, Any]:
    """METRICS with their intervals in percent, and recall at IoU .7 of up to 100 boxes per image."""
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    told = {}
    for k, name in enumerate(METRICS):
        told |= {name: float(values[k]), f"{name} low": float(low[k]), f"{name} high": float(high[k])}
    return told | {"recall at .7": float(100 * matches.hit[:, 4].sum() / matches.true.sum())}


def counting(found: list[tuple[Any, Any]], matches: Any) -> dict[str, float]:
    """Found minus true boxes per image: the mean, and the mean of its size."""
    error = np.array([len(boxes) for boxes, _ in found]) - matches.true
    return {"found minus true": float(error.mean()), "off by": float(np.abs(error).mean())}


if __name__ == "__main__":
    main()
