import boxless.runtime.torchvision_compat  # noqa: F401

# isort: split
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boxless.backbones import BACKBONES, build_backbone
from boxless.backbones.backbone import Backbone
from boxless.backbones.fuse_batchnorm import folded
from boxless.backbones.lite0 import SameConv2d, imagenet
from boxless.backbones.weights import fill
from boxless.runtime import checkpoint
from boxless.runtime.errors import BoxlessError, UsageError

MAPS = {
    "lite0": 1280, "vgg16": 512, "resnet50": 2048, "inception_v3": 768, "alexnet": 256, "googlenet": 832,
    "resnet50_se": 2048, "preresnet34": 512, "tiny": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    return build_backbone("lite0", stride=32).eval()


@pytest.mark.parametrize(("name", "stride"), [(name, entry.strides[0]) for name, entry in BACKBONES.items()])
def test_the_map_has_the_published_size(name: str, stride: int) -> None:
    backbone = build_backbone(name, weights="none").eval()
    size = 64 if name == "preresnet34" else 224
    with torch.inference_mode():
        features = backbone(torch.rand(1, 3, size, size))
    side = size // stride
    assert features.shape == (1, MAPS[name], side, side)
    assert (backbone.name, backbone.stride, backbone.channels) == (name, stride, MAPS[name])


@pytest.mark.parametrize(
    ("name", "stride"), [(name, stride) for name, entry in BACKBONES.items() for stride in entry.strides[1:]]
)
def test_every_stride_gives_its_map(name: str, stride: int) -> None:
    with torch.inference_mode():
        features = build_backbone(name, stride=stride, weights="none").eval()(torch.rand(1, 3, 96, 96))
    assert features.shape[-2:] == (96 // stride, 96 // stride)


def test_inception_at_320_pixels_gives_40() -> None:
    with torch.inference_mode():
        assert build_backbone("inception_v3", weights="none").eval()(torch.rand(1, 3, 320, 320)).shape[-1] == 40


@pytest.mark.parametrize("name", BACKBONES)
def test_training_reaches_every_parameter(name: str) -> None:
    backbone = build_backbone(name, weights="none")
    backbone(torch.rand(2, 3, 64, 64)).sum().backward()
    assert [key for key, parameter in backbone.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", ["lite0", "resnet50", "inception_v3", "googlenet", "resnet50_se", "preresnet34"])
def test_folding_batch_normalisation_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    backbone, images = build_backbone(name, weights="none"), torch.rand(1, 3, 64, 64)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training, else there is nothing to fold
            for values in (module.running_mean, module.running_var, module.weight, module.bias):
                nn.init.uniform_(values, 0.5, 1.5)  # type: ignore[arg-type]
    with torch.inference_mode():
        features = backbone.eval()(images)
        assert torch.allclose(folded(backbone)(images), features, rtol=1e-3, atol=1e-3 * float(features.abs().max()))


def test_resnet50_se_is_timms_network_under_timms_names() -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("seresnet50").eval()
    ours = build_backbone("resnet50_se", stride=32, weights="none").eval()
    fill(ours, theirs.state_dict(), "timm")
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = theirs.forward_features(ours.normalise(images))
        assert torch.allclose(ours(images), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
        assert float(expected.abs().max()) > 0


def test_pre_activation_leaves_shortcuts_as_they_are() -> None:
    """With the last convolution of a block at zero the block is the identity, without a ReLU (He et al., Eq. 5)."""
    backbone = build_backbone("preresnet34", weights="none").eval()
    block = dict(backbone.stages())["layer3.1"]
    nn.init.zeros_(block.conv2.weight)  # type: ignore[arg-type, union-attr]
    features = torch.randn(1, 256, 4, 4)
    assert torch.equal(block(features), features)
    counted = sum(isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1) for module in backbone.modules())
    assert counted == 33  # with the classifier 34


def test_taps_are_the_features_on_the_way(lite0: Backbone) -> None:
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        middle, late, end = lite0.intermediates(images, "block10", "block15", "head")
        assert torch.equal(end, lite0(images))
    assert (middle.shape[1:], late.shape[1:]) == ((112, 4, 4), (320, 2, 2))
    with pytest.raises(KeyError):
        lite0.intermediates(images, "block99")


def test_functions_run_after_the_named_steps_also_of_a_frozen_network() -> None:
    backbone, images = build_backbone("tiny", weights="none"), torch.rand(2, 3, 16, 16)
    last = dict(backbone.stages())["conv3"]
    (middle,) = backbone.intermediates(images, "conv2")
    for frozen in ("", "conv1", "all"):
        if frozen:
            backbone.freeze(frozen)
        changed = backbone(images, hooks={"conv2": lambda features: 2 * features})
        assert torch.allclose(changed, last(2 * middle), atol=1e-6)
    with pytest.raises(KeyError):
        backbone(images, hooks={"block99": torch.relu})


def test_lite0_normalises_as_its_weights_expect(lite0: Backbone) -> None:
    images = torch.tensor([0.0, 127 / 255, 1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    expected = torch.tensor([-127 / 128, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert torch.allclose(lite0.normalise(images), expected, atol=1e-6)


def test_lite0_features_still_classify_when_strides_become_dilations() -> None:
    """A sine grating and its finer maps: the mean feature keeps its direction, which plain stride 1 destroys."""
    rows = torch.linspace(0, 40, 128)
    images = (0.5 + 0.5 * torch.sin(rows[:, None] + rows[None, :] / 3)).expand(1, 3, 128, 128)
    with torch.inference_mode():
        means = [build_backbone("lite0", stride=stride).eval()(images).mean((2, 3)) for stride in (32, 16, 8)]
    assert all(float(F.cosine_similarity(means[0], mean)) > 0.9 for mean in means[1:])


def test_same_padding_is_tensorflows() -> None:
    """Kernel 3, stride 2, four pixels: one pixel is missing, and it is added at the bottom right."""
    conv = SameConv2d(1, 1, 3, 2, bias=False)
    nn.init.ones_(conv.weight)
    out = conv(torch.arange(16.0).view(1, 1, 4, 4))
    assert torch.equal(out, torch.tensor([[[[45.0, 39.0], [66.0, 50.0]]]]))


def test_weights_that_lack_something_are_refused(tmp_path: object) -> None:
    state = dict(imagenet())
    del state["_blocks.3._bn0.weight"]
    path = f"{tmp_path}/weights.pt"
    torch.save(state, path)
    with pytest.raises(BoxlessError, match=r"lacks _blocks\.3\._bn0\.weight"):
        build_backbone("lite0", weights=path)
    torch.save({**state, "_blocks.3._bn0.weight": torch.zeros(1)}, path)
    with pytest.raises(BoxlessError, match=r"another shape for _blocks\.3\._bn0\.weight"):
        build_backbone("lite0", weights=path)


def test_weights_come_from_a_boxless_checkpoint_too(tmp_path: object) -> None:
    torch.manual_seed(3)
    tiny = build_backbone("tiny", weights="none")
    path = f"{tmp_path}/last.pt"
    state: dict[str, Tensor] = {f"backbone.{key}": value for key, value in tiny.state_dict().items()}
    from pathlib import Path

    checkpoint.save(Path(path), {"model": {**state, "fc.weight": torch.zeros(2, 64)}})
    again = build_backbone("tiny", weights=path)
    assert torch.equal(again.net.state_dict()["conv1.0.weight"], tiny.net.state_dict()["conv1.0.weight"])


def test_weights_that_cannot_be_downloaded_say_where_to_put_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(BoxlessError) as caught:
        build_backbone("resnet50")
    for part in ("resnet50-0676ba61.pth", str(tmp_path), "https://download.pytorch.org", "no network"):
        assert part in str(caught.value)


def test_wrong_requests_are_refused_in_words() -> None:
    with pytest.raises(UsageError, match="no backbone 'resnet51'"):
        build_backbone("resnet51")
    with pytest.raises(UsageError, match=r"stride 4.*8, 16, 32"):
        build_backbone("lite0", stride=4)
    with pytest.raises(UsageError, match="no ImageNet weights"):
        build_backbone("tiny")
    with pytest.raises(BoxlessError, match="no weights file"):
        build_backbone("tiny", weights="nowhere.pt")


def test_frozen_steps_keep_weights_and_statistics(lite0: Backbone) -> None:
    backbone = build_backbone("lite0", stride=32)
    backbone.freeze("block2")
    backbone.train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    backbone(torch.rand(2, 3, 64, 64)).sum().backward()
    moved = {key for key, value in backbone.state_dict().items() if not torch.equal(value, before[key])}
    assert not any(key.startswith(("net._bn0", "net._blocks.0.", "net._blocks.2.")) for key in moved)
    assert any(key.startswith("net._blocks.3.") for key in moved)
    assert backbone.net.get_submodule("_blocks.2")._expand_conv.weight.grad is None  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="no stage 'layer9'"):
        backbone.freeze("layer9")


def test_vgg_at_stride_8_keeps_three_strides() -> None:
    net = build_backbone("vgg16", weights="none").net
    strides = [layer.stride for layer in net.features if isinstance(layer, nn.MaxPool2d)]  # type: ignore[union-attr]
    assert strides == [2, 2, 2, 1, 1]
    assert np.isclose(sum(p.numel() for p in net.parameters()), 14_714_688)


def test_a_broken_file_in_the_cache_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints" / "resnet50-0676ba61.pth"
    file.parent.mkdir()
    file.write_bytes(b"half a download")
    with pytest.raises(BoxlessError, match=r"resnet50-0676ba61\.pth are broken .* Remove the file"):
        build_backbone("resnet50")


@pytest.mark.parametrize("name", BACKBONES)
def test_feature_info_is_what_leaves_each_stage(name: str) -> None:
    backbone = build_backbone(name, weights="none").eval()
    names = [info.name for info in backbone.feature_info]
    with torch.inference_mode():
        features = backbone.intermediates(torch.rand(1, 3, 192, 192), *names)
    shapes = [(info.channels, info.reduction) for info in backbone.feature_info]
    assert shapes == [(found.shape[1], round(192 / found.shape[2])) for found in features]
    assert backbone.feature_info[-1][1:] == (backbone.channels, backbone.stride)
