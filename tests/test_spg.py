"""SPG's seeds and losses against loops that follow the paper's text, and what is left of it at prediction."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from boxless.backbones import BACKBONES, build_backbone
from boxless.methods.cam import Cam
from boxless.methods.optimizer import make_optimizer
from boxless.methods.settings import Training
from boxless.methods.spg import IGNORED, TAPS, Spg, enlarged, seeded_loss, seeds, unit_range_or_nan
from boxless.runtime.errors import UsageError

LABELS = torch.tensor([0, 1, 2, 1])
BRANCHES = ("side3", "side4", "side_all", "branch_c")


def network(backbone: str = "tiny", **options: object) -> Spg:
    torch.manual_seed(0)
    return Spg(build_backbone(backbone, weights="none"), 3, **options)  # type: ignore[arg-type]


def pictures(count: int = 4) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("high", "low"), [(0.7, 0.05), (0.5, 0.05), (0.7, 0.1)])
def test_masks_are_ordered(high: float, low: float) -> None:
    sure = torch.rand(3, 40, 40)
    mask = seeds(sure, high, low)
    assert set(mask.unique().tolist()) == {0.0, 1.0, IGNORED}
    assert torch.equal(mask == 1, sure > high)
    assert torch.equal(mask == 0, sure < low)
    assert float(sure[mask == 0].max()) < float(sure[mask == IGNORED].min())
    assert float(sure[mask == IGNORED].max()) < float(sure[mask == 1].min())


def test_with_too_few_sure_pixels_the_threshold_is_lowered_for_that_image_alone() -> None:
    faint, clear = torch.rand(20, 20) * 0.4 + 0.06, torch.rand(20, 20)
    mask = seeds(torch.stack([faint, clear]), 0.5, 0.05)
    assert torch.equal(mask[0] == 1, faint > 0.7 * faint.max())
    assert torch.equal(mask[1] == 1, clear > 0.5)
    assert int((mask[0] == 1).sum()) > 30


def test_background_wins_where_a_lowered_threshold_falls_below_the_other() -> None:
    mask = seeds(torch.linspace(0, 0.06, 400).view(1, 20, 20), 0.5, 0.05)
    assert bool((mask.flatten()[:330] == 0).all())
    assert bool((mask.flatten()[-60:] == 1).all())


def test_a_constant_map_gives_no_seeds() -> None:
    mask = seeds(unit_range_or_nan(torch.full((1, 8, 8), 0.3)), 0.7, 0.05)
    assert bool((mask == IGNORED).all())
    logits = torch.randn(1, 8, 8, requires_grad=True)
    loss = seeded_loss(logits, mask)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None and bool((logits.grad == 0).all())


def test_the_loss_of_a_branch_is_over_its_seeds() -> None:
    logits, mask = torch.randn(2, 6, 6), seeds(torch.rand(2, 6, 6), 0.7, 0.3)
    means = []
    for logit, wanted in zip(logits, mask, strict=True):
        asked = wanted < IGNORED
        means.append(F.binary_cross_entropy_with_logits(logit[asked], wanted[asked]))
    assert torch.allclose(seeded_loss(logits, mask), torch.stack(means).mean())


def test_the_total_is_the_sum_of_four_and_each_branch_has_its_teacher() -> None:
    net = network()
    losses = net.loss(pictures(), LABELS)
    assert torch.allclose(losses.total, losses.classification + losses.b1 + losses.b2 + losses.c)
    middle, late, features = net.backbone.intermediates(pictures(), "conv1", "conv2", "conv3")
    b1, b2 = (enlarged(net.side_all(x), (32, 32)) for x in (net.side3(middle), net.side4(late)))
    c = enlarged(net.branch_c(features), (32, 32))
    attention = unit_range_or_nan(enlarged(net.class_maps(features, LABELS)[:, None], (32, 32)))
    fused = (torch.sigmoid(b1) + torch.sigmoid(b2)) / 2
    assert torch.allclose(losses.b2, seeded_loss(b2, seeds(attention, 0.7, 0.05)))
    assert torch.allclose(losses.b1, seeded_loss(b1, seeds(torch.sigmoid(b2), 0.5, 0.05)))
    assert torch.allclose(losses.c, seeded_loss(c, seeds(fused, 0.7, 0.1)))
    assert torch.allclose(losses.classification, F.cross_entropy(net(pictures()), LABELS))


def test_a_branch_moves_itself_and_what_it_reads_and_no_teacher() -> None:
    net = network()
    reached = {}
    for term in ("b1", "b2", "c"):
        net.zero_grad()
        getattr(net.loss(pictures(), LABELS), term).backward()
        reached[term] = {
            name.split(".")[0] if not name.startswith("backbone") else name.split(".")[2]
            for name, parameter in net.named_parameters()
            if parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        }
    assert reached == {
        "b1": {"side3", "side_all", "conv1"},
        "b2": {"side4", "side_all", "conv1", "conv2"},
        "c": {"branch_c", "conv1", "conv2", "conv3"},
    }


@pytest.mark.parametrize("head", ["linear", "conv"])
def test_prediction_is_cams_and_computes_no_branch(head: str) -> None:
    net = network(head=head).eval()

    def refuse(*_: object) -> None:
        raise AssertionError("a branch ran")

    for name in BRANCHES:
        for module in net.get_submodule(name).modules():
            module.register_forward_hook(refuse)
    heat, logits = net.heatmap_and_logits(pictures(), LABELS)
    expected, same = Cam.heatmap_and_logits(net, pictures(), LABELS)
    assert torch.equal(heat, expected) and torch.equal(logits, same)
    assert torch.equal(net(pictures()), logits)
    assert torch.equal(heat, net.heatmap(pictures(), LABELS))  # dropout is for training alone
    with pytest.raises(AssertionError, match="a branch ran"):
        net.loss(pictures(), LABELS)


def test_everything_new_learns_faster() -> None:
    net = network(head="conv")
    rates = {
        id(p): group["lr"] for group in make_optimizer(net, Training(lr=0.001)).param_groups for p in group["params"]
    }
    for name, parameter in net.named_parameters():
        factor = (1 if name.startswith("backbone.") else 10) * (2 if name.endswith("bias") else 1)
        assert rates[id(parameter)] == pytest.approx(0.001 * factor), name


@pytest.mark.parametrize("name", TAPS)
def test_the_branches_fit_the_backbone(name: str) -> None:
    net = network(name).eval()
    with torch.inference_mode():
        coarse, fine, _ = net.backbone.intermediates(torch.rand(1, 3, 64, 64), *net.read)
        assert net.side_all(net.side3(coarse)).shape[1] == net.side_all(net.side4(fine)).shape[1] == 1
    convolutions = [module for module in net.side_all.modules() if isinstance(module, nn.Conv2d)]
    assert [layer.kernel_size for layer in convolutions] == [(3, 3), (1, 1)]


@pytest.mark.parametrize("name", sorted(set(BACKBONES) - set(TAPS)))
def test_other_backbones_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"no places for its branches in {name}"):
        network(name)


def test_frozen_features_are_refused_unless_the_head_has_its_own() -> None:
    backbone = build_backbone("tiny", weights="none")
    backbone.freeze("all")
    with pytest.raises(UsageError, match="frozen"):
        Spg(backbone, 2)
    losses = Spg(backbone, 3, head="conv").loss(pictures(), LABELS)
    losses.c.backward()


def test_nothing_in_the_step_waits_for_the_device() -> None:
    with FakeTensorMode(), torch.device("cpu"):
        network().loss(pictures(), torch.zeros(4, dtype=torch.long)).total.backward()
