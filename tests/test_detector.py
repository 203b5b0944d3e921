"""A detector learns several noisy boxes per image better than they are, and gives boxes that need no map."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from squares import quick, whole_and_resumed

from boxless import load
from boxless.backbones import build_backbone
from boxless.boxes.from_heatmap import find_boxes
from boxless.boxes.suppression import given
from boxless.cli import app
from boxless.data.box_views import seen, seen_boxes
from boxless.data.dataset import Boxes, Dataset, Sample
from boxless.data.pseudo_boxes import with_found
from boxless.data.sources import FolderSource
from boxless.data.synthetic import make_scenes
from boxless.evaluation.detection import match
from boxless.inference.factory import trained
from boxless.methods.detector import Detector, Places, losses, merged
from boxless.methods.training import train_regressor
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.progress import Progress

SIDE = 48
HEAD = {"width": 32, "convs": 1}
LITE0 = {"backbone": "lite0", "weights": "imagenet", "freeze": "all", "stride": 32, "size": 96, "resize": 96}
NONE = np.zeros((0, 4), np.float32)


def make_groups(root: Path, count: int, *, seed: int = 0) -> Dataset:
    """Pictures of one to four red squares, with blue ones among them, on grey noise."""
    rng, samples = np.random.default_rng(seed), []
    for index in range(count):
        picture = rng.normal(110, 25, (SIDE, SIDE, 3))
        boxes: list[list[int]] = []
        for turn in range(int(rng.integers(3, 7))):
            side = int(rng.integers(8, 15))
            x, y = (int(value) for value in rng.integers(0, SIDE - side + 1, 2))
            if any(x < b[2] and b[0] < x + side and y < b[3] and b[1] < y + side for b in boxes):
                continue
            red = turn < 4
            picture[y : y + side, x : x + side] = (220, 40, 40) if red else (40, 60, 220)
            boxes += [[x, y, x + side, y + side]] if red else []
        name = f"{index:03d}.png"
        root.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(root / name)
        samples.append(Sample(name, None, np.array(boxes, np.float32), (SIDE, SIDE)))
    return Dataset(FolderSource(root), samples)


def spoiled(dataset: Dataset, path: Path, seed: int = 0) -> tuple[Path, list[tuple[Boxes, Any]]]:
    """A boxes.csv of true boxes with every side moved, three of ten left out and wrong ones among them; the same."""
    rng, rows, found = np.random.default_rng(seed), ["image,class,width,height,x0,y0,x1,y1"], []
    for sample in dataset.samples:
        true = NONE if sample.boxes is None else sample.boxes
        kept = true[rng.random(len(true)) < 0.7]
        corner = rng.uniform(0, SIDE - 12, (int(rng.random() < 0.5), 2))
        boxes = np.concatenate([kept + rng.uniform(-2.5, 2.5, kept.shape), np.hstack([corner, corner + 10])])
        boxes = np.clip(boxes, 0, SIDE).astype(np.float32)
        rows += [f"{sample.name},object,{SIDE},{SIDE},{','.join(f'{side:.2f}' for side in box)}" for box in boxes]
        found.append((boxes, np.ones(len(boxes), np.float32)))
    path.write_text("\n".join(rows) + "\n")
    return path, found


def precision(found: list[tuple[Boxes, Any]], dataset: Dataset) -> float:
    """AP at IoU .5 in percent."""
    truths = [NONE if sample.boxes is None else sample.boxes for sample in dataset.samples]
    return float(match(found, [(SIDE, SIDE)] * len(truths), truths, [NONE] * len(truths))[1][0])


def small(**settings: Any) -> Any:
    return quick(**({"stride": 8, "size": SIDE, "resize": SIDE, "batch_size": 4} | settings))


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_groups(tmp_path_factory.mktemp("groups"), 60)


@pytest.fixture
def found(groups: Dataset, tmp_path: Path) -> Path:
    return spoiled(groups, tmp_path / "found.csv")[0]


def test_it_finds_several_objects_in_images_it_never_saw(groups: Dataset, tmp_path: Path) -> None:
    train, test = (replace(groups, samples=groups.samples[part]) for part in (slice(0, 40), slice(40, 60)))
    path, _ = spoiled(train, tmp_path / "found.csv")
    how = small(**LITE0, epochs=6, lr=4e-3, head_factor=10.0)
    out = train_regressor("detector", HEAD | {"round": 4, "keep": 0.1}, train, path, how, tmp_path / "run")
    predictor = trained(out)
    mapped = list(predictor.maps(test, Progress()))
    found = [given(one.found, (SIDE, SIDE), multiple=True) for one in mapped if one.found is not None]
    assert precision(found, test) > max(30, 5 * precision(found[1:] + found[:1], test))
    for one, (boxes, _) in zip(mapped, found, strict=True):  # what reads maps alone gets the best box
        read, _ = find_boxes(one.heat, (SIDE, SIDE), 0.5, normalisation="none")
        assert len(read) == 1 and np.abs(read - boxes[:1]).max() < 1.5


@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_a_run_that_was_stopped_ends_as_the_one_that_was_not(
    how: str, groups: Dataset, found: Path, tmp_path: Path
) -> None:
    train = replace(groups, samples=groups.samples[:12])
    head, how_long = HEAD | {"round": 1, "doubt": 0.0}, small(epochs=3)
    # stopped within the second round
    runs = whole_and_resumed("detector", head, train, found, how_long, tmp_path, how, at=4)
    one, other = (run["model"] for run in runs)
    assert int(one["taught"]) == 2
    assert all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("", "has no rows"),
        ("000.png,a,48,48,,,,\n", "has no boxes"),
        ("nowhere.png,a,48,48,1,1,9,9\n", r"nowhere\.png', which is not in .* such as 000\.png"),
        ("000.png,a,48,48,1,1,9,9\n", r"boxes for 1 of the 60 training images. Expected boxes for 5 or more"),
    ],
)
def test_boxes_that_cannot_be_learnt_from(rows: str, sentence: str, groups: Dataset, tmp_path: Path) -> None:
    (tmp_path / "found.csv").write_text("image,class,width,height,x0,y0,x1,y1\n" + rows)
    with pytest.raises(BoxlessError, match=sentence):
        train_regressor("detector", HEAD, groups, tmp_path / "found.csv", small(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_all_boxes_of_an_image_are_learnt(groups: Dataset, tmp_path: Path) -> None:
    path, boxes = spoiled(groups, tmp_path / "found.csv")
    learnt = with_found(groups, path, several=True)
    counts = {sample.name: len(one) for sample, (one, _) in zip(groups.samples, boxes, strict=True)}
    assert all(sample.boxes is not None and len(sample.boxes) == counts[sample.name] for sample in learnt.samples)


def test_boxes_with_low_scores_are_in_doubt(groups: Dataset, tmp_path: Path) -> None:
    scored = {"000.png": (0.9, 0.2), "001.png": (0.1,), "002.png": (0.8,)}
    rows = [f"{name},a,48,48,{k},{k},20,20,{score}" for name, one in scored.items() for k, score in enumerate(one)]
    (tmp_path / "found.csv").write_text("\n".join(["image,class,width,height,x0,y0,x1,y1,score", *rows]) + "\n")
    learnt = with_found(groups, tmp_path / "found.csv", several=True).samples
    assert [len(NONE if one.boxes is None else one.boxes) for one in learnt] == [1, 0, 1]
    assert [len(NONE if one.crowds is None else one.crowds) for one in learnt] == [1, 1, 0]
    targets = seen_boxes(learnt[0], (48, 48), 48, np.array([0.1, 0.2, 0.3]))
    assert targets is not None and targets[:2, 4].sum() == 1 and (targets[:2, 2] > targets[:2, 0]).all()


@settings(max_examples=30)
@examples(st.integers(0, 10**6))
def test_boxes_go_where_the_view_puts_their_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(150, 301, 2))
    corner = rng.uniform(0.1, 0.5, 2) * (width, height)
    box = np.concatenate([corner, corner + rng.uniform(0.2, 0.4, 2) * (width, height)]).round()
    picture = np.zeros((height, width, 3), np.uint8)
    x0, y0, x1, y1 = box.astype(int)
    picture[y0:y1, x0:x1] = 255
    draw = rng.random(3)
    boxes = seen_boxes(
        Sample("a.png", boxes=box[None].astype(np.float32), size=(width, height)), (height, width), 200, draw
    )
    assert boxes is not None and boxes.shape == (100, 5) and not boxes[1:].any()
    square = seen(picture, 200, draw)
    assert square.shape == (200, 200, 3) and np.array_equal(square, seen(picture, 200, draw))
    drawn = square.astype(float).max(2)
    if boxes[0, 4]:
        columns, rows = (np.flatnonzero((drawn > 0.9 * drawn.max()).any(axis)) for axis in (0, 1))
        extent = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert np.abs(boxes[0, :4].numpy() * 200 - extent).max() <= 3


def test_what_a_round_learns_of_own_and_found_boxes() -> None:
    found = torch.tensor([[0, 0, 10, 10, 1], [20, 20, 30, 30, 1], [40, 40, 50, 50, 0], [0, 0, 0, 0, 0]]).float()
    own = torch.tensor([[2, 0, 10, 10, 0.3], [60, 0, 70, 10, 0.9], [60, 60, 70, 70, 0.3], [40, 40, 50, 50, 0.3]])
    learnt = merged(own, found, sure=0.5)
    assert learnt[:, 4].tolist() == [1, 0.5, 0, 0, 0]  # confirmed, sure, in doubt (also in a found box cut off), unseen
    assert learnt[0, :4].tolist() == [0, 0, 10, 10] and learnt[4, :4].tolist() == [20, 20, 30, 30]
    assert merged(own[:0], found, sure=0.5)[:, 4].tolist() == [0, 0, 0]
    assert merged(own, found[:0], sure=0.5)[:, 4].tolist() == [0, 0.5, 0, 0]


def test_places_in_doubt_cost_nothing_and_right_ones_little() -> None:
    network = Detector(build_backbone("tiny", stride=8, weights="none"), width=32, convs=1)
    places: Places = network(torch.rand(1, 3, 64, 64))
    target = torch.tensor([[[8.0, 8, 40, 40, 1]]])
    centre = (places.anchors[:, :2] + places.anchors[:, 2:]) / 2
    inside = ((centre - 24).abs() < 8).all(1)[None]
    right = places._replace(
        boxes=target[:, :, :4].expand(1, 64, 4), logits=torch.where(inside, 20.0, -20.0), centreness=torch.zeros(1, 64)
    )
    told = losses(right, target)
    assert float(told.classification) < 1e-6 and float(told.boxes) < 1e-6 and float(told.objects) == 1
    doubted = target * torch.tensor([1.0, 1, 1, 1, 0])
    assert float(losses(right, doubted).total) < 1e-6
    assert float(losses(right, torch.zeros(1, 1, 5)).classification) > 10
    none = losses(right._replace(logits=torch.full((1, 64), -20.0)), torch.zeros(1, 1, 5))
    assert float(none.total) < 1e-6 and float(none.objects) == 0


def test_a_teacher_that_sees_nothing_leaves_the_found_boxes() -> None:
    torch.manual_seed(0)
    network = Detector(build_backbone("tiny", stride=8, weights="none"), width=32, convs=1, round=1)
    torch.nn.init.constant_(network.reader.head.classification_head.cls_logits.bias, -20.0)
    images, boxes = torch.rand(2, 3, 64, 64), torch.tensor([[[0.1, 0.1, 0.5, 0.6, 1.0]]]).expand(2, 1, 5)
    first = network.loss(images, boxes)
    network.epoch = 1
    network.level.fill_(1.0)
    assert int(network.taught) == 0 and torch.equal(network.loss(images, boxes).total, first.total)
    assert int(network.taught) == 1


def test_which_boxes_are_given() -> None:
    boxes = np.array([[0, 0, 50, 50], [5, 0, 50, 50], [60, 60, 61, 61], [0, 0, 100, 100]], np.float32)
    found = boxes, np.array([0.9, 0.8, 0.7, 0.2], np.float32)

    def which(**asked: Any) -> list[float]:
        return [round(float(score), 1) for score in given(found, (100, 100), **asked)[1]]

    assert which() == [0.9]
    assert which(multiple=True) == [0.9, 0.2]
    assert which(multiple=True, overlap=1.0, min_size=0.0) == [0.9, 0.8, 0.7, 0.2]
    assert which(multiple=True, max_size=50.0, min_score=0.85) == [0.9]
    assert which(min_score=0.95) == []


@pytest.mark.parametrize("options", [{"width": 48}, {"width": 0}, {"round": 0}])
def test_options_that_cannot_be_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(options))} is {next(iter(options.values()))}; expected"):
        Detector(build_backbone("tiny", weights="none"), **options)


def test_find_train_predict_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes, run = tmp_path / "scenes", tmp_path / "run"
    make_scenes(scenes, 12, size=64, objects=3)

    def boxless(words: str) -> None:
        with pytest.raises(SystemExit) as ended:
            app.meta(words.split())
        assert not ended.value.code, capsys.readouterr().err

    boxless(f"find {scenes} --method contrast --multiple --out {tmp_path}/found -j 1")
    boxless(
        f"train detector {scenes} --boxes {tmp_path}/found --out {run} --backbone tiny --weights none --stride 8 "
        "--freeze= --epochs 1 --size 64 --width 32 --convs 1 --keep 0 --workers 1"
    )
    assert load(run).classes == []
    boxless(f"predict {run} {scenes} --multiple --report --out {tmp_path}/predicted -j 1")
    boxes = json.loads((tmp_path / "predicted" / "boxes.json").read_text())["annotations"]
    assert len(boxes) > 12 and (tmp_path / "predicted" / "report.html").is_file()
    boxless(f"predict {run} {scenes} --out {tmp_path}/best -j 1")
    assert len(json.loads((tmp_path / "best" / "boxes.json").read_text())["annotations"]) == 12
    capsys.readouterr()
    boxless(f"evaluate {run} {scenes} --json -j 1")
    result = json.loads(capsys.readouterr().out)["measurement"]
    assert "another image's boxes" in result["detections"]["controls"] and "untrained network" in result["controls"]
