"""What makes a method ACoL: what is erased for the second classifier, and that no label of a test image is used."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from boxless.backbones import build_backbone
from boxless.methods.acol import Acol, scaled
from boxless.methods.cam import Cam
from boxless.runtime.errors import UsageError

LABELS = torch.tensor([0, 1, 2, 0, 1])


def network(**options: object) -> Acol:
    torch.manual_seed(0)
    net = Acol(build_backbone("tiny", weights="none"), 3, **{"head": "linear", **options})  # type: ignore[arg-type]
    for fc in (net.fc, net.second_fc):
        torch.nn.init.normal_(fc.weight)
    return net


def images() -> Tensor:
    return torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def watch_erasing(net: Acol) -> list[tuple[Tensor, Tensor]]:
    """The features before and after each erasing that the network does from now on."""
    seen, erase = [], net.erase

    def watched(features: Tensor, heat: Tensor) -> Tensor:
        erased = erase(features, heat)
        seen.append((features.detach(), erased.detach()))
        return erased

    net.erase = watched  # type: ignore[method-assign]
    return seen


def high(net: Acol, features: Tensor, labels: Tensor) -> Tensor:
    """Where the first classifier's map of the labels' classes, from its definition, is in the upper part."""
    maps = torch.stack(
        [(net.fc.weight[label][:, None, None] * f).sum(0) for f, label in zip(features, labels, strict=True)]
    )
    low, top = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (top - low) >= net.threshold


@pytest.mark.parametrize("threshold", [0.6, 0.9])
def test_training_erases_where_the_true_class_responds_most(threshold: float) -> None:
    net = network(threshold=threshold)
    seen = watch_erasing(net)
    net.loss(images(), LABELS)
    ((features, erased),) = seen
    gone = high(net, features, LABELS)
    assert 0 < int(gone.sum()) < gone.numel() / 2
    assert bool((erased.permute(0, 2, 3, 1)[gone] == 0).all())
    assert torch.equal(erased.permute(0, 2, 3, 1)[~gone], features.permute(0, 2, 3, 1)[~gone])


def test_a_test_image_is_erased_by_the_predicted_class_and_the_label_only_chooses_the_map() -> None:
    net = network().eval()
    seen = watch_erasing(net)
    _, logits = net.heatmap_and_logits(images())
    predicted = logits.argmax(1)
    wrong = (predicted + 1) % 3
    heat, _ = net.heatmap_and_logits(images(), wrong)
    (features, erased), (_, again) = seen
    assert torch.equal(erased, again)
    gone = high(net, features, predicted)
    assert torch.equal((erased == 0).all(1), gone | (features == 0).all(1))
    assert not torch.equal(gone, high(net, features, wrong))  # else the test could not tell
    first, second = (
        torch.stack([(fc.weight[label][:, None, None] * f).sum(0) for f, label in zip(kind, wrong, strict=True)])
        for fc, kind in ((net.fc, features), (net.second_fc, erased))
    )
    assert torch.allclose(heat, torch.maximum(scaled(first), scaled(second)), atol=1e-5)


def test_the_map_is_the_larger_one_of_two_and_both_contribute() -> None:
    net = network().eval()
    heat = net.heatmap(images(), LABELS)
    assert torch.equal(heat.amax((1, 2)), torch.ones(5))
    first = scaled(Cam.heatmap_and_logits(net, images(), LABELS)[0])
    assert bool((heat >= first).all())
    assert bool(((heat > first).flatten(1).any(1) & (heat == first).flatten(1).any(1)).all())


def test_the_scores_are_the_first_classifiers() -> None:
    net = network().eval()
    plain = Cam(net.backbone, 3).eval()
    plain.load_state_dict(net.state_dict(), strict=False)
    assert torch.equal(net(images()), plain(images()))
    assert torch.equal(net.heatmap_and_logits(images())[1], plain(images()))


def test_the_loss_is_the_sum_of_both_and_erasing_has_no_gradient() -> None:
    net = network()
    seen = watch_erasing(net)
    losses = net.loss(images(), LABELS)
    ((features, erased),) = seen
    first, second = (
        F.cross_entropy(fc(kind.mean((2, 3))), LABELS) for fc, kind in ((net.fc, features), (net.second_fc, erased))
    )
    assert torch.allclose(losses.total, first + second, atol=1e-6)
    assert torch.allclose(torch.stack([losses.first, losses.second]), torch.stack([first, second]), atol=1e-6)
    losses.second.backward()
    assert net.fc.weight.grad is None
    assert float(net.second_fc.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]
    assert all(bool(p.grad.abs().sum() > 0) for p in net.backbone.parameters())  # type: ignore[union-attr]


def test_the_papers_heads_are_two_of_two_convolutions_each() -> None:
    net = network(head="conv").eval()
    for neck, fc in ((net.neck, net.fc), (net.second_neck, net.second_fc)):
        shapes = [tuple(layer.weight.shape) for layer in neck.children() if isinstance(layer, torch.nn.Conv2d)]
        assert shapes == [(1024, 64, 3, 3), (1024, 1024, 3, 3)]
        assert tuple(fc.weight.shape) == (3, 1024)
        assert sum(isinstance(layer, torch.nn.Dropout) for layer in neck.children()) == 3
    assert net.heatmap(images()[:1, :, :16, :16], LABELS[:1]).shape == (1, 4, 4)
    assert bool(torch.isfinite(net.train().loss(images()[:2, :, :16, :16], LABELS[:2]).total))


def test_a_constant_map_erases_nothing() -> None:
    net, features = network(), torch.randn(2, 64, 4, 4)
    assert torch.equal(net.erase(features, torch.full((2, 4, 4), 0.3)), features)


@pytest.mark.parametrize("threshold", [0.0, 1.5])
def test_thresholds_that_erase_all_or_nothing_are_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="above 0, up to 1"):
        network(threshold=threshold)


def test_nothing_in_the_step_waits_for_the_device() -> None:
    with FakeTensorMode(), torch.device("cpu"):
        network().loss(torch.rand(4, 3, 32, 32), torch.zeros(4, dtype=torch.long)).total.backward()
