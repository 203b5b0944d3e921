"""A box for each object: searches of one boxed data set, scored alike.

    python benchmarks/several.py SCENES --before ../before [--split test] [--room FOLDER] [--out several.json]
    python benchmarks/several.py SCENES --search "--method contrast --multiple" --search "--multiple --tiles 288" ...
    python benchmarks/several.py SCENES --runs 3 --precision auto ...

The images of a split of a data folder are searched by `find --multiple` of this checkout, and, with --before, of
another one, with only the path of the package different; and by `find` with the words of every --search. This
checkout's evaluation scores all, and boxes that no method made: the whole image, a centred box of 0.8 x 0.8 of it, the
one box of this checkout's `find`, and the boxes of another image. Beside the scores stand processor seconds per image,
start included, and the most memory at a time; with --runs the medians of that many, of which each does every search
once. What the searches wrote into --room is taken up when it is given again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import product
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
    parser.add_argument("data", type=Path)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--search", action="append", default=[])
    parser.add_argument("--split", default="test")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--room", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    samples = [sample for sample in read_data(asked.data, asked.split).samples if sample.boxes is not None]
    with tempfile.TemporaryDirectory() as made:
        room = asked.room or Path(made)
        photos, names = asked.data / asked.split, [sample.name.partition("/")[2] for sample in samples]
        searches = {"this": (HERE, "--multiple"), "one box": (HERE, "")}
        if asked.before:
            searches["before"] = asked.before.resolve(), "--multiple"
        searches |= {words: (HERE, words) for words in asked.search}
        for run, (name, (checkout, words)) in product(range(asked.runs), searches.items()):
            folder = room / f"{name.replace(' ', '')}{run or ''}"
            search(checkout, photos, folder, *words.split(), precision=asked.precision)
        found, spent = {}, {}
        for name in searches:
            folders = [room / f"{name.replace(' ', '')}{run or ''}" for run in range(asked.runs)]
            found[name] = read_found(folders[0], names)
            if all(spent_on(folder).exists() for folder in folders):
                spent[name] = median_of([json.loads(spent_on(folder).read_text()) for folder in folders])
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
        if name in spent:
            results[name]["processor seconds per image"] = spent[name]["seconds"] / len(samples)
            results[name]["megabytes"] = spent[name]["megabytes"]
        if name == "this":
            results[name]["reliability"] = matches.reliability()
    content = {**provenance(), "data": asked.data.name, "split": asked.split, "images": len(samples)}
    content |= {"runs": asked.runs, "precision": asked.precision, **results}
    if asked.search:
        content["searches"] = list(searches)
    if asked.before:
        gain = np.percentile(draws["this"][:, 0] - draws["before"][:, 0], [2.5, 97.5])
        content["this minus before"] = {"AP.5 low": float(gain[0]), "AP.5 high": float(gain[1])}
    print(json.dumps(content, indent=1))
    if asked.out:
        write_json(asked.out, content)


def search(checkout: Path, photos: Path, out: Path, *more: str, precision: str = "fp32") -> Path:
    """The folder of one search, which is not done again where it was finished."""
    command = ["-m", "boxless", "find", str(photos), "--precision", precision, "--out", str(out), "--resume", *more]
    done = (out / "summary.json").exists()
    process = subprocess.Popen([sys.executable, *command], env=os.environ | {"PYTHONPATH": str(checkout / "src")})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    if not done:
        spent = {"seconds": used.ru_utime + used.ru_stime, "megabytes": used.ru_maxrss * 1024 / 1e6}
        write_json(spent_on(out), spent)
    return out


def median_of(spent: list[dict[str, float]]) -> dict[str, float]:
    """Of what each of some runs spent."""
    return {name: float(np.median([one[name] for one in spent])) for name in spent[0]}


def spent_on(out: Path) -> Path:
    """Beside the folder of a search: processor seconds of all threads together, and the most memory at a time."""
    return out.parent / f"{out.name}-spent.json"


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
