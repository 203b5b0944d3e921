from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import Float

from boxless.data import synthetic
from boxless.data.folder import read_data, splits
from boxless.data.images import read_picture
from boxless.data.synthetic import LARGEST, SMALLEST, make_group, make_scene, make_scenes
from boxless.data.synthetic_objects import KINDS
from boxless.runtime.errors import BoxlessError, UsageError


def scene(kind: str, index: int, size: int = 64) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    return make_scene(np.random.default_rng([0, index]), kind, size)


@pytest.fixture(scope="module")
def truths() -> Float[np.ndarray, "box 4"]:
    """Boxes of 240 scenes as fractions of the picture."""
    kinds = list(KINDS)
    return np.array([scene(kinds[index % len(kinds)], index)[1] for index in range(240)]) / 64


def hits(box: tuple[float, ...], truths: Float[np.ndarray, "box 4"], at: float) -> float:
    """The fraction of truths that one constant box finds."""
    low, high = np.maximum(box[:2], truths[:, :2]), np.minimum(box[2:], truths[:, 2:])
    both = np.clip(high - low, 0, None).prod(1)
    area = (box[2] - box[0]) * (box[3] - box[1]) + (truths[:, 2:] - truths[:, :2]).prod(1)
    return float((both / (area - both) >= at).mean())


def test_a_folder_that_reads_back(tmp_path: Path) -> None:
    make_scenes(tmp_path / "scenes", 16, kinds=("star", "leaf"), size=64, seed=3)
    assert splits(tmp_path / "scenes") == ["train", "test"]
    train, test = (read_data(tmp_path / "scenes", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (12, 4)
    assert train.classes == test.classes == ["leaf", "star"]
    for sample in train.samples + test.samples:
        assert sample.boxes is not None
        assert sample.boxes.shape == (1, 4)
        assert sample.size == (64, 64)
        assert read_picture(train.source.read(sample.name), sample.name).shape == (64, 64, 3)


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_scenes(tmp_path / name, 4, size=48, seed=seed)
    content = {
        name: {str(file.relative_to(tmp_path / name)): file.read_bytes() for file in (tmp_path / name).rglob("*.*")}
        for name in "abc"
    }
    assert content["a"] == content["b"]
    assert content["a"].keys() == content["c"].keys()
    assert all(content["a"][name] != content["c"][name] for name in content["a"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("index", range(4))
def test_the_box_is_tight_around_what_the_object_covers(kind: str, index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repainting the object alone, the last thing in a scene, changes pixels inside the box only, up to its edges."""
    painted = 0
    rasterise = synthetic._rasterise

    def counting(*arguments: Any) -> Any:
        nonlocal painted
        painted += 1
        return rasterise(*arguments)

    monkeypatch.setattr(synthetic, "_rasterise", counting)
    before, box = scene(kind, index, 96)
    last, painted = painted, 0

    def repainting(*arguments: Any) -> Any:
        colours, cover = counting(*arguments)
        return (cover[..., None] * (colours < 0.5 * cover[..., None]) if painted == last else colours), cover

    monkeypatch.setattr(synthetic, "_rasterise", repainting)
    after, same = scene(kind, index, 96)
    assert box == same
    rows, columns = np.nonzero(np.abs(before.astype(int) - after).max(2) > 20)
    changed = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.abs(np.subtract(changed, box)).max() <= 2  # the blur of the lens


def test_no_constant_box_fits(truths: Float[np.ndarray, "box 4"]) -> None:
    centred = [
        hits((0.5 - w / 2, 0.5 - h / 2, 0.5 + w / 2, 0.5 + h / 2), truths, 0.5)
        for w in np.linspace(0.1, 1, 19)
        for h in np.linspace(0.1, 1, 19)
    ]
    assert max(centred) <= 0.35
    assert hits((0, 0, 1, 1), truths, 0.5) <= 0.10


def test_objects_are_everywhere_and_of_every_size(truths: Float[np.ndarray, "box 4"]) -> None:
    assert truths.min() >= 0
    assert truths.max() <= 1
    extent = (truths[:, 2:] - truths[:, :2]).max(1)
    assert extent.min() >= SMALLEST - 2 / 64
    assert extent.max() <= LARGEST + 2 / 64
    assert np.percentile(extent, 90) - np.percentile(extent, 10) > 0.2
    for axis in (0, 1):
        centre = (truths[:, axis] + truths[:, axis + 2]) / 2
        assert np.histogram(centre, 4, (0.2, 0.8))[0].min() > 24


def test_kinds_do_not_differ_in_place_and_background() -> None:
    made = {kind: [scene(kind, index, 32) for index in range(60)] for kind in KINDS}
    centres = [np.mean([np.add(box[:2], box[2:]) for _, box in found], 0) / 64 for found in made.values()]
    assert np.abs(np.array(centres) - 0.5).max() < 0.08
    corners = [np.mean([picture[:2, :2].mean() for picture, _ in found]) for found in made.values()]
    assert max(corners) - min(corners) < 10


def test_pictures_are_neither_flat_nor_blown_out() -> None:
    for index in range(30):
        picture, _ = scene("beetle", index)
        assert 15 < picture.mean() < 230
        assert picture.std() > 8


def test_wrong_requests(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no kind of object called 'dragon'"):
        make_scenes(tmp_path / "a", 4, kinds=("dragon",))
    with pytest.raises(UsageError, match="of 8 pixels"):
        make_scenes(tmp_path / "a", 4, size=8)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").touch()
    with pytest.raises(BoxlessError, match="not an empty folder"):
        make_scenes(tmp_path / "used", 4)
    assert [file.name for file in (tmp_path / "used").iterdir()] == ["mine.txt"]


def test_groups_touch_but_hide_little_of_each_other() -> None:
    touching = 0
    for index in range(20):
        picture, boxes = make_group(np.random.default_rng([1, index]), "beetle", 128, 5)
        corners = np.array(boxes, float)
        assert len(boxes) == 5 and (corners >= 0).all() and (corners <= 128).all() and picture.shape == (128, 128, 3)
        low, high = np.maximum(corners[:, None, :2], corners[:, :2]), np.minimum(corners[:, None, 2:], corners[:, 2:])
        shared = np.clip(high - low, 0, None).prod(2)
        areas = (corners[:, 2:] - corners[:, :2]).prod(1)
        part = (shared / np.minimum(areas[:, None], areas))[np.triu_indices(5, 1)]
        assert part.max() < 0.6
        touching += int(part.max() > 0)
    assert touching > 10


def test_a_group_s_boxes_are_rows_of_one_picture(tmp_path: Path) -> None:
    make_scenes(tmp_path / "scenes", 12, size=64, test=0, objects=8)
    counts = [
        len(sample.boxes) for sample in read_data(tmp_path / "scenes", "train").samples if sample.boxes is not None
    ]
    assert len(counts) == 12 and min(counts) >= 1 and 4 <= max(counts) <= 8
    with pytest.raises(UsageError, match="0 objects"):
        make_scenes(tmp_path / "none", 1, objects=0)
