"""A box for each object: `find --multiple` of this checkout and of another one on the same boxed images, scored alike.

    python benchmarks/several.py ../before SCENES [--split test] [--out several.json]

The images of a split of a data folder are searched by both, each in a process of its own with only the path of the
package different; this checkout's evaluation scores both. The seconds are the processor's (user and system), of the
whole command.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from boxless.data.annotation_files import parse_annotations
from boxless.data.annotations import stacked
from boxless.data.folder import read_data
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
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    truth = read_data(asked.data, asked.split)
    samples = [sample for sample in truth.samples if sample.boxes is not None]
    draws, results = {}, {}
    weights = np.random.default_rng(0).multinomial(len(samples), np.full(len(samples), 1 / len(samples)), DRAWS)
    with tempfile.TemporaryDirectory() as room:
        for name, checkout in {"this": HERE, "before": asked.other.resolve()}.items():
            seconds = search(checkout, asked.data / asked.split, Path(room) / name)
            found = read_found(Path(room) / name, [sample.name.partition("/")[2] for sample in samples])
            sizes = [sample.size or (0, 0) for sample in samples]
            matches, values = match(found, sizes, [sample.boxes for sample in samples], [NONE] * len(samples))
            draws[name] = resampled(matches, weights)
            results[name] = figures(matches, values, draws[name]) | counting(found, matches) | {"seconds": seconds}
    gain = np.percentile(draws["this"][:, 0] - draws["before"][:, 0], [2.5, 97.5])
    content = {**provenance(), "data": asked.data.name, "split": asked.split, "images": len(samples), **results}
    content["this minus before"] = {"AP.5 low": float(gain[0]), "AP.5 high": float(gain[1])}
    print(json.dumps(content, indent=1))
    if asked.out:
        write_json(asked.out, content)


def search(checkout: Path, photos: Path, out: Path) -> float:
    """Processor seconds of one search for several objects."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["-m", "boxless", "find", str(photos), "--multiple", "--precision", "fp32", "--out", str(out)]
    subprocess.run([sys.executable, *command], check=True, env=os.environ | {"PYTHONPATH": str(checkout / "src")})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def read_found(folder: Path, names: list[str]) -> list[tuple[Any, Any]]:
    """The boxes and scores of every image; nothing for one in which nothing was found."""
    written = {sample.name: sample.written for sample in parse_annotations(folder).samples}
    found = []
    for name in names:
        boxes = stacked(one.box for one in written.get(name, ()))
        scores = np.array([one.score or 0 for one in written.get(name, ())], np.float32)
        found.append((NONE if boxes is None else boxes, scores))
    return found


def figures(matches: Any, values: Any, draws: Any) -> dict[str, float]:
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
