"""What makes a method Hide-and-Seek: patches of the stated side, at the mean colour, hidden as often as stated."""

from pathlib import Path

import pytest
import torch
from squares import make_squares, quick
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from boxless.backbones import build_backbone
from boxless.methods.cam import Cam
from boxless.methods.has import MIXED, Has
from boxless.methods.training import train_classifier
from boxless.runtime.errors import UsageError


def network(backbone: str = "tiny", **options: object) -> Has:
    torch.manual_seed(0)
    return Has(build_backbone(backbone, weights="none"), 3, **options)  # type: ignore[arg-type]


def blocks(gone: Tensor, side: int) -> Tensor:
    """(batch, H, W) -> (batch, rows, columns, side * side): the pixels of every whole patch."""
    return gone.unfold(1, side, side).unfold(2, side, side).flatten(3)


@pytest.mark.parametrize("backbone", ["lite0", "tiny"])
def test_hidden_patches_have_32_pixels_and_are_zero_after_normalisation(backbone: str) -> None:
    net, images = network(backbone), torch.rand(20, 3, 224, 224)
    seen = net.hide(images)
    gone = (net.backbone.normalise(seen) == 0).all(1)
    assert torch.equal(seen[~gone[:, None].expand_as(seen)], images[~gone[:, None].expand_as(seen)])
    whole = blocks(gone, 32).float().mean(3)
    assert whole.shape == (20, 7, 7)
    assert set(whole.unique().tolist()) == {0.0, 1.0}
    assert float(whole.mean()) == pytest.approx(0.5, abs=0.05)
    assert len({tuple(image.flatten().tolist()) for image in whole}) == 20


def test_the_side_and_the_probability_are_those_that_were_asked_for() -> None:
    net, images = network(patch=5, probability=0.2), torch.rand(200, 3, 32, 48)
    gone = (net.hide(images) != images).all(1)
    patches = blocks(gone, 5).float().mean(3)
    assert patches.shape == (200, 6, 9)
    assert set(patches.unique().tolist()) == {0.0, 1.0}
    assert float(patches.mean()) == pytest.approx(0.2, abs=0.02)
    edge = gone[:, 30:, :5].flatten(1).float().mean(1)  # what is left of a patch at the border is hidden as one
    assert set(edge.tolist()) == {0.0, 1.0}


def test_mixed_draws_the_side_for_each_image() -> None:
    net, images = network(mixed=True), torch.rand(60, 3, 176, 176)
    gone = (net.hide(images) != images).all(1)
    fitting = torch.stack([_whole(blocks(gone, side)) for side in MIXED[1:]])
    untouched = ~gone.flatten(1).any(1)
    assert bool((fitting.any(0) | untouched).all())
    alone = fitting & ~untouched
    for index, share in enumerate(alone.float().mean(1).tolist()):
        assert share > 0.05, MIXED[index + 1]
    assert 0.05 < float(untouched.float().mean()) < 0.5


def _whole(patches: Tensor) -> Tensor:
    """Whether each image's patches are all wholly hidden or wholly seen."""
    share = patches.float().mean(3).flatten(1)
    return ((share == 0) | (share == 1)).all(1)


def test_only_the_loss_hides() -> None:
    net = network(patch=8).eval()
    plain = Cam(net.backbone, 3).eval()
    plain.load_state_dict(net.state_dict())
    images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    assert torch.equal(net.heatmap(images, labels), plain.heatmap(images, labels))
    assert torch.equal(net(images), plain(images))
    torch.manual_seed(5)
    hidden = net.loss(images, labels)
    torch.manual_seed(5)
    assert torch.equal(hidden.total, plain.loss(net.hide(images), labels).total)
    assert not torch.equal(hidden.total, plain.loss(images, labels).total)


def test_nothing_in_hiding_waits_for_the_device() -> None:
    with FakeTensorMode(), torch.device("cpu"):
        assert network(mixed=True).hide(torch.rand(4, 3, 64, 64)).shape == (4, 3, 64, 64)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"patch": 0}, "patch is 0"),
        ({"probability": 0.0}, "which is cam"),
        ({"probability": 1.0}, "less than 1"),
        ({"patch": 16, "mixed": True}, "Give one of the two"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        network(**options)


def test_patches_that_would_hide_whole_images_are_refused_before_training(tmp_path: Path) -> None:
    squares = make_squares(tmp_path / "squares", 8)
    with pytest.raises(UsageError, match="size is 32 pixels, and has with these options needs 33 or more"):
        train_classifier("has", {}, squares, None, quick(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
