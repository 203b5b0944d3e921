"""What every method of METHODS must do, on pictures of 32 pixels and the tiny backbone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from squares import make_squares, part, quick

from boxless import load
from boxless.backbones import build_backbone
from boxless.boxes import Readout
from boxless.data.loading import Pictures
from boxless.data.sample import Dataset
from boxless.data.transforms import Resize, to_images
from boxless.errors import UsageError
from boxless.localizer import Localizer, fresh
from boxless.measuring import Split, measure
from boxless.methods import METHODS, method_class
from boxless.training import train_classifier


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_squares(tmp_path_factory.mktemp("squares"), 160)


def images_of(dataset: Dataset) -> torch.Tensor:
    pictures = Pictures(dataset, Resize(32), 1.0)
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
    out = train_classifier(name, {}, train, test, quick(epochs=8), tmp_path / "run")
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
    assert float(headline.per_image.mean()) > max(beaten.values()) + 10, beaten
    ranked = localizer.localize(images_of(test))[1]
    assert float((ranked[:, 0] == labels_of(test)).float().mean()) > 0.9


@pytest.mark.parametrize("name", METHODS)
def test_the_contract_holds(name: str) -> None:
    torch.manual_seed(0)
    network = method_class(name)(build_backbone("tiny", weights="none"), 3)
    assert isinstance(network.readout, Readout)
    for count in (1, 4):
        images, labels = torch.rand(count, 3, 32, 32), torch.arange(count) % 3
        network.train()
        losses = network.loss(images, labels)
        assert losses._fields[0] == "total"
        assert all(term.shape == () and bool(torch.isfinite(term)) for term in losses)
        network.eval()
        heat = network.heatmap(images, labels)
        assert heat.shape == (count, 8, 8)
        assert not heat.requires_grad
        assert network(images).shape == (count, 3)


@pytest.mark.parametrize("name", METHODS)
def test_the_map_is_of_the_label_and_of_the_best_class_without_one(name: str) -> None:
    torch.manual_seed(0)
    network = method_class(name)(build_backbone("tiny", weights="none"), 3).eval()
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
    network = method_class(name)(build_backbone("tiny", weights="none"), 3).eval()
    passes = []
    network.backbone.net.conv1.register_forward_hook(lambda *_: passes.append(1))
    network.heatmap_and_logits(torch.rand(2, 3, 32, 32))
    assert len(passes) == 1


@pytest.mark.parametrize("name", METHODS)
def test_it_trains_in_bf16(name: str) -> None:
    torch.manual_seed(0)
    network = method_class(name)(build_backbone("tiny", weights="none"), 3)
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
