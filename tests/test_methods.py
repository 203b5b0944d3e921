"""What every method of METHODS must do, on pictures of 32 pixels and the tiny backbone."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from squares import SMALL, make_squares, part, quick

from boxless import load
from boxless.backbones import build_backbone
from boxless.backbones.backbone import Backbone
from boxless.backbones.fuse_batchnorm import folded
from boxless.boxes.from_heatmap import Readout
from boxless.data.dataset import Dataset
from boxless.data.training_batches import PictureCache
from boxless.data.transforms import Resize, to_images
from boxless.evaluation.measure import Split, measure
from boxless.inference.factory import trained
from boxless.inference.localizer import Localizer, fresh
from boxless.inference.predict_folder import predict_folder
from boxless.methods import METHODS, method_class
from boxless.methods.training import train_classifier
from boxless.runtime.errors import UsageError
from boxless.runtime.progress import Progress

BLUNT = {"backprop"}
"""Methods whose maps cannot show a square of one colour: to the slopes of three layers, grey noise matters as much."""


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_squares(tmp_path_factory.mktemp("squares"), 160)


def images_of(dataset: Dataset) -> torch.Tensor:
    pictures = PictureCache(dataset, Resize(32), 1.0)
    stack = np.stack([picture for index in range(len(dataset)) if (picture := pictures.read(index)) is not None])
    return to_images(torch.from_numpy(stack), torch.device("cpu"))


def labels_of(dataset: Dataset) -> torch.Tensor:
    return torch.tensor([sample.label for sample in dataset.samples])


def split(localizer: Localizer, dataset: Dataset) -> Split:
    maps = list(localizer.heatmap(images_of(dataset), labels_of(dataset)).numpy())
    boxes = [sample.boxes for sample in dataset.samples if sample.boxes is not None]
    return Split(maps, [(32, 32)] * len(maps), boxes)


@pytest.mark.parametrize("name", METHODS)
def test_it_learns_where_the_squares_are(name: str, squares: Dataset, tmp_path: Path) -> None:
    train, test = part(squares, slice(0, 120)), part(squares, slice(120, 160))
    out = train_classifier(name, SMALL[name], train, test, quick(epochs=8, lr=0.02), tmp_path / "run")
    localizer = load(out)
    found, untrained = split(localizer, test), split(fresh(localizer), test)
    measured = measure(
        found.maps,
        found.sizes,
        found.truths,
        fit=split(localizer, train),
        untrained=untrained.maps,
        labels=labels_of(test).tolist(),
        headline="transferred",
    )
    headline, controls = measured.rows[0], measured.controls
    assert len(controls) >= 4
    beaten = {row.name: float(row.per_image.mean()) for row in controls}
    assert name in BLUNT or float(headline.per_image.mean()) > max(beaten.values()) + 10, beaten
    ranked = localizer.localize(images_of(test))[1]
    assert float((ranked[:, 0] == labels_of(test)).float().mean()) > 0.9


def network_of(name: str) -> Any:
    torch.manual_seed(0)
    return method_class(name)(build_backbone("tiny", weights="none"), 3, **SMALL[name])


@pytest.mark.parametrize("name", METHODS)
def test_the_contract_holds(name: str) -> None:
    network = network_of(name)
    assert isinstance(network.readout, Readout)
    for count in (1, 4):
        images, labels = torch.rand(count, 3, 32, 32), torch.arange(count) % 3
        network.train()
        losses = network.loss(images, labels)
        assert losses._fields[0] == "total"
        assert all(term.shape == () and bool(torch.isfinite(term)) for term in losses)
        network.eval()
        heat, logits = network.heatmap_and_logits(images, labels)
        assert heat.shape == (count, 8, 8)
        assert heat.grad_fn is None and logits.grad_fn is None
        assert torch.equal(heat, network.heatmap(images, labels))
        assert network(images).shape == (count, 3)


@pytest.mark.parametrize("name", METHODS)
def test_the_map_is_of_the_label_and_of_the_best_class_without_one(name: str) -> None:
    network = network_of(name).eval()
    images = torch.rand(5, 3, 32, 32)
    first, second = (network.heatmap(images, torch.full((5,), label)) for label in (0, 1))
    assert not torch.allclose(first, second)
    heat, logits = network.heatmap_and_logits(images)
    assert torch.allclose(logits, network(images), atol=1e-5)
    assert torch.allclose(heat, network.heatmap(images, logits.argmax(1)), atol=1e-5)
    mixed = network.heatmap(images, torch.tensor([0, 1, 0, 1, 0]))
    assert torch.allclose(mixed[::2], first[::2], atol=1e-5)
    assert torch.allclose(mixed[1::2], second[1::2], atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_prediction_costs_one_pass_through_the_backbone(name: str) -> None:
    network = network_of(name).eval()
    passes = []
    network.backbone.net.conv1.register_forward_hook(lambda *_: passes.append(1))
    network.heatmap_and_logits(torch.rand(2, 3, 32, 32))
    assert len(passes) == 1


@pytest.mark.parametrize("name", METHODS)
def test_it_tells_whether_the_loss_alters_the_images(name: str) -> None:
    """What is told wrongly here would be remembered wrongly, or for nothing, in tables."""
    network, given, seen = network_of(name), torch.rand(4, 3, 32, 32), list[torch.Tensor]()
    begin = network.backbone.forward_stem
    network.backbone.forward_stem = lambda images, count: seen.append(images) or begin(images, count)
    before = given.clone()
    network.loss(given, torch.tensor([0, 1, 2, 0]))
    assert torch.equal(given, before)
    assert torch.equal(seen[0], given) is not network.alters_images


@pytest.mark.parametrize("name", METHODS)
def test_it_trains_in_bf16(name: str) -> None:
    network = network_of(name)
    images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 0, 1, 2])
    torch.manual_seed(1)
    full = network.loss(images, labels).total
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        half = network.loss(images, labels).total
    half.backward()
    full, half = full.detach(), half.detach()
    assert abs(float(half) - float(full)) < 0.05 * abs(float(full)) + 0.02
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.fixture(scope="module")
def normalised() -> Backbone:
    """A network whose batch normalisation has statistics, without which folding would change nothing."""
    torch.manual_seed(0)
    backbone = build_backbone("lite0", stride=16, weights="none")
    layers = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for layer in layers:
        layer.momentum = 1.0
    backbone(torch.rand(3, 3, 64, 64))
    return backbone.eval()


@pytest.mark.parametrize("name", METHODS)
def test_bf16_and_folded_normalisation_predict_the_same(name: str, normalised: Backbone) -> None:
    torch.manual_seed(0)
    network = method_class(name)(normalised, 3, **SMALL[name]).eval()
    images, labels = torch.rand(3, 3, 64, 64), torch.tensor([0, 1, 2])
    heat, logits = network.heatmap_and_logits(images, labels)
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = network.heatmap_and_logits(images, labels)
    assert float(torch.corrcoef(torch.stack([heat.flatten(), half.float().flatten()]))[0, 1]) > 0.9
    network.backbone = folded(normalised)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.backbone.modules())
    again, same = network.heatmap_and_logits(images, labels)
    assert torch.allclose(again, heat, atol=0.03 * float(heat.std())) and torch.allclose(same, logits, atol=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_maps_of_a_network_in_bf16_are_not_rounded_to_bf16(name: str) -> None:
    torch.manual_seed(0)
    network = method_class(name)(build_backbone("tiny", weights="none"), 3, **SMALL[name]).eval()
    with torch.autocast("cpu", torch.bfloat16):
        heat = network.heatmap(torch.rand(1, 3, 64, 64), torch.tensor([1]))
    assert heat.dtype == torch.float32
    assert not torch.equal(heat, heat.bfloat16().float())
    assert len(heat[heat != 0].unique()) > 0.8 * heat.count_nonzero()  # rounded, half of them are equal


@pytest.mark.parametrize("name", METHODS)
def test_a_run_exports_boxes_of_any_folder(name: str, squares: Dataset, tmp_path: Path) -> None:
    few = part(squares, slice(0, 16))
    out = train_classifier(name, SMALL[name], few, None, quick(epochs=1), tmp_path / "run")
    for precision in ("fp32", "bf16"):
        predictor = trained(out, batch_size=5, precision=precision)  # 16 = 5 + 5 + 5 + 1: a batch of one too
        summary = predict_folder(predictor, few, tmp_path / precision, Progress(), format="csv")
        assert (summary.images, summary.broken) == (16, {})
        with (tmp_path / precision / "boxes.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert {row["class"] for row in rows} <= {"red", "green"}
        assert len({row["image"] for row in rows}) + len(summary.nothing) == 16


def test_the_mean_of_a_cam_is_its_logit_without_the_bias() -> None:
    """Zhou et al., Eq. 1 and 2: the score is the mean of the map."""
    torch.manual_seed(0)
    for head in ("linear", "conv"):
        network = method_class("cam")(build_backbone("tiny", weights="none"), 4, head=head).eval()
        torch.nn.init.normal_(network.fc.bias)
        images, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
        logits = network(images)[torch.arange(4), labels] - network.fc.bias
        assert torch.allclose(network.heatmap(images, labels).mean((1, 2)), logits, atol=1e-5)


def test_the_published_head_of_cam_is_told_by_the_backbone() -> None:
    for name, widths in (("alexnet", [512, 512]), ("googlenet", [1024]), ("vgg16", [1024])):
        network = method_class("cam")(build_backbone(name, weights="none"), 2, head="published").eval()
        layers = [layer for layer in network.neck if isinstance(layer, torch.nn.Conv2d)]
        assert [layer.out_channels for layer in layers] == widths
        assert network.heatmap(torch.rand(1, 3, 64, 64), torch.tensor([1])).ndim == 3
    with pytest.raises(UsageError, match="behind tiny"):
        method_class("cam")(build_backbone("tiny", weights="none"), 2, head="published")
