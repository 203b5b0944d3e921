"""I2C's equations, each against a loop that follows the paper's (or the released program's) text."""

import math
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from boxless.backbones import build_backbone
from boxless.methods.cam import Cam
from boxless.methods.i2c import I2c, SeedPlaces, stochastic_consistency
from boxless.runtime.errors import UsageError

LABELS = torch.tensor([0, 0, 2, 2, 0, 1])


def network(**options: object) -> I2c:
    torch.manual_seed(0)
    return I2c(build_backbone("tiny", weights="none"), 4, **{"warm_up": 0, **options})  # type: ignore[arg-type]


def some_seeds(valid: list[bool] | None = None, seed: int = 0) -> SeedPlaces:
    vectors = torch.randn(6, 3, 64, generator=torch.Generator().manual_seed(seed))
    return SeedPlaces(vectors.requires_grad_(), LABELS, torch.tensor(valid or [True] * 6))


def pairs(found: SeedPlaces) -> list[tuple[Tensor, Tensor]]:
    """The vectors of all pairs of valid images of one class."""
    kept = [i for i in range(6) if found.valid[i]]
    return [(found.vectors[i], found.vectors[j]) for i, j in combinations(kept, 2) if LABELS[i] == LABELS[j]]


@pytest.mark.parametrize("valid", [[True] * 6, [False, True, True, True, True, True]])
def test_equation_1_over_all_pairs_of_one_class(valid: list[bool]) -> None:
    found = some_seeds(valid)
    expected = torch.stack([(a - b).square().sum(1).mean() for a, b in pairs(found)]).mean()
    loss = stochastic_consistency(found, squared=True)
    assert len(pairs(found)) == (4 if all(valid) else 2)
    assert torch.allclose(loss, expected)
    ours, theirs = (torch.autograd.grad(value, found.vectors)[0] for value in (loss, expected))
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_the_code_takes_plain_distances() -> None:
    found = some_seeds()
    expected = torch.stack([F.pairwise_distance(a, b).mean() for a, b in pairs(found)]).mean()
    assert torch.allclose(stochastic_consistency(found, squared=False), expected, rtol=1e-4)


def test_equal_seeds_cost_nothing_and_have_a_gradient() -> None:
    vectors = torch.ones(2, 3, 8, requires_grad=True)
    found = SeedPlaces(vectors, torch.zeros(2, dtype=torch.long), torch.ones(2, dtype=torch.bool))
    for squared in (True, False):
        loss = stochastic_consistency(found, squared=squared)
        (slope,) = torch.autograd.grad(loss, vectors)
        assert float(loss.detach()) == 0
        assert bool(torch.isfinite(slope).all())


def test_a_batch_without_pairs_costs_nothing() -> None:
    found = SeedPlaces(torch.randn(2, 3, 8), torch.tensor([0, 1]), torch.ones(2, dtype=torch.bool))
    assert float(stochastic_consistency(found, squared=True)) == 0


def test_equation_2_is_the_mean_of_all_seeds_of_a_class() -> None:
    found = some_seeds([True, False, True, True, True, True])
    mean, present = network().class_means(found)
    assert present.tolist() == [True, True, True, False]
    assert torch.allclose(mean[0], torch.cat([found.vectors[0], found.vectors[4]]).mean(0), atol=1e-6)
    assert torch.allclose(mean[1], found.vectors[5].mean(0), atol=1e-6)


@pytest.mark.parametrize("fidelity", ["paper", "code"])
def test_equations_3_to_5_step_by_step(fidelity: str) -> None:
    """Three batches; the memory of each class, kept by hand, and the order of update and comparison."""
    net = network(fidelity=fidelity, alpha=0.5)
    centres, updates = net.centres.clone(), torch.zeros(4)
    for step in range(3):
        found = some_seeds([step != 1] * 2 + [True] * 4, seed=step)
        losses = []
        for label in range(3):
            kept = [i for i in range(6) if LABELS[i] == label and found.valid[i]]
            a = torch.cat([found.vectors[i] for i in kept]).mean(0).detach()
            before = centres[label].clone()
            eta = math.exp(-0.5 * (updates[label] + (fidelity == "paper")))
            centres[label] = (1 - eta) * centres[label] + eta * a
            updates[label] += 1
            squared = (a - centres[label]).square().sum() if fidelity == "paper" else (a - before).square().sum()
            losses.append(squared if fidelity == "paper" else squared.sqrt())
        loss = net.global_consistency(found)
        assert torch.allclose(loss, torch.stack(losses).mean(), rtol=1e-4)
        assert torch.allclose(net.centres, centres, atol=1e-5)
        assert torch.equal(net.updates, updates)
    assert net.updates.tolist() == [3, 3, 3, 0]


def test_the_first_update_replaces_the_random_start_in_the_code_only() -> None:
    found = some_seeds()
    for fidelity, rate in (("code", 1.0), ("paper", math.exp(-0.5))):
        net = network(fidelity=fidelity, alpha=0.5)
        start = net.centres.clone()
        net.global_consistency(found)
        mean = found.vectors.detach()[5].mean(0)
        assert torch.allclose(net.centres[1], (1 - rate) * start[1] + rate * mean, atol=1e-5)


def test_seeds_lie_above_delta_and_are_random() -> None:
    net = network(seeds=4, delta=0.6)
    heat = torch.rand(5, 9, 9)
    features = torch.arange(81.0).view(1, 1, 9, 9).expand(5, 1, 9, 9)
    labels = torch.zeros(5, dtype=torch.long)
    drawn = [net.find_seeds(features, heat, labels).vectors.squeeze(2).long() for _ in range(20)]
    for places in drawn:
        for image, chosen in enumerate(places):
            low, high = heat[image].min(), heat[image].max()
            assert bool((heat[image].flatten()[chosen] > low + 0.6 * (high - low)).all())
            assert len(set(chosen.tolist())) == 4
    assert len({tuple(places[0].tolist()) for places in drawn}) > 5


def test_the_code_takes_the_first_seeds_in_raster_order_and_wraps_round() -> None:
    net = network(seeds=3, fidelity="code")
    heat = torch.zeros(2, 4, 4)
    heat[0, 1, 2] = heat[0, 1, 3] = heat[0, 2, 0] = heat[0, 3, 3] = 1.0
    heat[1, 0, 1] = heat[1, 2, 2] = 1.0
    features = torch.arange(16.0).view(1, 1, 4, 4).expand(2, 1, 4, 4)
    found = net.find_seeds(features, heat, torch.zeros(2, dtype=torch.long))
    assert found.vectors.squeeze(2).tolist() == [[6, 7, 8], [1, 10, 1]]


def test_fewer_places_than_seeds_are_repeated() -> None:
    net = network(seeds=5)
    heat = torch.zeros(1, 2, 2)
    heat[0, 0, 1] = heat[0, 1, 1] = 1.0
    found = net.find_seeds(torch.arange(4.0).view(1, 1, 2, 2), heat, torch.zeros(1, dtype=torch.long))
    values = found.vectors.flatten().tolist()
    assert len(values) == 5
    assert set(values) == {1.0, 3.0}


def test_constant_maps_take_no_part() -> None:
    net = network()
    heat = torch.stack([torch.full((4, 4), 0.3), torch.rand(4, 4), torch.full((4, 4), torch.nan)])
    found = net.find_seeds(torch.randn(3, 64, 4, 4), heat, torch.zeros(3, dtype=torch.long))
    assert found.valid.tolist() == [False, True, False]
    alone = found._replace(vectors=found.vectors[:1], labels=found.labels[:1], valid=found.valid[:1])
    before = net.centres.clone()
    assert float(stochastic_consistency(alone, squared=True) + net.global_consistency(alone)) == 0
    assert torch.equal(net.centres, before)


def test_the_total_is_equation_6_and_waits_for_the_warm_up() -> None:
    net = network(warm_up=2, sc_weight=0.5, gc_weight=0.25)
    images = torch.rand(6, 3, 32, 32)
    for epoch, on in ((0, False), (1, False), (2, True)):
        net.epoch = epoch
        before = net.updates.clone()
        losses = net.loss(images, LABELS)
        assert torch.allclose(losses.total, losses.classification + 0.5 * losses.sc + 0.25 * losses.gc)
        assert (float(losses.sc.detach()) > 0) is on
        assert torch.equal(net.updates, before) is not on


def test_the_published_factors_belong_to_plain_distances() -> None:
    assert (network(fidelity="code").sc_weight, network(fidelity="code").gc_weight) == (0.008, 0.001)
    assert network().sc_weight == pytest.approx(8e-5)
    assert network(sc_weight=0.5).sc_weight == 0.5


def test_a_frozen_backbone_is_refused() -> None:
    backbone = build_backbone("tiny", weights="none")
    backbone.freeze("all")
    with pytest.raises(UsageError, match="frozen"):
        I2c(backbone, 2)


def test_without_factors_it_is_cam() -> None:
    net = network(sc_weight=0.0, gc_weight=0.0)
    torch.manual_seed(0)
    plain = Cam(build_backbone("tiny", weights="none"), 4)
    images = torch.rand(6, 3, 32, 32)
    assert torch.allclose(net.loss(images, LABELS).total, plain.loss(images, LABELS).total)
    assert torch.equal(net.eval().heatmap(images, LABELS), plain.eval().heatmap(images, LABELS))


def test_constraints_pull_on_the_backbone_and_not_through_the_choice_of_seeds() -> None:
    net = network()
    losses = net.loss(torch.rand(6, 3, 32, 32), LABELS)
    (losses.sc + losses.gc).backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in net.backbone.parameters())
    assert net.fc.weight.grad is None


@pytest.mark.parametrize("fidelity", ["paper", "code"])
def test_learnt_centres_move_by_gradient_alone(fidelity: str) -> None:
    net = network(centres="backprop", fidelity=fidelity)
    before = net.centres.detach().clone()
    losses = net.loss(torch.rand(6, 3, 32, 32), LABELS)
    losses.total.backward()
    assert torch.equal(net.centres.detach(), before)
    assert net.centres.grad is not None
    assert net.centres.grad.abs().sum(1).gt(0).tolist() == [True, True, True, False]
    assert not network().centres.requires_grad


def test_memory_and_counters_are_in_the_state() -> None:
    net = network()
    net.loss(torch.rand(6, 3, 32, 32), LABELS)
    again = network(seeds=1)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.centres, net.centres)
    assert again.updates.tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("fidelity", ["paper", "code"])
def test_nothing_in_the_step_waits_for_the_device(fidelity: str) -> None:
    """Tensors without data: whatever asked for a value on the host would fail here."""
    with FakeTensorMode(), torch.device("cpu"):
        net = network(fidelity=fidelity)
        losses = net.loss(torch.rand(6, 3, 32, 32), torch.zeros(6, dtype=torch.long))
        losses.total.backward()


def test_global_consistency_adds_a_vector_for_each_class() -> None:
    """Section 4.3: 0.8 M parameters for 1,000 classes of InceptionV3's 768 channels."""
    backbone = build_backbone("inception_v3", weights="none")
    plain, ours = (sum(value.numel() for value in kind(backbone, 1000).state_dict().values()) for kind in (Cam, I2c))
    assert ours - plain == 1000 * 768 + 1000


def test_seeds_may_be_features_of_an_earlier_step() -> None:
    """Sections 3.1 and 4.1: the paper's are those that the head's convolutions still stand behind."""
    net = network(layer="conv2", gc_weight=0.0, sc_weight=1.0)
    images = torch.rand(6, 3, 32, 32)
    (seen,) = net.backbone.intermediates(images, "conv2")
    assert net.centres.shape == (4, seen.shape[1])
    net.loss(images, LABELS).sc.backward()
    reached = {name: p.grad is not None for name, p in net.backbone.named_parameters()}
    assert {name for name, there in reached.items() if not there} == {name for name in reached if "conv3" in name}
    last = [name for name, _ in net.backbone.stages()][-1]
    assert torch.equal(network(layer=last).loss(images, LABELS).total, network().loss(images, LABELS).total)


def test_steps_that_seeds_cannot_come_from_are_refused() -> None:
    backbone = build_backbone("tiny", weights="none")
    with pytest.raises(UsageError, match=r"no stage 'block15'. Its stages: conv1"):
        I2c(backbone, 2, layer="block15")
    backbone.freeze("conv2")
    with pytest.raises(UsageError, match="layer is conv2, and that stage is frozen"):
        I2c(backbone, 2, layer="conv2")
