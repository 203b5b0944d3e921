"""The second stage: it learns noisy boxes better than they are, and its maps give back the regressed numbers."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from squares import SIDE, make_squares, part, quick, read_settings, whole_and_resumed, write_boxes

from boxless import load
from boxless.backbones import build_backbone
from boxless.backbones.fuse_batchnorm import folded
from boxless.boxes.from_heatmap import find_boxes
from boxless.cli import app
from boxless.data.dataset import Boxes, Dataset
from boxless.data.pseudo_boxes import with_found
from boxless.data.synthetic import make_scenes
from boxless.evaluation.evaluate import evaluate
from boxless.inference.factory import trained, untrained
from boxless.methods.psol import Psol, level_map
from boxless.methods.training import train_classifier, train_regressor
from boxless.runtime import checkpoint
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.progress import Progress

HEAD = {"grid": 4, "hidden": 64}  # three layers see no borders, so that global averages cannot tell where a square is


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_squares(tmp_path_factory.mktemp("squares"), 260)


def iou(boxes: Boxes, truths: Boxes) -> float:
    """The mean overlap of pairs."""
    shared = np.clip(np.minimum(boxes[:, 2:], truths[:, 2:]) - np.maximum(boxes[:, :2], truths[:, :2]), 0, None)
    areas = [(side[:, 2:] - side[:, :2]).prod(axis=1) for side in (boxes, truths)]
    return float(np.mean(shared.prod(axis=1) / (areas[0] + areas[1] - shared.prod(axis=1))))


def boxes_of(dataset: Dataset) -> Boxes:
    return np.concatenate([sample.boxes for sample in dataset.samples if sample.boxes is not None])


def test_the_map_gives_back_the_regressed_box() -> None:
    rng = np.random.default_rng(0)
    extents = rng.uniform(0.05, 0.95, (300, 2))
    centres = extents / 2 + rng.random((300, 2)) * (1 - extents)
    maps = level_map(torch.tensor(np.hstack([centres, extents])).float()).numpy()
    worst = 0.0
    for centre, extent, heat in zip(centres, extents, maps, strict=True):
        width, height = (int(side) for side in rng.integers(64, 501, 2))
        (found,), _ = find_boxes(heat, (width, height), 0.5, normalisation="none")
        scale = np.array([width, height] * 2)
        wanted = np.concatenate([centre - extent / 2, centre + extent / 2]) * scale
        snapped = np.minimum(wanted, scale - wanted) < scale / 256  # onto the border, as documented
        assert np.all(np.abs(found - wanted)[snapped] <= (0.5 + scale / 256)[snapped])
        worst = max(worst, float(np.abs(found - wanted)[~snapped].max()))
    assert worst < 0.6  # half a pixel is what whole pixels cost


def test_other_thresholds_scale_the_box() -> None:
    (heat,) = level_map(torch.tensor([[0.5, 0.5, 0.2, 0.4]])).numpy()
    for threshold in (0.2, 0.5, 0.8):
        (found,), _ = find_boxes(heat, (200, 100), threshold, normalisation="none")
        half = np.array([0.2 * 200, 0.4 * 100]) * (1 - threshold)
        wanted = np.clip(np.array([100 - half[0], 50 - half[1], 100 + half[0], 50 + half[1]]), 0, [200, 100, 200, 100])
        assert np.abs(found - wanted).max() <= 1
    tiny = level_map(torch.tensor([[0.3, 0.3, 1e-6, 1e-6]])).numpy()[0]
    assert len(find_boxes(tiny, (64, 64), 0.5, normalisation="none")[0]) == 1


def test_it_learns_better_boxes_than_it_is_given(squares: Dataset, tmp_path: Path) -> None:
    train, test = part(squares, slice(0, 200)), part(squares, slice(200, 260))
    noisy = write_boxes(tmp_path / "found.csv", train, noise=5.0)
    out = train_regressor("psol", HEAD, train, noisy, quick(epochs=12, lr=0.02), tmp_path / "run")
    predictor = trained(out)
    measured, mapped = evaluate(predictor, test, Progress(), untrained=untrained(predictor, train))
    headline, controls = measured.rows[0], measured.controls
    assert headline.origin.startswith("fixed") and headline.threshold == (0.5,)
    beaten = {row.name: float(row.per_image.mean()) for row in controls}
    assert "untrained network" in beaten and "shuffled maps" in beaten
    assert float(headline.per_image.mean()) > max(beaten.values()) + 20, beaten
    found = [find_boxes(heat, (SIDE, SIDE), 0.5, normalisation="none")[0] for heat in mapped.heats]
    given = boxes_of(with_found(train, noisy))
    assert iou(np.concatenate(found), boxes_of(test)) > iou(given, boxes_of(train)) + 0.1


def test_neither_true_boxes_nor_labels_are_read(squares: Dataset, tmp_path: Path) -> None:
    train = part(squares, slice(0, 16))
    found = write_boxes(tmp_path / "found.csv", train, noise=3.0)
    bare = replace(train, samples=[replace(s, label=None, boxes=None, size=None) for s in train.samples], classes=[])
    weights = []
    for name, dataset in (("whole", train), ("bare", bare)):
        out = train_regressor("psol", HEAD, dataset, found, quick(), tmp_path / name)
        weights.append(checkpoint.read(out / "best.pt")["model"])
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    with pytest.raises(UsageError, match="boxes that another method found"):
        train_classifier("psol", {}, train, None, quick(), tmp_path / "leak")


def test_images_without_a_found_box_are_left_out_and_counted(
    squares: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train = part(squares, slice(0, 12))
    found = write_boxes(tmp_path / "found.csv", part(squares, slice(2, 20)))  # the last eight are not trained on
    out = train_regressor("psol", HEAD, train, found, quick(epochs=1), tmp_path / "run")
    assert "2 of the 12 training images have no box" in caplog.text
    assert checkpoint.read(out / "best.pt")["boxes"]["images"] == 10


def test_the_largest_of_several_boxes_is_learnt(squares: Dataset, tmp_path: Path) -> None:
    name = squares.samples[0].name
    rows = [f"{name},a,32,32,{box}\n" for box in ("1,1,5,5", "4,4,20,20", "8,8,9,9")]
    (tmp_path / "found.csv").write_text("image,class,width,height,x0,y0,x1,y1\n" + "".join(rows))
    (sample,) = with_found(squares, tmp_path / "found.csv").samples
    assert sample.boxes is not None and sample.boxes.tolist() == [[4, 4, 20, 20]]


def test_a_coco_json_will_do(squares: Dataset, tmp_path: Path) -> None:
    name = squares.samples[0].name
    content = {
        "images": [{"id": 1, "file_name": name, "width": 32, "height": 32}],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 5, 10, 12]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    (sample,) = with_found(squares, tmp_path / "boxes.json").samples
    assert sample.boxes is not None and sample.boxes.tolist() == [[4, 5, 14, 17]]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("", "has no rows"),
        ("red/000.png,red,32,32,,,,\n", "has no boxes"),
        ("red/nowhere.png,red,32,32,1,1,9,9\n", r"red/nowhere\.png', which is not in .* such as green/001\.png"),
        ("red/038.png,red,32,32,1,1,9,9\n", "no box for any of the 4 training images"),
    ],
)
def test_boxes_that_cannot_be_learnt_from(rows: str, sentence: str, squares: Dataset, tmp_path: Path) -> None:
    (tmp_path / "found.csv").write_text("image,class,width,height,x0,y0,x1,y1\n" + rows)
    with pytest.raises(BoxlessError, match=sentence):
        train_regressor("psol", HEAD, part(squares, slice(0, 4)), tmp_path / "found.csv", quick(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_a_run_that_was_stopped_ends_as_the_one_that_was_not(how: str, squares: Dataset, tmp_path: Path) -> None:
    train, settings = part(squares, slice(0, 28)), quick(epochs=3, resize=36)
    found = write_boxes(tmp_path / "found.csv", train, noise=2.0)
    one, other = whole_and_resumed("psol", HEAD, train, found, settings, tmp_path, how, at=6)
    assert all(torch.equal(value, other["model"][key]) for key, value in one["model"].items())
    assert [row["total"] for row in one["trainer"]["history"]] == [row["total"] for row in other["trainer"]["history"]]
    write_boxes(found, train, noise=2.0, seed=1)
    with pytest.raises(UsageError, match="has boxes = "):
        train_regressor("psol", HEAD, train, found, settings, tmp_path / "cut", resume=True)


def test_one_pass_in_bf16_folded_and_alone() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("lite0", stride=32, weights="none").eval()
    network = Psol(backbone, hidden=32).eval()
    for layer in (network.fc1, network.fc2):
        torch.nn.init.normal_(layer.weight, std=1.0)
    images = torch.rand(3, 3, 64, 64)
    boxes = network(images)
    heat, logits = network.heatmap_and_logits(images, torch.tensor([0, 1, 2]))
    assert heat.shape == (3, 128, 128) and logits.shape == (3, 0) and heat.grad_fn is None
    assert torch.allclose(network.heatmap(images[:1])[0], heat[0], atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(images)
    assert half.dtype == torch.float32 and torch.allclose(half, boxes, atol=0.05)
    losses = network.loss(images, torch.tensor([[0.1, 0.2, 0.6, 0.7]]).expand(3, 4))
    assert all(bool(torch.isfinite(term)) for term in losses) and 0 <= float(losses.iou) <= 1
    network.backbone = folded(backbone)
    assert torch.allclose(network(images), boxes, atol=1e-3)


def test_the_loss_is_zero_for_the_very_box_alone() -> None:
    network = Psol(build_backbone("tiny", weights="none"), hidden=8)
    torch.nn.init.zeros_(network.fc2.weight)
    torch.nn.init.zeros_(network.fc2.bias)
    images = torch.rand(2, 3, 32, 32)
    same, other = (torch.tensor([box]).expand(2, 4) for box in ([0.25, 0.25, 0.75, 0.75], [0.0, 0.25, 0.5, 0.75]))
    assert float(network.loss(images, same).total) == 0 and float(network.loss(images, same).iou) == 1
    assert float(network.loss(images, other).total) == pytest.approx(50 * 0.25**2 / 4)
    assert float(network.loss(images, other).iou) == pytest.approx(1 / 3)
    network = Psol(build_backbone("tiny", weights="none"), hidden=8, loss="smooth-l1", weight=1.0)
    torch.nn.init.zeros_(network.fc2.weight)
    torch.nn.init.zeros_(network.fc2.bias)
    assert float(network.loss(images, other).total) == pytest.approx((0.25 - 0.05) / 4)


def test_find_train_predict_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes, run = tmp_path / "scenes", tmp_path / "run"
    make_scenes(scenes, 12, size=64)

    def boxless(words: str) -> None:
        with pytest.raises(SystemExit) as ended:
            app.meta(words.split())
        assert not ended.value.code

    boxless(f"find {scenes} --method contrast --format csv --out {tmp_path}/found -j 1")
    boxless(
        f"train psol {scenes} --boxes {tmp_path}/found/boxes.csv --out {run} --backbone tiny --weights none --epochs 1 "
        "--size 32 --grid 2 --workers 1"
    )
    assert load(run).classes == []
    assert read_settings(run / "settings.toml").training.resize == 32
    boxless(f"predict {run} {scenes} --format csv --report --out {tmp_path}/predicted -j 1")
    with (tmp_path / "predicted" / "boxes.csv").open() as file:
        assert {row["class"] for row in csv.DictReader(file)} == {"beetle"}
    assert (tmp_path / "predicted" / "report.html").is_file()
    capsys.readouterr()
    boxless(f"evaluate {run} {scenes} --json --out {tmp_path}/results -j 1")
    result = json.loads(capsys.readouterr().out)
    assert {"whole image", "centred box", "untrained network", "shuffled maps"} <= result["measurement"][
        "controls"
    ].keys()
    assert result["network"]["boxes"]["images"] > 0
