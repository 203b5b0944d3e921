"""Grad-CAM's equations, each against CAM or against the paper's text, and what a prediction leaves behind."""

import pytest
import torch
from torch import Tensor

from boxless.backbones import build_backbone
from boxless.backbones.fuse_batchnorm import folded
from boxless.boxes.from_heatmap import Readout
from boxless.inference.localizer import Localizer
from boxless.methods import METHODS, method_class
from boxless.methods.cam import Cam
from boxless.methods.gradcam import GradCam, weighted

LABELS = torch.tensor([0, 1, 2, 1])


def network(backbone: str = "tiny", **options: object) -> GradCam:
    torch.manual_seed(0)
    return GradCam(build_backbone(backbone, weights="none"), 3, **options).eval()  # type: ignore[arg-type]


def pictures(side: int = 32) -> Tensor:
    return torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_under_a_linear_head_it_is_the_positive_part_of_cam() -> None:
    """Section 3: Grad-CAM is CAM's generalisation; the factor is the number of places."""
    net = network()
    with torch.no_grad():
        net.fc.weight.normal_(std=1.0)
    heat, cam = net.heatmap(pictures(), LABELS), Cam.heatmap_and_logits(net, pictures(), LABELS)[0]
    assert bool((cam < 0).any())
    assert torch.allclose(heat, cam.relu() / 64, atol=1e-6)


def test_under_the_head_with_convolutions_each_image_has_its_own_slopes() -> None:
    net = network(head="conv")
    heat = net.heatmap(pictures(), LABELS)
    for image, label, found in zip(pictures(), LABELS, heat, strict=True):
        features = net.backbone(image[None]).detach().requires_grad_()
        net.classify(net.neck(features))[0, label].backward()
        assert features.grad is not None
        alpha = features.grad[0].mean((1, 2))
        expected = torch.einsum("k,khw->hw", alpha, features.detach()[0]).relu()
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-9)
    cam = Cam.heatmap_and_logits(net, pictures(), LABELS)[0].relu()
    assert not torch.allclose(heat / heat.max(), cam / cam.max(), atol=0.05)


def test_the_variants_are_their_papers_equations() -> None:
    features, slopes = torch.rand(2, 5, 4, 4).double(), torch.randn(2, 5, 4, 4).double()
    square, cube = slopes**2, slopes**3
    sure = square / (2 * square + cube * features.sum((2, 3), keepdim=True))
    plus = ((sure * slopes.relu()).sum((2, 3), keepdim=True) * features).sum(1).relu()
    assert torch.allclose(weighted(features, slopes, "gradcam++"), plus)
    assert torch.allclose(weighted(features, slopes, "layercam"), (slopes.relu() * features).sum(1).relu())
    assert not torch.allclose(weighted(features, slopes, "gradcam"), plus)


@pytest.mark.parametrize("name", [name for name in METHODS if method_class(name).trained_as])
def test_what_trains_as_another_method_has_its_loss_and_its_weights(name: str) -> None:
    kinds = method_class(name), method_class(method_class(name).trained_as)
    for head in ("linear", "conv"):
        losses, states = [], []
        for kind in kinds:
            torch.manual_seed(0)
            net = kind(build_backbone("tiny", weights="none"), 3, head=head)
            losses.append(net.loss(pictures(), LABELS).total)
            states.append(net.state_dict())
        assert torch.equal(*losses)
        assert list(states[0]) == list(states[1])
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("name", ["gradcam", "backprop"])
def test_slopes_are_found_in_inference_mode_and_leave_nothing(name: str, bf16: bool) -> None:
    torch.manual_seed(0)
    net = method_class(name)(build_backbone("lite0", weights="none"), 3, head="conv").eval()
    images = pictures(64)
    expected = net.heatmap(images, LABELS)
    net.backbone = folded(net.backbone)
    localizer = Localizer(net, name, 64, ["a", "b", "c"], net.readout, {"kind": "classifier"})
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        with torch.inference_mode():
            net(images)  # fills autocast's memory with weights that cannot be differentiated
        heat, ranked = localizer.localize(images, LABELS)
        best = localizer.heatmap(images)
    assert torch.allclose(heat, expected, rtol=0.05, atol=float(expected.max()) * (0.15 if bf16 else 1e-3))
    assert torch.equal(best[0], localizer_map(localizer, images, ranked[:, 0], bf16)[0])
    assert heat.grad_fn is None and not heat.requires_grad
    assert all(parameter.grad is None for parameter in net.parameters())


def localizer_map(localizer: Localizer, images: Tensor, labels: Tensor, bf16: bool) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return localizer.heatmap(images, labels)


def test_the_backward_pass_ends_at_the_features() -> None:
    net, passes = network(head="conv"), []
    net.backbone.net.conv3.register_full_backward_hook(lambda *_: passes.append("backbone"))
    net.neck.register_full_backward_hook(lambda *_: passes.append("head"))
    net.heatmap(pictures(), LABELS)
    assert passes == ["head"]


def test_labels_go_where_the_network_is():
    """An index on another device is refused by gather, which gradcam and backprop read their logits with."""
    seen = []

    class Elsewhere(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.empty(1, device="meta"))

        def heatmap_and_logits(self, images, labels):
            seen.append((images.device.type, labels.device.type))
            return torch.zeros(2, 4, 4), torch.zeros(2, 3)

    localizer = Localizer(Elsewhere(), "gradcam", 64, ["a", "b", "c"], Readout(0.5, "fixed"), {"kind": "classifier"})
    localizer.localize(torch.rand(2, 3, 8, 8), torch.tensor([0, 2]))
    assert seen == [("meta", "meta")]
