"""What `check` and `find` say of folders whose content is known: unlike ImageNet or not, one kind of thing or two.

python benchmarks/check.py --photographs cub10 tiny28 --others domains/cells domains/skin --cache seen --out result.json

Training halves, 64 images of each category. Of every pair of categories 30 images each are mixed. --cache keeps what
was seen of each category.
"""

import argparse
import pickle
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32

from boxless.backbones.familiarity import STRANGE, Recorder
from boxless.data.folder import read_data
from boxless.discovery.discriminant import Discriminant
from boxless.discovery.mixture import APART, apartness
from boxless.inference.factory import discoverer
from boxless.inference.preview import SAMPLE
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance

HALF = 30


class Seen(NamedTuple):
    """What the network saw of a category."""

    distance: float
    confidence: float
    means: Float32[np.ndarray, "image d"]


def seen(root: Path, cache: Path | None) -> Iterator[tuple[str, Seen]]:
    """Every category of a data set by its name, and what was seen of it."""
    data = read_data(root, "train")
    for label, category in enumerate(data.classes):
        name = f"{root.name} {category}"
        file = None if cache is None else cache / f"{name}.pickle"
        if file is None or not file.exists():
            samples = [sample for sample in data.samples if sample.label == label]
            places = np.unique(np.linspace(0, len(samples) - 1, SAMPLE).round().astype(int))
            predictor = discoverer("auto")
            assert isinstance(predictor.method, Discriminant)
            recorder = Recorder(predictor.method.backbone)
            list(predictor.maps(replace(data, samples=[samples[place] for place in places]), Progress()))
            found = recorder.result()
            descriptors = predictor.method.sampled.stacked().float()
            means = torch.split(descriptors, predictor.method.parts, dim=1)[1].mean((2, 3)).numpy()
            made = Seen(found.distance, found.confidence, means)
            if file is None:
                yield name, made
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(pickle.dumps(tuple(made)))
        yield name, Seen(*pickle.loads(file.read_bytes()))


def main() -> None:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, nargs="+", default=[])
    parser.add_argument("--others", type=Path, nargs="+", default=[])
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    photographs, others = (
        dict(pair for root in roots for pair in seen(root, arguments.cache))
        for roots in (arguments.photographs, arguments.others)
    )
    if arguments.out is None:
        return
    strange = {"photographs": photographs, "others": others}
    content = {
        f"distance from ImageNet, limit {STRANGE:g}": {
            kind: {
                "categories": len(group),
                "above the limit": sum(one.distance >= STRANGE for one in group.values()),
                "lowest": min(one.distance for one in group.values()),
                "highest": max(one.distance for one in group.values()),
            }
            for kind, group in strange.items()
        },
        "others": {name: {"distance": one.distance, "confidence": one.confidence} for name, one in others.items()},
        f"called two kinds, limit {APART:g}": {
            **{f"{kind}, single": called([one.means for one in group.values()]) for kind, group in strange.items()},
            "photographs, pairs of one data set": called(pairs(photographs, photographs, alike=True)),
            "photographs, pairs of two data sets": called(pairs(photographs, photographs, alike=False)),
            "pairs with one of the others": called([*pairs(others, photographs), *pairs(others, others)]),
        },
    }
    write_json(arguments.out, content | provenance())


def pairs(
    ones: dict[str, Seen], others: dict[str, Seen], alike: bool | None = None
) -> list[Float32[np.ndarray, "image d"]]:
    """Mixed pairs, each once; of one data set or of two where that is asked."""
    chosen = combinations(ones, 2) if ones is others else product(ones, others)
    return [
        np.concatenate([ones[one].means[:HALF], others[other].means[:HALF]])
        for one, other in chosen
        if alike is None or (one.split()[0] == other.split()[0]) == alike
    ]


def called(folders: list[Float32[np.ndarray, "image d"]]) -> dict[str, int]:
    """Of how many folders it is said."""
    return {"folders": len(folders), "called two": sum(apartness(means) >= APART for means in folders)}


if __name__ == "__main__":
    main()
