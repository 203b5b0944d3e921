"""What makes a method CutMix: a pasted box, and labels that count by the area that was truly pasted."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from boxless.backbones import build_backbone
from boxless.methods.cam import Cam
from boxless.methods.cutmix import CutBox, CutMix, draw_box, paste
from boxless.runtime.errors import UsageError

LABELS = torch.arange(6)


def network(**options: object) -> CutMix:
    torch.manual_seed(0)
    return CutMix(build_backbone("tiny", weights="none"), 6, **options)  # type: ignore[arg-type]


def flat_images() -> Tensor:
    """Six images of one value each, which says whose pixels one sees."""
    return LABELS.float().view(6, 1, 1, 1).expand(6, 3, 20, 30) / 10


@pytest.mark.parametrize("box", [CutBox(3, 2, 11, 9), CutBox(0, 0, 30, 1), CutBox(0, 0, 30, 20), CutBox(4, 4, 4, 4)])
def test_the_weight_of_the_own_label_is_the_area_that_is_left(box: CutBox) -> None:
    images = flat_images()
    mixed, others, own = paste(images, LABELS, box)
    assert sorted(others.tolist()) == LABELS.tolist()
    inside = torch.zeros(20, 30, dtype=torch.bool)
    inside[box.top : box.bottom, box.left : box.right] = True
    for image, other in zip(range(6), others.tolist(), strict=True):
        assert torch.equal(mixed[image][:, ~inside], images[image][:, ~inside])
        assert torch.equal(mixed[image][:, inside], images[other][:, inside])
        if other != image:
            assert own == pytest.approx(float((mixed[image] == images[image]).float().mean()))
    assert bool((images == flat_images()).all())


def test_boxes_lie_in_the_image_and_cover_what_beta_says_where_nothing_is_cut_off() -> None:
    torch.manual_seed(0)
    boxes = [draw_box(224, 112, 1.0) for _ in range(2000)]
    assert all(0 <= b.left <= b.right <= 224 and 0 <= b.top <= b.bottom <= 112 for b in boxes)
    free = [b for b in boxes if b.left > 0 and b.top > 0 and b.right < 224 and b.bottom < 112]
    assert all(abs((b.right - b.left) - 2 * (b.bottom - b.top)) <= 4 for b in free)  # the image's shape
    centres = torch.tensor([((b.left + b.right) / 448, (b.top + b.bottom) / 224) for b in boxes])
    assert torch.allclose(centres.mean(0), torch.tensor([0.5, 0.5]), atol=0.02)
    torch.manual_seed(0)
    # Without clipping the mean area would be 1/2. A side s cut at the border keeps s - s^2 / 4 of itself on average.
    kept = torch.rand(200_000)
    side = (1 - kept).sqrt()
    expected = float((side - side**2 / 4).square().mean())
    areas = [(b.right - b.left) * (b.bottom - b.top) / (224 * 112) for b in boxes]
    assert sum(areas) / 2000 == pytest.approx(expected, abs=0.02)


def test_a_small_alpha_draws_small_or_large_boxes() -> None:
    torch.manual_seed(0)
    areas = torch.tensor(
        [(b.right - b.left) * (b.bottom - b.top) / 1e4 for b in (draw_box(100, 100, 0.1) for _ in range(500))]
    )
    assert float((areas < 0.02).float().mean()) > 0.3
    assert float((areas > 0.25).float().mean()) > 0.3


def test_the_loss_mixes_cross_entropies_by_area() -> None:
    net, images = network(), torch.rand(6, 3, 32, 32)
    torch.manual_seed(7)
    losses = net.loss(images, LABELS)
    torch.manual_seed(7)
    torch.rand(())
    mixed, others, own = paste(images, LABELS, draw_box(32, 32, 1.0))
    assert 0 < own < 1
    soft = own * F.one_hot(LABELS, 6) + (1 - own) * F.one_hot(others, 6)
    assert torch.allclose(losses.total, F.cross_entropy(net(mixed), soft), atol=1e-6)
    right = soft.gather(1, net(mixed).argmax(1, keepdim=True)).mean()
    assert torch.allclose(losses.accuracy, right, atol=1e-6)


def test_the_probability_is_that_of_a_batch_to_be_mixed() -> None:
    net, images = network(probability=0.3), torch.rand(6, 3, 32, 32)
    plain = Cam.loss(net, images, LABELS).total
    torch.manual_seed(0)
    with torch.no_grad():
        untouched = [bool(torch.equal(net.loss(images, LABELS).total, plain)) for _ in range(200)]
    assert sum(untouched) / 200 == pytest.approx(0.7, abs=0.1)


def test_only_the_loss_mixes() -> None:
    net = network().eval()
    plain = Cam(net.backbone, 6).eval()
    plain.load_state_dict(net.state_dict())
    images = torch.rand(6, 3, 32, 32)
    assert torch.equal(net.heatmap(images, LABELS), plain.heatmap(images, LABELS))
    assert torch.equal(net(images), plain(images))


def test_one_image_is_pasted_into_itself() -> None:
    net, image = network(), torch.rand(1, 3, 32, 32)
    assert torch.allclose(net.loss(image, LABELS[:1]).total, Cam.loss(net, image, LABELS[:1]).total, atol=1e-6)


@pytest.mark.parametrize("options", [{"alpha": 0.0}, {"alpha": -1.0}, {"probability": 0.0}, {"probability": 1.5}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"expected .*more than 0"):
        network(**options)
