"""What makes a method ADL: what a layer hides and weights, where the layers stand, and that prediction has none."""

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from boxless.backbones import BACKBONES, build_backbone
from boxless.methods.adl import PLACES, Adl, places
from boxless.methods.cam import Cam
from boxless.runtime.errors import UsageError

LABELS = torch.tensor([0, 1, 2, 0])


def network(**options: object) -> Adl:
    torch.manual_seed(0)
    return Adl(build_backbone("tiny", weights="none"), 3, **options)  # type: ignore[arg-type]


def some_features() -> Tensor:
    """Rectified, as at all published places, with a different maximum in each image."""
    torch.manual_seed(1)
    return torch.randn(4, 16, 8, 8).relu() * torch.tensor([0.1, 0.5, 1.0, 4.0]).view(4, 1, 1, 1)


@pytest.mark.parametrize("threshold", [0.8, 0.9])
def test_the_drop_mask_hides_the_most_important_places_and_no_others(threshold: float) -> None:
    features = some_features()
    seen = network(drop_rate=1.0, threshold=threshold).attend(features)
    for image, was in zip(seen, features, strict=True):
        attention = was.mean(0)
        hidden = attention >= threshold * attention.max()
        assert 0 < int(hidden.sum()) < 32
        assert bool((image[:, hidden] == 0).all())
        assert torch.equal(image[:, ~hidden], was[:, ~hidden])


def test_otherwise_the_importance_map_weights_every_place() -> None:
    features = some_features()
    expected = features * torch.sigmoid(features.mean(1, keepdim=True))
    assert torch.allclose(network(drop_rate=0.0).attend(features), expected)


def test_features_that_are_not_rectified_count_by_their_magnitude() -> None:
    features = some_features()
    signs = torch.where(torch.rand(4, 16, 8, 8) < 0.5, -1.0, 1.0)
    for rate in (0.0, 1.0):
        net = network(drop_rate=rate)
        assert torch.equal(net.attend(signs * features), signs * net.attend(features))


def hides(net: Adl, features: Tensor) -> list[bool]:
    """Whether the layer hid something, for each image."""
    return ((net.attend(features) == 0) & (features != 0)).flatten(1).any(1).tolist()


def test_one_choice_for_the_whole_batch() -> None:
    net, features = network(), some_features()
    choices = [hides(net, features) for _ in range(400)]
    assert all(len(set(choice)) == 1 for choice in choices)
    assert sum(choice[0] for choice in choices) / 400 == pytest.approx(0.75, abs=0.08)


def test_every_layer_chooses_for_itself() -> None:
    net, attend, hidden = network(drop_rate=0.5), Adl.attend, list[bool]()

    def watched(features: Tensor) -> Tensor:
        seen = attend(net, features)
        hidden.append(bool(((seen == 0) & (features != 0)).any()))
        return seen

    net.attend = watched  # type: ignore[method-assign]
    for _ in range(60):
        net.loss(torch.rand(4, 3, 32, 32), LABELS)
    pairs = set(zip(hidden[::2], hidden[1::2], strict=True))
    assert pairs == {(False, False), (False, True), (True, False), (True, True)}


def test_prediction_has_no_layers() -> None:
    net = network(drop_rate=1.0).eval()
    plain = Cam(net.backbone, 3).eval()
    plain.load_state_dict(net.state_dict())
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(net.heatmap(images, LABELS), plain.heatmap(images, LABELS))
    assert torch.equal(net(images), plain(images))
    assert not torch.equal(net.loss(images, LABELS).total, plain.loss(images, LABELS).total)


def test_the_layers_stand_where_they_should() -> None:
    net, images = network(drop_rate=0.0, positions="conv1, conv3"), torch.rand(4, 3, 32, 32)
    conv1, conv2, conv3 = (stage for _, stage in net.backbone.stages())
    hidden = net.attend(conv1(net.backbone.normalise(images)))
    logits = net.classify(net.attend(conv3(conv2(hidden))))
    assert torch.allclose(net.loss(images, LABELS).total, torch.nn.functional.cross_entropy(logits, LABELS), atol=1e-6)


def test_the_layer_of_the_head_stands_before_its_last_dropout() -> None:
    net = network(head="conv", positions="neck", drop_rate=0.0)
    net.eval()
    features = net.backbone(torch.rand(2, 3, 16, 16))
    assert torch.allclose(net.through_neck(features), net.attend(net.neck(features)), atol=1e-6)
    net.train()
    seen = net.through_neck(features).detach()
    assert float((seen == 0).float().mean()) > 0.4  # the dropout comes last: half of what it lets through is gone


@pytest.mark.parametrize("name", [name for name in PLACES if name in BACKBONES])
def test_the_default_places_exist(name: str) -> None:
    backbone = build_backbone(name, weights="none")
    steps = {name for name, _ in backbone.stages()} | {"neck"}
    assert set(places(backbone, "", "conv")) == set(PLACES[name]) <= steps
    assert "neck" not in places(backbone, "", "linear")


def test_the_published_thresholds() -> None:
    backbone = build_backbone("tiny", weights="none")
    assert Adl(backbone, 3).threshold == 0.9
    backbone.name = "vgg16"
    assert Adl(backbone, 3, positions="conv3").threshold == 0.8
    assert Adl(backbone, 3, positions="conv3", threshold=0.5).threshold == 0.5
    backbone.name = "another"
    assert Adl(backbone, 3).positions == ("conv3",)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"positions": "conv1,layer4.0"}, r"tiny has no stage 'layer4\.0'.*conv1, conv2, conv3"),
        ({"positions": "conv1,"}, "has no stage ''"),
        ({"positions": "neck"}, "the head is linear"),
        ({"drop_rate": 1.5}, "0 to 1"),
        ({"threshold": 0.0}, "above 0"),
        ({"threshold": 1.1}, "up to 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        network(**options)


def test_nothing_in_a_layer_waits_for_the_device() -> None:
    with FakeTensorMode(), torch.device("cpu"):
        net = network()
        net.loss(torch.rand(4, 3, 32, 32), torch.zeros(4, dtype=torch.long)).total.backward()
