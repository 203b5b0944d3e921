"""What an earlier version wrote is read, and gone on with, by this one; see checkpoints/README.md."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from squares import make_squares, write_boxes

import boxless
from boxless.cli import app
from boxless.runtime import checkpoint

STORED = Path(__file__).parent / "checkpoints"
FILES = {
    "cam": "cam/last.pt",
    "i2c": "i2c.pt",
    "psol": "psol/last.pt",
    "detector": "detector/last.pt",
    "sn-dcgan": "sn-dcgan/last.pt",
    "border": "border.pt",
}
MORE = {
    "cam": "--epochs 4",
    "psol": "--boxes found.csv --epochs 4",
    "detector": "--boxes found.csv --epochs 4",
    "sn-dcgan": "--iterations 7",
}


def picture(side: int) -> torch.Tensor:
    """A red rectangle on slopes of grey, (1, 3, side, side) in 0..1."""
    rows, columns = np.mgrid[:side, :side]
    made = np.stack([rows * 7 % 64 + 96, columns * 5 % 64 + 96, (rows + columns) * 3 % 64 + 96])
    made[:, side // 4 : side // 2, side // 3 : side * 3 // 4] = np.array([220, 40, 40])[:, None, None]
    return torch.from_numpy(made[None] / 255).float()


@pytest.mark.parametrize("name", FILES)
def test_an_older_checkpoint_gives_the_heat_map_that_it_gave(name):
    model = boxless.load(STORED / FILES[name])
    (heat,) = model.heatmap(picture(model.size)).numpy()
    before = np.load(STORED / "heatmaps.npz")[name]
    assert heat.std() > 0.01
    np.testing.assert_allclose(heat, before, rtol=1e-5, atol=1e-5)


def rows(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{key: float(value) for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", MORE)
def test_an_older_run_goes_on_as_it_would_have(name, tmp_path, monkeypatch, capsys):
    shutil.copytree(STORED / name, tmp_path / "run")
    shutil.copy(STORED / "i2c.pt", tmp_path)
    squares = make_squares(tmp_path / "squares", 16)
    write_boxes(tmp_path / "found.csv", squares, noise=2.0)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        app.meta(f"train {name} squares --out run --resume --config run/settings.toml {MORE[name]}".split())
    assert not ended.value.code, capsys.readouterr().err
    expected, found = rows(STORED / name / "continued.csv"), rows(tmp_path / "run" / "metrics.csv")
    assert len(found) == len(rows(STORED / name / "metrics.csv")) + 1
    for before, now in zip(expected, found, strict=True):
        assert now == pytest.approx(before, rel=1e-3, abs=1e-5)
    old, new = (checkpoint.read(folder / "last.pt")["model"] for folder in (STORED / name, tmp_path / "run"))
    assert old.keys() == new.keys() and any(not torch.equal(value, new[key]) for key, value in old.items())
