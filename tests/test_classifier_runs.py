"""A trial of a table: trained, measured, small, resumable; refused in words; and nothing changed by remembering."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trials import SMALL, Looks, small_data

from boxless.backbones import build_backbone
from boxless.data.folder import read_data
from boxless.evaluation.evaluate import HeatmapSet
from boxless.methods import TRAINED
from boxless.methods.cam import Cam
from boxless.methods.settings import Training
from boxless.methods.training import train_classifier
from boxless.reproduce.classifier_runs import Experiment, Trial, digits, evenly_spaced, first_of_each_class
from boxless.reproduce.feature_cache import FeatureCache
from boxless.reproduce.grid import TimeBudget
from boxless.reproduce.i2c.ablations import places_inside, seed_places
from boxless.runtime.errors import UsageError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings with a frozen first step, as weights that were trained before allow."""
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.manual_seed(3)
    torch.save(build_backbone("tiny", weights="none").net.state_dict(), path)
    return SMALL | {"weights": str(path), "freeze": "conv2"}


def test_a_trial_keeps_what_tables_need_and_no_more(data: Path, tmp_path: Path) -> None:
    experiment = Experiment(
        [data], tmp_path, extra_results=lambda trial, maps: {"seen": [len(maps.fit.heats), len(maps.test.heats)]}
    )
    result = experiment.run(Trial("CAM", "cam", {}, Training(**SMALL)), TimeBudget())
    assert result is not None
    assert not list(tmp_path.iterdir())
    measured = result["measurement"]
    assert set(measured["controls"]) >= {"whole image", "centred box", "shuffled maps", "untrained network", "saliency"}
    assert "transferred from 20" in measured["rows"][0]["origin"]
    assert not {"ious", "curves", "worst"} & set(measured)
    for delta, hits in result["hits"]["headline"].items():
        assert 100 * np.mean([int(digit) for digit in hits]) == pytest.approx(measured["rows"][0]["accuracy"][delta])
    known = [int(digit) for digit in result["known"]]
    assert 100 * np.mean(known) == pytest.approx(100 - measured["metrics"]["Top-1 classification error"])
    assert 0 <= result["v2"] <= 100
    assert result["seen"] == [20, 12]
    assert len(result["epoch_seconds"]) == len(result["history"]) == 3
    # The step's images (8 x 3 x 32 x 32 numbers) and the first features (8 x 16 x 16 x 16 or more) at the least.
    assert result["step_bytes"] > 4 * 8 * 3 * 32 * 32


def test_the_memory_of_a_step_grows_with_the_batch(data: Path, tmp_path: Path) -> None:
    experiment, found = Experiment([data], tmp_path), []
    for size in (4, 16):
        cost = experiment.learn(Trial(f"{size}", "cam", {}, Training(**SMALL | {"batch_size": size, "epochs": 1})),
                           tmp_path / f"{size}", TimeBudget())  # fmt: skip
        assert cost is not None
        found.append(cost["step_bytes"])
    assert 2 < found[1] / found[0] < 5


def test_a_trial_that_the_clock_stopped_goes_on(data: Path, tmp_path: Path) -> None:
    trial = Trial("SC", "i2c", {"warm_up": 1}, Training(**SMALL))
    experiment = Experiment([data], tmp_path)
    assert experiment.run(trial, Looks(4)) is None
    stopped, whole = experiment.run(trial, TimeBudget()), experiment.run(trial, TimeBudget())
    assert stopped is not None
    assert whole is not None
    ours, theirs = ([{**row, "seconds": 0} for row in result["history"]] for result in (stopped, whole))
    assert ours == theirs
    assert stopped["hits"] == whole["hits"]


class Reader(Cam):
    """CAM read with the other sign."""

    trained_as = "cam"

    def class_maps(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The negative map."""
        return -super().class_maps(features, labels)


class Picky(Cam):
    """A method that this backbone does not suit."""

    def __init__(self, *given: Any, **named: Any) -> None:
        raise UsageError("Picky needs a backbone with names.")


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two more methods."""
    for kind in (Reader, Picky):
        monkeypatch.setitem(TRAINED, kind.__name__.lower(), f"{__name__}:{kind.__name__}")


@pytest.mark.usefixtures("others")
def test_a_method_that_reads_other_weights_trains_nothing_of_its_own(data: Path, tmp_path: Path) -> None:
    experiment, settings = Experiment([data], tmp_path), Training(**SMALL)
    first, second = (Trial(name, name, {"head": "linear"}, settings) for name in ("cam", "reader"))
    assert second.learnt == first
    plain = experiment.run(first, TimeBudget(), keep=True)
    assert [path.name for path in tmp_path.iterdir()] == ["cam-tiny_0"]
    reader = experiment.run(second, TimeBudget())
    assert not list(tmp_path.iterdir())
    assert plain is not None
    assert reader is not None
    assert reader["history"] == plain["history"]
    assert reader["known"] == plain["known"]
    assert reader["hits"] != plain["hits"]
    assert reader["method"] == "reader"


@pytest.mark.usefixtures("others")
def test_a_refused_combination_says_why(data: Path, tmp_path: Path) -> None:
    refused = Experiment([data], tmp_path).run(Trial("Picky", "picky", {}, Training(**SMALL)), TimeBudget())
    assert refused == {"variant": "Picky", "method": "picky", "refused": "Picky needs a backbone with names."}


def test_pictures_that_are_too_small_for_a_method_are_refused_too(data: Path, tmp_path: Path) -> None:
    small = Experiment([data], tmp_path).run(Trial("HaS", "has", {"patch": 99}, Training(**SMALL)), TimeBudget())
    assert small is not None
    assert "has with these options needs 100 or more" in small["refused"]


def test_remembering_changes_nothing(data: Path, frozen: dict[str, Any], tmp_path: Path) -> None:
    experiment, settings = Experiment([data], tmp_path), Training(**frozen)
    options = {"warm_up": 1, "sc_weight": 0.01}
    trial = Trial("SC", "i2c", options, settings)
    ours = experiment.learn(trial, tmp_path / "ours", TimeBudget())
    assert ours is not None
    assert 20 < len(experiment.memory(settings).kept) <= 40  # twenty pictures, and each in the mirror
    out = train_classifier("i2c", options, experiment.train, None, settings, tmp_path / "theirs")
    theirs = torch.load(out / "last.pt", weights_only=True)["trainer"]["history"]
    for one, other in zip(ours["history"], theirs, strict=True):
        assert one["total"] == pytest.approx(other["total"], rel=1e-4)
    found = experiment.measure(trial, tmp_path / "ours")
    assert len(experiment.memory(settings).kept) <= 40 + len(experiment.test)
    assert len(found["known"]) == 12


def test_images_that_a_method_alters_are_not_remembered(
    data: Path, frozen: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cam, "alters_images", True, raising=False)
    experiment, settings = Experiment([data], tmp_path), Training(**frozen | {"epochs": 1})
    experiment.learn(Trial("cam", "cam", {}, settings), tmp_path / "run", TimeBudget())
    assert not experiment.memory(settings).kept


def test_remembered_features_are_computed_once_and_carry_gradients() -> None:
    backbone = build_backbone("tiny", weights="none")
    backbone.freeze("conv1")
    images, looks = torch.rand(3, 3, 16, 16), list[int]()
    expected = backbone(images).detach()
    first = next(backbone.stages())[1]
    first.register_forward_hook(lambda module, inputs, output: looks.append(len(output)))
    remembered = FeatureCache()
    remembered.attach(backbone)
    with torch.inference_mode():
        assert torch.allclose(backbone(images[:2]), expected[:2], atol=1e-6)
    features = backbone(images)
    assert torch.allclose(features, expected, atol=1e-6)
    assert looks == [2, 1]
    features.sum().backward()
    moved = {name: parameter.grad is not None for name, parameter in backbone.named_parameters()}
    assert {name for name, there in moved.items() if not there} == {n for n in moved if "conv1" in n}
    full = FeatureCache(memory=0.0)
    full.attach(backbone)
    assert torch.allclose(backbone(images), expected, atol=1e-6)
    assert not full.kept


def test_remembered_features_are_those_of_the_precision_that_is_asked_for() -> None:
    backbone = build_backbone("tiny", weights="none")
    backbone.freeze("conv1")
    FeatureCache().attach(backbone)
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            rounded = backbone.forward_stem(images, 1)
        exact = backbone.forward_stem(images, 1)
    assert rounded.dtype == torch.bfloat16 and exact.dtype == torch.float32
    assert not torch.equal(rounded.float(), exact)


def test_places_of_a_map_inside_boxes() -> None:
    boxes = np.array([[0, 0, 20, 10], [30, 10, 40, 20]], np.float32)
    assert places_inside((2, 4), (40, 20), boxes).tolist() == [[True, True, False, False], [False, False, False, True]]
    assert not places_inside((2, 4), (40, 20), boxes[:0]).any()


def test_seeds_of_maps_on_the_object_are_all_inside(data: Path) -> None:
    samples = read_data(data, "train").samples[:4]
    heats = []
    for sample in samples:
        assert sample.boxes is not None
        assert sample.size is not None
        heats.append(places_inside((8, 8), sample.size, sample.boxes).astype(np.float32))
    maps = HeatmapSet(samples, [sample.size or (1, 1) for sample in samples], list(heats), [() for _ in samples])
    places = seed_places(maps, 0.7)
    assert places["inside"] == 100
    assert sum(places["counts"].values()) == 4
    assert sum(int(count) * images for count, images in places["counts"].items()) == sum(
        int(heat.sum()) for heat in heats
    )
    assert places["chance"] == pytest.approx(100 * np.mean(heats))


def test_images_are_chosen_evenly_or_by_class(data: Path) -> None:
    train = read_data(data, "train")
    names = [sample.name for sample in train.samples]
    assert [sample.name for sample in evenly_spaced(train, 2).samples] == [names[0], names[-1]]
    assert len(evenly_spaced(train, 1000)) == len(train)
    few = first_of_each_class(train, 3)
    assert [sample.label for sample in few.samples] == [0, 0, 0, 1, 1, 1]
    assert few.samples[0].name == names[0]
    assert digits(np.array([True, False])) == "10"


def test_data_without_boxes_or_splits_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no train split"):
        Experiment([data / "train"], tmp_path)
    bare = tmp_path / "bare"
    for split in ("train", "test"):
        for file in sorted((data / split / "star").iterdir())[:2]:
            (bare / split / "star").mkdir(parents=True, exist_ok=True)
            (bare / split / "star" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UsageError, match="boxes"):
        Experiment([bare], tmp_path)
