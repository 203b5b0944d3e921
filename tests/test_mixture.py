"""Two kinds in one folder are said, and one kind is not called two."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from boxless.data.folder import read_data
from boxless.data.synthetic import make_scenes
from boxless.discovery.mixture import APART, FEWEST, apartness, words
from boxless.inference.factory import discoverer
from boxless.inference.predict_folder import predict_folder
from boxless.runtime.progress import Progress


def cloud(rng, count, *, stretched=1.0):
    """Points of one kind in a hundred dimensions, longer in some than in others."""
    return (rng.standard_normal((count, 100)) * np.geomspace(stretched, 1, 100)).astype(np.float32)


@pytest.mark.parametrize("stretched", [1.0, 5.0])
def test_one_cloud_is_one_kind(stretched):
    rng = np.random.default_rng(0)
    assert max(apartness(cloud(rng, 40, stretched=stretched)) for _ in range(4)) < APART


@pytest.mark.parametrize("count", [20, 10])
def test_two_clouds_are_two_kinds_though_one_is_small(count):
    rng = np.random.default_rng(1)
    for _ in range(3):
        other = cloud(rng, count)
        other[:, 50:60] += 4
        assert apartness(np.concatenate([cloud(rng, 40), other])) > APART


def test_few_images_and_images_all_alike_say_nothing():
    apart = np.zeros((FEWEST, 8), np.float32)
    assert words(apart) == ""
    apart[: FEWEST // 2] = 1
    assert words(apart) and not words(apart[1:])


def add_micrographs(folder: Path, count: int) -> None:
    """Pale pictures with a few dark discs."""
    rng = np.random.default_rng(0)
    for index in range(count):
        picture = rng.normal(225, 4, (96, 96, 3)).astype(np.float32)
        for x, y in rng.integers(10, 86, (12, 2)).tolist():
            cv2.circle(picture, (x, y), 7, (150, 90, 140), -1)
        cv2.imwrite(str(folder / f"{index}.png"), picture)


def test_find_says_it_and_splits_nothing(tmp_path):
    make_scenes(tmp_path / "photos", 16, size=96, test=0.0)
    folder = tmp_path / "photos" / "train" / "beetle"
    found = {}
    for name in ("one", "two"):
        out = tmp_path / name
        summary = predict_folder(
            discoverer("auto"), read_data(tmp_path / "photos", "all"), out, Progress(), format="csv"
        )
        found[name] = [line for line in summary.words() if "two kinds" in line]
        assert json.loads((out / "summary.json").read_text())["notes"]["beetle"]["choice"]
        (tmp_path / "photos" / "boxes_train.csv").unlink(missing_ok=True)
        if name == "one":
            add_micrographs(folder, 16)
    assert found["one"] == [] and len(found["two"]) == 1 and found["two"][0].startswith("beetle: its images look like")
    assert set(summary.notes) == {"beetle"}
