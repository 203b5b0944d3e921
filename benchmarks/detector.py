"""Does `train detector` beat the boxes that taught it? On images that it was not trained on, beside its controls.

    python benchmarks/detector.py SMEAR [--room FOLDER] [--out detector.json]
    python benchmarks/detector.py FOLDER --scenes 7 [--room FOLDER] [--out detector.json]

`find --multiple` searches the training images of a data folder, a detector with its defaults learns what that found,
and predicts on the test images. `find --multiple` on these, the same network untrained and the boxes of another image
stand beside it, all scored alike. --scenes makes the data first: pictures of one to eight objects, by that seed, half
of them for the test. What was written into --room is taken up when it is given again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from several import HERE, NONE, counting, figures, read_found, search

from boxless.boxes.suppression import given
from boxless.data.dataset import Dataset
from boxless.data.folder import read_data
from boxless.data.synthetic import make_scenes
from boxless.evaluation.baselines import derangement
from boxless.evaluation.detection import DRAWS, METRICS, match, resampled
from boxless.inference.factory import trained, untrained
from boxless.inference.predictors import Predictor
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance

SCENES, SIDE, OBJECTS = 160, 384, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--scenes", type=int)
    parser.add_argument("--room", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.scenes is not None and not asked.data.exists():
        make_scenes(asked.data, SCENES, size=SIDE, test=0.5, seed=asked.scenes, objects=OBJECTS)
    there = read_data(asked.data, "test")
    test = replace(there, samples=[sample for sample in there.samples if sample.boxes is not None])
    with tempfile.TemporaryDirectory() as made:
        room = asked.room or Path(made)
        taught = search(HERE, asked.data / "train", room / "taught", "--multiple")
        run = learn(asked.data / "train", taught, room / "run")
        names = [sample.name.partition("/")[2] for sample in test.samples]
        predictor = trained(run, precision="fp32")
        found = {
            "detector": predicted(predictor, test),
            "find --multiple": read_found(search(HERE, asked.data / "test", room / "found", "--multiple"), names),
            "untrained network": predicted(untrained(predictor, test), test),
        }
    found["another image's boxes"] = [found["detector"][other] for other in derangement(len(test))]
    sizes, truths = [sample.size or (0, 0) for sample in test.samples], [sample.boxes for sample in test.samples]
    weights = np.random.default_rng(0).multinomial(len(test), np.full(len(test), 1 / len(test)), DRAWS)
    draws, results = {}, {}
    for name, boxes in found.items():
        matches, values = match(boxes, sizes, truths, [NONE] * len(test))
        draws[name] = resampled(matches, weights)
        results[name] = figures(matches, values, draws[name]) | counting(boxes, matches)
    gain = np.percentile(draws["detector"] - draws["find --multiple"], [2.5, 97.5], axis=0)
    content = {**provenance(), "data": asked.data.name, "split": "test", "images": len(test), **results}
    content["detector minus find --multiple"] = {
        name: gain[:, place].tolist() for place, name in enumerate(METRICS[:2])
    }
    content["training images"] = len(read_data(asked.data / "train").samples)
    print(json.dumps(content, indent=1))
    if asked.out:
        write_json(asked.out, content)


def learn(photos: Path, boxes: Path, out: Path) -> Path:
    """The run of a training with the defaults, which is not done again where it was finished."""
    command = ["-m", "boxless", "train", "detector", str(photos), "--boxes", str(boxes), "--precision", "fp32"]
    resume = ["--resume"] if (out / "last.pt").exists() else []
    environment = os.environ | {"PYTHONPATH": str(HERE / "src")}
    subprocess.run([sys.executable, *command, "--out", str(out), *resume], check=True, env=environment)
    return out


def predicted(predictor: Predictor | None, test: Dataset) -> list[Any]:
    """What `predict --multiple` gives for each image."""
    assert predictor is not None
    maps = predictor.maps(test, Progress())
    return [given(mapped.found, mapped.size, multiple=True) for mapped in maps if mapped.found is not None]


if __name__ == "__main__":
    main()
