"""DANet's losses and maps against the paper's text, and the hierarchy that its options give."""

import logging
import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from squares import make_squares, quick, read_settings
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from boxless import load
from boxless.backbones import BACKBONES, build_backbone
from boxless.methods import options_for
from boxless.methods.class_hierarchy import parsed, resolved
from boxless.methods.danet import TAPS, Danet, divergence
from boxless.methods.training import train_classifier
from boxless.runtime import checkpoint
from boxless.runtime.errors import BoxlessError, UsageError

BIRDS = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "004.Groove_billed_Ani", "009.Brewer_Blackbird"]
NUMBERS = "0 0 1 2 / 0 0 1 1"
LABELS = torch.tensor([0, 1, 2, 3])


def network(backbone: str = "tiny", **options: Any) -> Danet:
    torch.manual_seed(0)
    return Danet(build_backbone(backbone, weights="none"), 4, **{"hierarchy": NUMBERS, **options})


def pictures() -> Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_three_heads_classify_three_levels() -> None:
    net = network(alpha=0.25)
    assert [head.groups for head in net.heads] == [2, 3, 4]
    losses = net.loss(pictures(), LABELS)
    hidden = net.hidden(pictures())
    root, parent, child = (head.score(level) for head, level in zip(net.heads, hidden, strict=True))
    assert torch.allclose(losses.child, F.cross_entropy(child, LABELS))
    assert torch.allclose(losses.parent, F.cross_entropy(parent, torch.tensor([0, 0, 1, 2])))
    assert torch.allclose(losses.root, F.cross_entropy(root, torch.tensor([0, 0, 1, 1])))
    halves = 0.5 * (losses.child + losses.parent + losses.root)
    assert torch.allclose(losses.total, halves + 0.25 * losses.divergence)


def test_a_score_is_the_mean_of_its_maps() -> None:
    head = network(maps=3).parent
    torch.nn.init.normal_(head.fc.bias)
    hidden = torch.rand(4, 32, 5, 5)
    for group in range(3):
        maps = head.compute_heatmaps(hidden, torch.full((4,), group))
        assert maps.shape == (4, 3, 5, 5)
        assert torch.allclose(maps.mean((1, 2, 3)), head.score(hidden)[:, group], atol=1e-5)


def test_the_map_is_the_sum_of_rectified_means_of_class_family_and_order() -> None:
    net = network(maps=2).eval()
    for head in net.heads:
        torch.nn.init.normal_(head.fc.bias, std=0.1)
    hidden = net.hidden(pictures())
    heat = net.heatmap(pictures(), LABELS)
    groups = (torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 2]), LABELS)
    expected = torch.zeros(4, 8, 8)
    for head, level, group in zip(net.heads, hidden, groups, strict=True):
        maps = head.compute_heatmaps(level, group)
        step = maps.shape[2] // 8
        expected += F.avg_pool2d(maps, step).relu().mean(1)
    assert torch.allclose(heat, expected, atol=1e-6)
    assert bool((heat >= 0).all())


def test_divergence_is_the_mean_cosine_of_the_drawn_pairs() -> None:
    maps = torch.randn(3, 8, 4, 4)
    torch.manual_seed(5)
    loss = divergence(maps)
    torch.manual_seed(5)
    drawn = torch.randperm(8)[:4].tolist()
    each = [
        sum(
            float(F.cosine_similarity(image[k].flatten(), image[m].flatten(), dim=0)) for k, m in combinations(drawn, 2)
        )
        for image in maps
    ]
    assert float(loss) == pytest.approx(sum(abs(value) / 6 for value in each) / 3, rel=1e-4)
    assert float(divergence(torch.rand(2, 1, 4, 4).expand(2, 6, 4, 4))) == pytest.approx(1, rel=1e-5)
    apart = torch.eye(16).view(1, 16, 4, 4)
    assert float(divergence(apart)) == 0


def test_other_maps_are_drawn_at_every_step() -> None:
    maps = torch.randn(2, 24, 4, 4)
    assert len({float(divergence(maps)) for _ in range(5)}) == 5
    zeros = torch.zeros(2, 6, 4, 4, requires_grad=True)
    divergence(zeros).backward()
    assert zeros.grad is not None and bool(torch.isfinite(zeros.grad).all())


def near_duplicate_groups(net: Danet) -> float:
    """Mean cosine of the maps of each level."""
    with torch.no_grad():
        levels = [maps.flatten(2) for maps in net.level_maps(net.hidden(pictures()), LABELS)]
    cosines = [F.normalize(maps, dim=2) @ F.normalize(maps, dim=2).mT for maps in levels]
    return float(torch.stack(cosines).mean())


def test_maps_that_begin_alike_part_by_the_divergence_alone() -> None:
    """Cross entropy asks the same of all K maps of a group, so that without the loss they stay as they are."""
    parted = {}
    for alpha in (0.0, 0.1):
        net = network(alpha=alpha)
        for head in net.heads:
            weight = head.fc.weight.data.view(head.groups, head.maps, -1)
            weight.copy_(weight[:, :1] + 1e-3 * torch.randn(weight.shape))
        before, optimizer = near_duplicate_groups(net), torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
        for _ in range(40):
            optimizer.zero_grad()
            net.loss(pictures(), LABELS).total.backward()
            optimizer.step()
        parted[alpha] = (before, near_duplicate_groups(net))
    assert parted[0.0][0] == parted[0.1][0] > 0.9
    assert parted[0.0][1] > 0.99, parted
    assert parted[0.1][1] < 0.7, parted


@pytest.mark.parametrize("name", TAPS)
def test_the_heads_fit_the_backbone(name: str) -> None:
    net = network(name).eval()
    heat = net.heatmap(torch.rand(1, 3, 64, 64), torch.tensor([2]))
    assert heat.shape == (1, 64 // net.backbone.stride, 64 // net.backbone.stride)
    assert net.child.maps == (4 if name == "inception_v3" else 8)


def test_what_makes_no_sense_is_refused() -> None:
    for name in sorted(set(BACKBONES) - set(TAPS)):
        with pytest.raises(UsageError, match=f"no places for its heads in {name}"):
            network(name)
    with pytest.raises(UsageError, match="maps is 1"):
        network(maps=1)
    with pytest.raises(UsageError, match="3 families and 3 orders, and there are 4 classes"):
        network(hierarchy="0 1 2 / 0 1 2")
    with pytest.raises(UsageError, match="read when training begins"):
        network(hierarchy="birds.csv")


def test_nothing_in_the_step_waits_for_the_device() -> None:
    with FakeTensorMode(), torch.device("cpu"):
        network().loss(pictures(), torch.zeros(4, dtype=torch.long)).total.backward()


def test_families_come_from_the_last_words_of_names() -> None:
    assert resolved("derived", BIRDS) == "0 0 1 2 / 0 0 1 2"
    assert resolved("derived", ["black cat", "White Cat", "dog-house", "warehouse"]) == "0 0 1 2 / 0 0 1 2"
    assert parsed("0 0 1 2 / 0 0 1 2", 4).parents == (0, 0, 1, 2)


@pytest.mark.parametrize("names", [["red", "green", "blue"], ["black cat", "white cat", "grey cat"]])
def test_names_without_families_are_families_of_their_own(names: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="boxless"):
        assert resolved("derived", names) == resolved("none", names) == "0 1 2 / 0 1 2"
    assert "no families" in caplog.text
    assert parsed("derived", 3) == parsed("none", 3) == parsed("0 1 2 / 0 1 2", 3)


def write(folder: Path, *rows: str, header: str = "class,parent,root") -> str:
    path = folder / "birds.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return str(path)


ROWS = (
    f"{BIRDS[0]},Diomedeidae,Procellariiformes",
    f"{BIRDS[1]},Diomedeidae,Procellariiformes",
    f"{BIRDS[2]},Cuculidae,Cuculiformes",
    f"{BIRDS[3]},Icteridae,Passeriformes",
)


def test_a_csv_gives_families_and_orders_and_may_know_more_classes(tmp_path: Path) -> None:
    more = "199.Winter_Wren,Troglodytidae,Passeriformes"
    assert resolved(write(tmp_path, more, *reversed(ROWS)), BIRDS) == "0 0 1 2 / 0 0 1 2"
    two = [row.rpartition(",")[0] for row in ROWS]
    assert resolved(write(tmp_path, *two, header="class,parent"), BIRDS) == "0 0 1 2 / 0 0 1 2"
    shared = [row.replace("Cuculiformes", "Passeriformes") for row in ROWS]
    assert resolved(write(tmp_path, *shared), BIRDS) == "0 0 1 2 / 0 0 1 1"


@pytest.mark.parametrize(
    ("rows", "header", "sentence"),
    [
        (ROWS[1:], "class,parent,root", r"no row for the class '001\.Black_footed_Albatross'. It has '002"),
        ([f"{name},bird,animal" for name in BIRDS], "class,parent,root", "all classes have the parent 'bird'.*none"),
        ([f"{row.rpartition(',')[0]},bird" for row in ROWS], "class,parent,root", "the root 'bird'.*leave the column"),
        (
            (*ROWS[:1], ROWS[1].replace("Procell", "X"), *ROWS[2:]),
            "class,parent,root",
            "'Diomedeidae' is in two orders",
        ),
        ((*ROWS, f"{BIRDS[3]},Corvidae,Passeriformes"), "class,parent,root", "line 6: .* stands in the file twice"),
        ((*ROWS, "another,,x"), "class,parent,root", "line 6: a value is missing"),
        (ROWS, "name,parent,root", "no column 'class'"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused(rows: Any, header: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BoxlessError, match=sentence):
        resolved(write(tmp_path, *rows, header=header), BIRDS)


def test_a_missing_csv_and_numbers_of_other_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BoxlessError, match=r"no hierarchy .*Expected derived, none, or a csv"):
        resolved(str(tmp_path / "none.csv"), BIRDS)
    with pytest.raises(UsageError, match="there are 4 classes"):
        resolved("0 1 / 0 1", BIRDS)
    assert resolved(NUMBERS, BIRDS) == NUMBERS
    assert options_for("danet", {"alpha": 0.5, "hierarchy": "derived"}, BIRDS)["hierarchy"] == "0 0 1 2 / 0 0 1 2"
    assert options_for("cam", {"head": "conv"}, BIRDS) == {"head": "conv"}


def test_the_checkpoint_needs_the_file_no_more(tmp_path: Path) -> None:
    squares = make_squares(tmp_path / "squares", 12)
    squares = replace(squares, classes=["red square", "green circle", "blue square"])
    squares.samples[0] = replace(squares.samples[0], label=2)
    path = write(tmp_path, "red square,square", "green circle,circle", "blue square,square", header="class,parent")
    out = train_classifier("danet", {"hierarchy": path}, squares, None, quick(epochs=1), tmp_path / "run")
    Path(path).unlink()
    assert checkpoint.read(out / "best.pt")["options"]["hierarchy"] == "0 1 0 / 0 1 0"
    assert load(out).network.parents.tolist() == [0, 1, 0]
    again = read_settings(out / "settings.toml").options
    train_classifier("danet", again, squares, None, quick(epochs=2), out, resume=True)
    assert math.isfinite(load(out).heatmap(torch.rand(1, 3, 32, 32)).sum())
    write(tmp_path, *ROWS)
    with pytest.raises(BoxlessError, match="no row for the class 'red square'"):
        train_classifier("danet", {"hierarchy": path}, squares, None, quick(epochs=1), tmp_path / "other")
    assert not (tmp_path / "other").exists()
