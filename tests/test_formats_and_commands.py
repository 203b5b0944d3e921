"""Whatever boxless writes, every command that takes boxes reads: formats times commands, on photographs it found."""

import os
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from boxless.boxes.from_heatmap import Detections
from boxless.cli import app
from boxless.data.annotation_files import Truth, read_truth
from boxless.data.folder import read_data
from boxless.data.pseudo_boxes import with_found
from boxless.data.synthetic import make_scenes
from boxless.evaluation.score_files import score
from boxless.export import Format, write_boxes
from boxless.review.opening import opened

FORMATS = get_args(Format)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "photos of mine"
    make_scenes(folder, 8, kinds=("beetle", "star"), size=64, test=0.5, seed=3)
    for path in folder.glob("boxes*.csv"):
        path.unlink()
    deep = folder / "train" / "beetle" / "images"
    deep.mkdir()
    first = next(folder.glob("train/star/*.jpg"))
    name = os.fsdecode(b"caf\xe9.jpg")  # not UTF-8
    next(folder.glob("test/beetle/*.jpg")).rename(folder / "test" / "beetle" / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(first).resize((64, 48)).save(deep / "turned.jpg", exif=exif)
    return folder


@pytest.fixture(scope="module", params=FORMATS)
def found(request: pytest.FixtureRequest, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `find` wrote in one format."""
    out = tmp_path_factory.mktemp("found") / request.param
    with pytest.raises(SystemExit) as ended:
        app.meta(["find", str(photos), "--method", "contrast", "--out", str(out), "--format", request.param])
    assert not ended.value.code
    return out


@pytest.fixture(scope="module")
def truth(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """The boxes as csv has them, with every digit."""
    out = tmp_path_factory.mktemp("csv") / "found"
    with pytest.raises(SystemExit):
        app.meta(["find", str(photos), "--method", "contrast", "--out", str(out), "--format", "csv"])
    return read_truth(out)


def near(one: Truth, other: Truth, tolerance: float) -> None:
    """The same images with the same classes, and boxes that differ by at most `tolerance` pixels."""
    assert sorted(one.names) == sorted(other.names)
    for name in one.names:
        first, second = one.names.index(name), other.names.index(name)
        assert one.sizes[first] == other.sizes[second]
        labels = one.labels[first], other.labels[second]
        assert labels[0] is not None and labels[1] is not None
        assert one.classes[labels[0]] == other.classes[labels[1]]
        np.testing.assert_allclose(one.boxes[first], other.boxes[second], rtol=0, atol=tolerance)


TOLERANCE = {"csv": 0, "coco": 1e-4, "yolo": 1e-3, "voc": 0.5}
"""Pixels: VOC has whole ones."""


def test_read_as_truth(found: Path, truth: Truth) -> None:
    near(read_truth(found), truth, TOLERANCE[found.name])


def test_review_begins_with_all_of_them_and_names_who_found_them(found: Path, photos: Path, tmp_path: Path) -> None:
    with opened(found, photos, tmp_path / "reviewed") as review:
        proposals = review.review.proposals
        assert len(proposals) == len(read_data(photos, "all"))
        assert all(one.boxes and {box.source for box in one.boxes} == {"contrast"} for one in proposals)


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_reviewed_boxes_are_exported_and_read_again(
    found: Path, photos: Path, truth: Truth, to: str, tmp_path: Path
) -> None:
    with opened(found, photos, tmp_path / "reviewed") as review:
        for index, proposal in enumerate(review.review.proposals):
            assert proposal.size is not None
            review.review.decide(index, True, [box.place for box in proposal.boxes], proposal.size)
        out = review.export(to)  # type: ignore[arg-type]
    near(read_truth(out), truth, TOLERANCE[found.name] + TOLERANCE[to])


def test_psol_and_detectors_learn_from_them(found: Path, photos: Path) -> None:
    data = read_data(photos, "train")
    learnt = with_found(data, found)
    assert [sample.name for sample in learnt.samples] == [sample.name for sample in data.samples]
    assert all(sample.boxes is not None and sample.boxes.shape == (1, 4) for sample in learnt.samples)


def test_maps_are_scored_against_them(found: Path, truth: Truth, tmp_path: Path) -> None:
    for name, (width, height), boxes in zip(truth.names, truth.sizes, truth.boxes, strict=True):
        heat = np.zeros((height, width), np.float32)
        assert boxes is not None
        x0, y0, x1, y1 = np.rint(boxes[0]).astype(int)
        heat[y0:y1, x0:x1] = 1
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / f"{name}.npy", heat)
    measured = score(tmp_path, found).to_dict()["protocols"]["boxless"]
    assert measured["images"] == len(truth.names) and measured["metrics"]["mean"] > 99


@pytest.mark.parametrize("found", ["yolo"], indirect=True)
def test_a_yolo_export_is_evaluated_as_data(found: Path, photos: Path) -> None:
    data = read_data(found)
    assert data.labelled and len(data) == len(read_data(photos, "all"))
    assert all(sample.boxes is not None for sample in data.samples)


def test_boxes_without_scores_and_images_without_boxes_survive(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    Image.new("RGB", (20, 10)).save(tmp_path / "b.png")
    box, none = np.array([[1, 2, 3, 4]], np.float32), np.zeros((0, 4), np.float32)
    made = [
        Detections("a.png", (20, 10), box, np.array([np.nan], np.float32), "thing"),
        Detections("b.png", (20, 10), none, np.zeros(0, np.float32), "thing"),
    ]
    for format in FORMATS:
        write_boxes(made, tmp_path / format, format, ["thing"], pictures=tmp_path)
        truth = read_truth(tmp_path / format)
        assert truth.names == (["a.png"] if format == "csv" else ["a.png", "b.png"])
        assert truth.boxes[0] is not None and truth.boxes[0].tolist() == box.tolist()
        assert truth.boxes[1:] == ([] if format == "csv" else [None])
