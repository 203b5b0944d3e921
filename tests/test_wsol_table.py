"""The table of all methods: every entry of METHODS, one protocol, resumable, against CAM."""

import json
from pathlib import Path

import pytest
from cyclopts import App
from trials import SMALL, never, small_data, small_recipe

from boxless.cli.reproduce_classifiers import register
from boxless.data.folder import read_data
from boxless.methods import METHODS
from boxless.reproduce.classifier_tables import reproduce
from boxless.reproduce.grid import TimeBudget
from boxless.reproduce.recipes import FROZEN, RECIPES
from boxless.reproduce.wsol_table import WsolTable
from boxless.runtime.errors import UsageError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("scenes"))


def test_every_method_has_a_row_and_a_difference(data: Path, tmp_path: Path) -> None:
    table = WsolTable(methods=["cam", "i2c"])
    text = reproduce(table, [data], tmp_path, TimeBudget(), seeds=[0], **SMALL)
    assert text == (tmp_path / "wsol-table.md").read_text()
    assert "2 of 2 trials run: tiny at stride 4" in text
    assert "## tiny" in text
    assert "minus cam" in text
    assert sum(line.startswith("| i2c |") for line in text.splitlines()) == 2
    assert "control: untrained network (cam)" in text
    assert "control: untrained network (i2c)" in text
    assert text.count("control: whole image") == 1
    size = max(path.stat().st_size for path in (tmp_path / "cells").iterdir())
    assert size < 20_000
    again = reproduce(table, [data], tmp_path, TimeBudget(), seeds=[0], begun=never, **SMALL)
    assert again == text
    result = json.loads((tmp_path / "cells" / "i2c-tiny_0.json").read_text())["result"]
    assert result["options"]["alpha"] == pytest.approx(0.002 * 1281 / 10)
    with pytest.raises(UsageError, match="other settings"):
        reproduce(table, [data], tmp_path, TimeBudget(), seeds=[0], **(SMALL | {"epochs": 9}))


def test_cam_comes_first_and_whole_seeds_before_more(data: Path) -> None:
    train = read_data(data, "train")
    grid = WsolTable(methods=list(METHODS)[::-1]).trials(train, small_recipe(), [3, 4])
    assert [(trial.method, trial.training.seed) for trial in grid][:1] == [("cam", 3)]
    assert [trial.training.seed for trial in grid] == [3] * len(METHODS) + [4] * len(METHODS)
    assert len({trial.name for trial in grid}) == len(grid)


def test_a_recipe_on_another_backbone_freezes_the_like_part() -> None:
    quick = RECIPES["quick"]
    assert quick.on("lite0") is quick
    assert (set(quick.own), set(quick.on("resnet50").own)) == ({"i2c"}, set())
    other = quick.on("resnet50").training
    assert (other.backbone, other.stride, other.freeze) == ("resnet50", None, FROZEN["resnet50"])
    assert quick.with_training(freeze="").on("vgg16").training.freeze == ""
    with pytest.raises(UsageError, match="no backbone 'nothing'"):
        quick.on("nothing")


@pytest.mark.parametrize("backbone", sorted(FROZEN))
def test_what_is_frozen_is_a_step_of_its_backbone(backbone: str) -> None:
    import torch

    from boxless.backbones import build_backbone

    with torch.device("meta"):
        network = build_backbone(backbone, weights="none")
    network.freeze(FROZEN[backbone])
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert 0 < len(learning) < len(list(network.parameters()))


def test_the_command(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = App(name="reproduce")
    register(app)
    call = ["wsol-table", "--data", str(data), "--out", str(tmp_path / "out"), "--minutes", "1e-9"]
    app(call, exit_on_error=False, result_action="return_value")
    assert f"0 of {5 * len(METHODS)} trials run" in capsys.readouterr().out
    with pytest.raises(UsageError, match="no method 'nothing'"):
        app([*call, "--methods", "cam, nothing"], exit_on_error=False)
