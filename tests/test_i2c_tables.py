"""I2C's tables on small made photographs: the same trials, resumable, paired, and nothing changed by remembering."""

import json
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App
from trials import SMALL, never, small_data, small_recipe

from boxless.cli.reproduce_classifiers import TABLES, register
from boxless.data.folder import read_data
from boxless.methods.i2c import SQUARED
from boxless.reproduce.classifier_runs import Trial
from boxless.reproduce.classifier_tables import reproduce
from boxless.reproduce.cost_profile import cost
from boxless.reproduce.grid import TimeBudget
from boxless.reproduce.i2c import ablations
from boxless.reproduce.pages import CLASSIFIER_TABLES
from boxless.reproduce.recipes import RECIPES
from boxless.reproduce.trial_results import Outcomes
from boxless.runtime.errors import UsageError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("table-4")
    reproduce(CLASSIFIER_TABLES["i2c-table-4"], [data], out, TimeBudget(), seeds=[0, 1], **SMALL)
    return out


def detections_in(out: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text())["result"] for path in sorted((out / "cells").iterdir())}


def test_every_trial_leaves_a_result_with_controls_and_hits(done: Path) -> None:
    found = detections_in(done)
    assert set(found) == {f"{variant}_{seed}" for variant in ("plain-tiny", "sc-tiny", "sc-gc-tiny") for seed in (0, 1)}
    assert not list((done / "runs").iterdir())
    for result in found.values():
        assert "transferred from 20" in result["measurement"]["rows"][0]["origin"]
        assert sum(result["seeds"]["counts"].values()) == 20


def test_the_variants_differ_by_their_constraints_alone(done: Path) -> None:
    found = detections_in(done)
    histories = {name: result["history"] for name, result in found.items()}
    warm_up = [[row["total"] for row in histories[f"{name}-tiny_0"][:2]] for name in ("plain", "sc", "sc-gc")]
    assert warm_up[0] == warm_up[1] == warm_up[2]
    last = {name: history[-1] for name, history in histories.items()}
    assert last["plain-tiny_0"]["sc"] == 0
    assert last["sc-tiny_0"]["sc"] > 0
    assert last["sc-tiny_0"]["total"] > last["sc-tiny_0"]["classification"]
    assert last["plain-tiny_0"]["total"] != last["plain-tiny_1"]["total"]


def test_a_finished_table_runs_nothing_again_and_shares_its_trials(done: Path, data: Path) -> None:
    again: dict[str, Any] = {"seeds": [0, 1], "begun": never, **SMALL}
    same = reproduce(CLASSIFIER_TABLES["i2c-table-4"], [data], done, TimeBudget(), **again)
    assert same == (done / "i2c-table-4.md").read_text()
    assert "| SC + GC | 2 |" in same
    assert "minus plain" in same
    figure = reproduce(
        CLASSIFIER_TABLES["i2c-figure-4"], [data], done, TimeBudget(), seeds=[0, 1], begun=never, **SMALL
    )
    assert "% of them in a true box" in figure
    page = reproduce(
        CLASSIFIER_TABLES["i2c-figure-5"], [data], done, TimeBudget(1e-9), seeds=[0, 1], begun=never, **SMALL
    )
    assert "6 of 30 trials run" in page
    assert "Not run: lambda_1 = 0.002" in page
    with pytest.raises(UsageError, match="other settings"):
        reproduce(CLASSIFIER_TABLES["i2c-table-4"], [data], done, TimeBudget(), seeds=[0], **(SMALL | {"epochs": 9}))


def test_a_failed_trial_is_named_and_left_out(data: Path) -> None:
    table = CLASSIFIER_TABLES["i2c-table-4"]
    grid = table.trials(read_data(data, "train"), small_recipe(), [0])
    text = table.page(grid, Outcomes.from_json({"sc-tiny_0": {"failed": "The loss is no longer a number."}}))
    assert "0 of 3 trials run" in text
    assert "Failed: sc-tiny_0: The loss is no longer a number." in text


def test_trials_of_one_name_are_the_same_in_every_table(data: Path) -> None:
    train = read_data(data, "train")
    known: dict[str, Trial] = {}
    for table in ablations.TABLES:
        for trial in table.trials(train, RECIPES["quick"], [0, 1]):
            assert known.setdefault(trial.name, trial) == trial
    large = known["sc-gc-320-px-lite0_1"].training
    assert (large.size, large.resize, large.seed) == (320, 320, 1)
    options, base = known["lambda_1-0.02-lite0_0"].options, RECIPES["quick"].own["i2c"]
    assert options["sc_weight"] == pytest.approx(base["sc_weight"] * 0.02 / 0.008)
    assert base["gc_weight"] == pytest.approx(base["sc_weight"] * 0.001 / 0.008)
    swept = CLASSIFIER_TABLES["i2c-figure-5"].trials(train, RECIPES["paper"], [0])
    others = {trial.name: trial for trial in swept}
    assert others["lambda_2-0.1-inception_v3_0"].options["gc_weight"] == pytest.approx(0.1 * SQUARED)
    resolutions = CLASSIFIER_TABLES["i2c-table-3"].trials(train, RECIPES["paper"], [0])
    crops = {trial.name: trial.training for trial in resolutions}
    assert crops["plain-320-px-inception_v3_0"].resize == 366


def test_the_cost_of_the_constraints() -> None:
    found = cost("tiny", classes=10, size=32)
    assert found.added == 10 * 64 + 10
    assert found.extra_forward == 0
    assert found.forward > 1024 * 1024 * 9 * 64


def test_every_table_has_a_command(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(TABLES) == set(CLASSIFIER_TABLES)
    app = App(name="reproduce")
    register(app)
    call = ["i2c-table-4", "--data", str(data), "--out", str(tmp_path / "out"), "--minutes", "1e-9"]
    with pytest.raises(UsageError, match="seeds"):
        app([*call, "--seeds", "one"], exit_on_error=False)
    app(call, exit_on_error=False, result_action="return_value")
    assert "0 of 15 trials run" in capsys.readouterr().out
    app([*call, "--json"], exit_on_error=False, result_action="return_value")
    said = json.loads(capsys.readouterr().out)
    assert said["out"] == str(tmp_path / "out") and "0 of 15 trials run" in said["page"]
    assert (tmp_path / "out" / "i2c-table-4.md").exists()
