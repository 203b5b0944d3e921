import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from squares import make_squares, quick

import boxless.runtime.torchvision_compat  # noqa: F401

# isort: split
import timm

from boxless import load
from boxless.backbones import build_backbone
from boxless.backbones.fuse_batchnorm import folded
from boxless.backbones.weights import fill
from boxless.methods.training import train_classifier
from boxless.runtime.errors import BoxlessError, UsageError


@pytest.mark.parametrize(
    ("name", "stride", "channels", "step"),
    [
        ("resnet18", None, 512, "layer4.1"),
        ("resnet18", 8, 512, "layer4.1"),
        ("efficientnet_lite0", 16, 1280, "bn2"),
        ("convnext_atto", 16, 320, "head"),
        ("vit_tiny_patch16_224", None, 192, "features"),
        ("swin_tiny_patch4_window7_224", None, 768, "features"),
    ],
)
def test_a_network_of_timm_runs_in_its_own_steps(name: str, stride: int | None, channels: int, step: str) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(f"timm:{name}", stride=stride, weights="none").eval()
    reached = stride or timm.create_model(name).feature_info[-1]["reduction"]
    assert (backbone.name, backbone.stride, backbone.channels) == (f"timm:{name}", reached, channels)
    assert [step for step, _ in backbone.stages()][-1] == step
    images = torch.rand(1, 3, 96, 96)
    with torch.inference_mode():
        features = backbone(images)
        assert features.shape == (1, channels, 96 // reached, 96 // reached)
        if step != "features":
            assert torch.allclose(features, backbone.net(backbone.normalise(images)), atol=1e-5)
        assert torch.allclose(folded(backbone)(images), features, atol=1e-4)
    backbone.train()(torch.rand(2, 3, 64, 64)).sum().backward()
    assert [key for key, parameter in backbone.named_parameters() if parameter.grad is None] == []


def test_batch_normalisation_with_an_activation_inside_is_left_alone_when_folding() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("timm:mobilenetv3_small_100", weights="none").eval()
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        features = backbone(images)
        assert torch.allclose(folded(backbone)(images), features, rtol=1e-3, atol=1e-4 * float(features.abs().max()))


def test_a_run_on_it_is_trained_and_read_back(tmp_path: Path) -> None:
    squares = make_squares(tmp_path / "squares", 8)
    settings = quick(backbone="timm:resnet10t", stride=None, epochs=1, batch_size=4)
    run = train_classifier("cam", {}, squares, None, settings, tmp_path / "run")
    localizer = load(run)
    assert localizer.content["backbone"] == {"name": "timm:resnet10t", "stride": 32}
    assert localizer.heatmap(torch.rand(2, 3, 64, 64)).shape == (2, 2, 2)
    again = build_backbone("timm:resnet10t", weights=str(run / "best.pt"))
    kept = localizer.network.backbone.net.state_dict()  # type: ignore[union-attr, operator]
    assert all(torch.equal(value, kept[key]) for key, value in again.net.state_dict().items())


def test_a_state_dict_of_timm_is_loaded_from_a_file(tmp_path: Path) -> None:
    whole = timm.create_model("resnet10t")
    torch.save(whole.state_dict(), tmp_path / "pytorch_model.bin")
    backbone = build_backbone("timm:resnet10t", weights=str(tmp_path / "pytorch_model.bin"))
    assert torch.equal(backbone.net.layer4[0].conv1.weight, whole.layer4[0].conv1.weight)  # type: ignore[index, union-attr]


NANO = {"embed_dim": 48, "depth": 2, "num_heads": 3}
TRAINED: dict[str, dict[str, int]] = {
    "eva02_tiny_patch14_224": {},
    "eva_giant_patch14_224": NANO,
    "beit_base_patch16_224": NANO,
    "beitv2_large_patch16_224": NANO,
    "beit3_base_patch16_224": NANO,
    "deit_tiny_patch16_224": {},
    "mobilenetv3_small_050": {},
    **{f"test_{family}": {} for family in ("byobnet", "convnext", "efficientnet", "mambaout", "nfnet", "vit")},
}
"""Networks, and what makes small ones of large ones."""
HEADS = {"head", "conv_head", "norm_head", "act2"}
"""Parts that timm has behind its pooling, and that are run at every place."""


@pytest.mark.parametrize("name", TRAINED)
def test_the_backbone_is_the_network_that_was_trained_before_its_pooling(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timm, "create_model", partial(timm.create_model, **TRAINED[name]))
    torch.manual_seed(0)
    whole = timm.create_model(name).eval()
    for parameter in whole.parameters():
        if parameter.ndim == 1:  # normalisation that does something
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    backbone = build_backbone(f"timm:{name}", weights="none").eval()
    fill(backbone, whole.state_dict(), "the whole network")
    images = torch.rand(1, 3, 224, 224)
    before = [step for step, _ in backbone.stages() if step not in HEADS][-1]
    with torch.inference_mode():
        maps, expected = backbone.intermediates(images, before)[0], whole.forward_features(backbone.normalise(images))
    if expected.ndim == 3:  # tokens, the class token and others first
        expected = expected[:, -maps[0, 0].numel() :].transpose(1, 2).reshape(maps.shape)
    elif expected.shape != maps.shape:
        expected = expected.movedim(3, 1)
    assert torch.allclose(maps, expected, atol=1e-5)


def test_a_network_bound_to_one_side_takes_that_one_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "create_model", partial(timm.create_model, **NANO))
    backbone = build_backbone("timm:beit_base_patch16_224", weights="none").eval()
    assert (backbone.stride, backbone.channels) == (16, 48)
    with pytest.raises(UsageError, match=r"beit_base_patch16_224 takes images of 224 pixels alone\. Give --size 224"):
        backbone(torch.rand(1, 3, 288, 288))
    images = torch.rand(1, 3, 224, 224)
    assert torch.equal(folded(backbone)(images), backbone(images))


def test_weights_that_cannot_be_had_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = timm.create_model

    def offline(*args: Any, pretrained: bool = False, **options: Any) -> Any:
        if pretrained:
            raise OSError("no network")
        return made(*args, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(BoxlessError) as caught:
        build_backbone("timm:resnet18.a1_in1k")
    for part in ("https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/pytorch_model.bin", "--weights", "hub"):
        assert part in str(caught.value)
    with pytest.raises(UsageError, match=r"no weights for seresnet50t\.untrained"):
        build_backbone("timm:seresnet50t.untrained")


def test_what_cannot_be_built_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"no network 'resnet19'\. Near to that: resnet1"):
        build_backbone("timm:resnet19")
    with pytest.raises(UsageError, match=r"vgg11 cannot be built at stride 8\. Its own is 32"):
        build_backbone("timm:vgg11", stride=8, weights="none")
    with monkeypatch.context() as patched, pytest.raises(UsageError, match="levit_128s gives no map"):
        patched.delattr("timm.models.levit.Levit.forward_intermediates")
        build_backbone("timm:levit_128s", weights="none")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BoxlessError, match=r"pip install 'boxless\[timm\]'"):
        build_backbone("timm:resnet18")
