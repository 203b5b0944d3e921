"""I2C's tables on small made photographs: the same cells, resumable, paired, and nothing changed by remembering."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cyclopts import App

from boxless.backbones import build_backbone
from boxless.cli.reproduce_i2c import TABLES, register
from boxless.data.folder import read_data
from boxless.data.scenes import make_scenes
from boxless.errors import UsageError
from boxless.experiments.cells import Clock
from boxless.experiments.i2c_cells import I2cCell, Study, places_inside, seeds, spaced
from boxless.experiments.i2c_cost import cost
from boxless.experiments.i2c_rows import per_image, results_table
from boxless.experiments.i2c_tables import ABLATIONS, RECIPES, cells, page, reproduce
from boxless.experiments.remembering import Remembered
from boxless.settings import Training
from boxless.training import train_classifier

SMALL: dict[str, Any] = {
    "backbone": "tiny", "stride": 4, "weights": "none", "freeze": "", "size": 32, "resize": 32, "batch_size": 8,
    "epochs": 3, "lr": 0.05, "head_factor": 1.0, "accelerator": "cpu", "workers": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "two-kinds"
    make_scenes(out, 32, kinds=("star", "leaf"), size=32, test=0.375)
    return out


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings with a frozen first step, as weights that were trained before allow."""
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.manual_seed(3)
    torch.save(build_backbone("tiny", weights="none").net.state_dict(), path)
    return SMALL | {"weights": str(path), "freeze": "conv2"}


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("table-4")
    reproduce("i2c-table-4", data, out, Clock(), seeds=[0, 1], **SMALL)
    return out


def found_in(out: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text())["result"] for path in sorted((out / "cells").iterdir())}


def never(cell: I2cCell) -> None:
    raise AssertionError(cell.name)


def test_every_cell_leaves_a_result_with_controls_and_hits(done: Path) -> None:
    found = found_in(done)
    assert set(found) == {f"{variant}_{seed}" for variant in ("plain", "sc", "sc-gc") for seed in (0, 1)}
    assert not list((done / "runs").iterdir())
    for result in found.values():
        told = result["measurement"]
        assert set(told["controls"]) >= {"whole image", "centred box", "shuffled maps", "untrained network"}
        assert "transferred from 20" in told["rows"][0]["origin"]
        accuracy = [told["rows"][0]["accuracy"][delta] for delta in ("0.3", "0.5", "0.7")]
        assert np.allclose(100 * np.mean(result["hits"]["transferred"], axis=0), accuracy)
        assert np.mean(result["hits"]["oracle"]) >= np.mean(result["hits"]["transferred"])
        assert 100 * np.mean(result["known"]) == pytest.approx(100 - told["metrics"]["Top-1 classification error"])
        assert len(result["seeds"]["counts"]) == 20


def test_the_variants_differ_by_their_constraints_alone(done: Path) -> None:
    found = found_in(done)
    histories = {name: result["history"] for name, result in found.items()}
    warm_up = [[row["total"] for row in histories[f"{name}_0"][:2]] for name in ("plain", "sc", "sc-gc")]
    assert warm_up[0] == warm_up[1] == warm_up[2]
    last = {name: history[-1] for name, history in histories.items()}
    assert last["plain_0"]["sc"] == 0
    assert last["sc_0"]["sc"] > 0
    assert last["sc_0"]["total"] > last["sc_0"]["classification"]
    assert last["plain_0"]["total"] != last["plain_1"]["total"]


def test_a_finished_table_runs_nothing_again_and_shares_its_cells(done: Path, data: Path) -> None:
    again = reproduce("i2c-table-4", data, done, Clock(), seeds=[0, 1], begun=never, **SMALL)
    assert again == (done / "i2c-table-4.md").read_text()
    assert "| SC + GC | 2 |" in again
    assert "minus plain" in again
    figure = reproduce("i2c-figure-4", data, done, Clock(), seeds=[0, 1], begun=never, **SMALL)
    assert "% of them in a true box" in figure
    sweep = reproduce("i2c-figure-5", data, done, Clock(1e-9), seeds=[0, 1], begun=never, **SMALL)
    assert "6 of 30 cells run" in sweep
    assert "Not run: lambda_1 = 0.002" in sweep
    with pytest.raises(UsageError, match="other settings"):
        reproduce("i2c-table-4", data, done, Clock(), **(SMALL | {"epochs": 9}))


class Steps(Clock):
    """A clock that is over after some looks at it."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @property
    def over(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def test_a_cell_that_the_clock_stopped_goes_on(data: Path, tmp_path: Path, done: Path) -> None:
    study = Study(data, tmp_path)
    cell = next(c for c in cells("i2c-table-4", study.train, recipe(), [0]) if c.variant == "SC + GC")
    assert study.run(cell, Steps(7)) is None
    result = study.run(cell, Clock())
    assert result is not None
    whole = found_in(done)["sc-gc_0"]
    ours, theirs = ([{**row, "seconds": 0} for row in told["history"]] for told in (result, whole))
    assert ours == theirs
    assert result["hits"] == whole["hits"]


def recipe() -> Any:
    from dataclasses import replace

    return replace(RECIPES["quick"], training=Training(**SMALL))


def test_remembering_changes_nothing(data: Path, frozen: dict[str, Any], tmp_path: Path) -> None:
    study, settings = Study(data, tmp_path), Training(**frozen)
    options = {"warm_up": 1, "sc_weight": 0.01}
    cell = I2cCell("SC", options, settings)
    ours = study.learn(cell, tmp_path / "ours", Clock())
    assert ours is not None
    assert 20 < len(study.memory(settings).kept) <= 40  # twenty pictures, and each in the mirror
    out = train_classifier("i2c", options, study.train, None, settings, tmp_path / "theirs")
    theirs = torch.load(out / "last.pt", weights_only=True)["trainer"]["history"]
    for one, other in zip(ours, theirs, strict=True):
        assert one["total"] == pytest.approx(other["total"], rel=1e-4)
    found = study.measure(tmp_path / "ours", settings)
    assert len(study.memory(settings).kept) <= 40 + len(study.test)
    assert len(found["names"]) == 12


def test_remembered_features_are_computed_once_and_carry_gradients() -> None:
    backbone = build_backbone("tiny", weights="none")
    backbone.freeze("conv1")
    images, looks = torch.rand(3, 3, 16, 16), list[int]()
    expected = backbone(images).detach()
    first = next(backbone.steps())[1]
    first.register_forward_hook(lambda module, inputs, output: looks.append(len(output)))
    remembered = Remembered()
    remembered.attach(backbone)
    with torch.inference_mode():
        assert torch.allclose(backbone(images[:2]), expected[:2], atol=1e-6)
    features = backbone(images)
    assert torch.allclose(features, expected, atol=1e-6)
    assert looks == [2, 1]
    features.sum().backward()
    moved = {name: parameter.grad is not None for name, parameter in backbone.named_parameters()}
    assert {name for name, there in moved.items() if not there} == {n for n in moved if "conv1" in n}
    full = Remembered(memory=0.0)
    full.attach(backbone)
    assert torch.allclose(backbone(images), expected, atol=1e-6)
    assert not full.kept


def made(variant: str, seed: int, hits: list[list[int]], known: list[int]) -> dict[str, Any]:
    row = {"threshold": [0.25], "origin": "transferred"}
    control = {"accuracy": {"0.3": 1.0, "0.5": 2.0, "0.7": 3.0}}
    return {
        "variant": variant, "training": {"seed": seed}, "names": [str(i) for i in range(len(hits))],
        "hits": {"transferred": hits, "oracle": hits}, "known": known, "data": {"name": "made"},
        "measurement": {"rows": [row], "controls": {"whole image": control, "shuffled maps": control}},
    }  # fmt: skip


def test_differences_are_paired_and_meaned_over_common_seeds() -> None:
    bad, good = [[0, 0, 0]] * 8, [[1, 1, 0]] * 8
    found = {
        "a": made("plain", 0, bad, [1] * 8),
        "b": made("SC", 0, good, [1, 0] * 4),
        "c": made("SC", 1, bad, [0] * 8),
    }
    assert per_image([found["b"], found["c"]]).mean(axis=(0, 1)).tolist() == [50, 50, 0]
    text = results_table(["plain", "SC", "K = 9"], found, against="plain", published={"SC": (40.0, 30.0)})
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    rows = [[entry.strip() for entry in line.split("|")] for line in text.splitlines() if line.startswith("| SC |")]
    assert rows[0][2:6] == ["2", "50.0", "50.0", "0.0"]
    assert rows[0][8:10] == ["25.0", "25.0"]
    assert "GT-known 70.00, Top-1 Loc 60.00" in rows[0][11]
    assert rows[1][2:5] == ["1", "+100.0 (+100.0 to +100.0)", "0.0078"]
    assert "control: shuffled maps (SC)" in lines
    assert "Not run: K = 9" in text
    found["a"]["names"] = [f"other {i}" for i in range(8)]
    assert "other images" in results_table(["plain", "SC"], found, against="plain", published={})


def test_a_failed_cell_is_told_and_left_out(data: Path) -> None:
    grid = cells("i2c-table-4", read_data(data, "train"), recipe(), [0])
    text = page("i2c-table-4", grid, {"sc_0": {"failed": "The loss is no longer a number."}}, Training(**SMALL))
    assert "0 of 3 cells run" in text
    assert "Failed: sc_0: The loss is no longer a number." in text


def test_places_of_a_map_inside_boxes() -> None:
    boxes = np.array([[0, 0, 20, 10], [30, 10, 40, 20]], np.float32)
    assert places_inside((2, 4), (40, 20), boxes).tolist() == [[True, True, False, False], [False, False, False, True]]
    assert not places_inside((2, 4), (40, 20), boxes[:0]).any()


def test_seeds_of_maps_on_the_object_are_all_inside(data: Path) -> None:
    from boxless.evaluating import Maps

    samples = read_data(data, "train").samples[:4]
    heats = []
    for sample in samples:
        assert sample.boxes is not None and sample.size is not None
        heats.append(places_inside((8, 8), sample.size, sample.boxes).astype(np.float32))
    maps = Maps(samples, [sample.size or (1, 1) for sample in samples], list(heats), [() for _ in samples])
    told = seeds(maps, 0.7)
    assert told["inside"] == 100
    assert told["counts"] == [int(heat.sum()) for heat in heats]
    assert told["chance"] == pytest.approx(100 * np.mean(heats))


def test_cells_of_one_name_are_the_same_in_every_table(data: Path) -> None:
    train = read_data(data, "train")
    known: dict[str, I2cCell] = {}
    for name in ABLATIONS:
        for cell in cells(name, train, RECIPES["quick"], [0, 1]):
            assert known.setdefault(cell.name, cell) == cell
    large = known["sc-gc-320-px_1"].training
    assert (large.size, large.resize, large.seed) == (320, 320, 1)
    assert known["lambda-1-0.02_0"].options["sc_weight"] == pytest.approx(2e-4)
    crops = {cell.name: cell.training for cell in cells("i2c-table-3", train, RECIPES["paper"], [0])}
    assert crops["plain-320-px_0"].resize == 366


def test_at_most_some_images_evenly_spaced(data: Path) -> None:
    train = read_data(data, "train")
    names = [sample.name for sample in train.samples]
    assert [sample.name for sample in spaced(train, 2).samples] == [names[0], names[-1]]
    assert len(spaced(train, 1000)) == len(train)


def test_data_without_boxes_or_splits_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no train split"):
        Study(data / "train", tmp_path)
    bare = tmp_path / "bare"
    for split in ("train", "test"):
        for file in sorted((data / split / "star").iterdir())[:2]:
            (bare / split / "star").mkdir(parents=True, exist_ok=True)
            (bare / split / "star" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UsageError, match="boxes"):
        Study(bare, tmp_path)


def test_the_cost_of_the_constraints() -> None:
    found = cost("tiny", classes=10, size=32)
    assert found.added == 10 * 64 + 10
    assert found.extra_forward == 0
    assert found.forward > 1024 * 1024 * 9 * 64


def test_every_table_has_a_command(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(TABLES) == set(ABLATIONS)
    app = App(name="reproduce")
    register(app)
    call = ["i2c-table-4", "--data", str(data), "--out", str(tmp_path / "out"), "--minutes", "1e-9"]
    with pytest.raises(UsageError, match="seeds"):
        app([*call, "--seeds", "one"], exit_on_error=False)
    app(call, exit_on_error=False, result_action="return_value")
    assert "0 of 15 cells run" in capsys.readouterr().out
    assert (tmp_path / "out" / "i2c-table-4.md").exists()
