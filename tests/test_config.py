import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from squares import make_squares, quick, read_settings

from boxless.cli import app, console
from boxless.cli.config import read_config
from boxless.discovery.position_settings import PositionTraining
from boxless.gan.settings import GanTraining
from boxless.gan.training import train_gan
from boxless.methods.settings import Training
from boxless.methods.training import train_classifier
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.progress import reporting_to, track


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        app.meta([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_run_of_a_classifier_is_repeated_from_its_settings_and_flags_win(tmp_path: Path) -> None:
    squares = make_squares(tmp_path / "squares", 12)
    train_classifier("i2c", {"gc_weight": 0.01}, squares, None, quick(epochs=1, seed=3), tmp_path / "one")
    arguments = ("train", "i2c", tmp_path / "squares", "--config", tmp_path / "one" / "settings.toml", "--quiet")
    assert run(*arguments, "--out", tmp_path / "two", "--lr", "0.01", "--sc-weight", "0.2") == 0
    one, two = (read_settings(tmp_path / name / "settings.toml") for name in ("one", "two"))
    assert two.options == one.options | {"sc_weight": 0.2}
    assert {name for name in Training.__slots__ if getattr(one.training, name) != getattr(two.training, name)} == {"lr"}


def test_a_run_of_a_gan_is_repeated_from_its_flat_settings(tmp_path: Path) -> None:
    squares = make_squares(tmp_path / "squares", 12)
    images = torch.from_numpy(np.zeros((12, 16, 16, 3), np.uint8))
    images[:, :8] = 200
    settings = GanTraining(
        preset="reference", iterations=1, size=16, width=0.125, device="cpu", batch_size=4, g_base=16, minutes=5
    )
    train_gan("wgan", images, settings, tmp_path / "one")
    toml = tmp_path / "one" / "settings.toml"
    assert "d_boost = 100" in toml.read_text()  # of the recipe, and no flag
    assert run("train", "wgan", squares.source.root, "--config", toml, "--out", tmp_path / "two", "--lr", "1e-3") == 0
    lines = [set((tmp_path / name / "settings.toml").read_text().splitlines()) for name in ("one", "two")]
    assert {line.partition(" = ")[0] for line in lines[0] ^ lines[1]} == {"lr", "data"}  # other images too


@pytest.mark.parametrize(
    ("method", "text", "said"),
    [
        ("cam", "[training]\nepoch = 3\n", "no setting 'epoch'. Did you mean epochs?"),
        ("cam", "[options]\nhaed = 'conv'\n", "no setting 'haed'. Did you mean head?"),
        ("cam", "[optoins]\n", "no setting 'optoins'. Did you mean options?"),
        ("cam", "epochs = 3\n", "no setting 'epochs'"),
        ("cam", "training = 3\n", "training is 3; expected a table"),
        ("cam", "[training]\nepochs = 'many'\n", "epochs is 'many'; expected int"),
        ("cam", "[training]\nresizing = 'crop'\n", "expected one of squash, short-side"),
        ("cam", "[training]\nstride = 0.5\n", "stride is 0.5; expected int"),
        ("cam", "[training]\nepochs = true\n", "epochs is True; expected int"),
        ("cam", "[options]\nhead = 'round'\n", "head is 'round'; expected one of linear, conv"),
        ("cam", "method = 'i2c'\n", "has the settings of i2c, and cam is to be trained"),
        ("dcgan", "iteratoins = 3\n", "no setting 'iteratoins'. Did you mean iterations?"),
        ("dcgan", "norm = 'batch'\n", "norm is 'batch'; expected one of"),
        ("dcgan", "d_boost = 7\n", "d_boost is 7, and dcgan has 0"),
    ],
)
def test_what_no_run_has_is_refused_with_what_was_meant(method: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        read_config(written(tmp_path / "run.toml", text), method)


def test_a_part_of_the_settings_is_enough_and_broken_toml_is_a_sentence(tmp_path: Path) -> None:
    text = "[training]\ndecay = [3, 5]\nlr = 1\n"
    assert read_config(written(tmp_path / "run.toml", text), "cam") == {"decay": (3, 5), "lr": 1}
    assert read_config(written(tmp_path / "run.toml", "minutes = 5\nloss = 'minimax'\n"), "dcgan") == {
        "minutes": 5,
        "loss": "minimax",
    }
    broken = (written(tmp_path / "run.toml", "[training\n"), "run.toml are not TOML: ")
    for path, said in (broken, (tmp_path / "missing.toml", "missing.toml cannot be read: No such file or directory.$")):
        with pytest.raises(BoxlessError, match=said):
            read_config(path, "cam")


def spent(seconds: float) -> Iterator[float]:
    """A clock on which `seconds` pass between two looks."""
    now = 0.0
    while True:
        yield now
        now += seconds


def test_progress_tells_rate_and_time_left_and_nothing_when_quiet(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def work() -> str:
        clock = spent(40.0)
        monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
        with reporting_to(console.counting):
            assert list(track("abc", "reading")) == ["a", "b", "c"]
        out, err = capfd.readouterr()
        assert not out
        return err

    monkeypatch.setenv("BOXLESS_QUIET", "")
    lines = work().splitlines()
    assert lines[0] == "reading: 1 of 3, 40 s each, 0:01:20 left"
    assert lines[-1] == "reading: 3 of 3, 40 s each, 0:00:00 left"
    monkeypatch.setenv("BOXLESS_QUIET", "1")
    assert work() == ""


def test_a_run_that_is_taken_up_tells_the_rate_of_what_is_done_now(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = spent(31.0)
    monkeypatch.setenv("BOXLESS_QUIET", "")
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with console.counting("training") as step:
        step(901, 1000, {"loss": 0.25})
        step(1000, 1000, {})
    assert capfd.readouterr().err.splitlines() == [
        "training: 901 of 1000, 31 s each, 0:51:09 left; loss 0.25",
        "training: 1000 of 1000, 1.61/s, 0:00:00 left",
    ]


def test_colours_go_when_they_are_not_wanted_and_completion_is_installed(tmp_path: Path) -> None:
    code = (
        "import sys; from boxless.cli import app\n"
        "for words in ('predict --help', 'predict --nonsense', '--install-completion --shell bash'):\n"
        "    try: app.meta(words.split())\n"
        "    except SystemExit: pass\n"
        "assert 'torch' not in sys.modules\n"
    )
    outputs = {}
    for name, more in (("colour", {}), ("plain", {"NO_COLOR": "1"})):
        environment = os.environ | {"FORCE_COLOR": "1", "HOME": str(tmp_path)} | more
        environment.pop("XDG_DATA_HOME", None)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
        outputs[name] = done.stdout + done.stderr
    coloured = re.compile(r"\x1b\[[0-9;]*(3[0-9]|9[0-7])m")
    assert coloured.search(outputs["colour"]) and not coloured.search(outputs["plain"])
    (script,) = (path for path in tmp_path.rglob("boxless") if path.is_file())
    for word in ("predict", "--threshold", "sn-dcgan"):
        assert word in script.read_text()


@pytest.mark.parametrize("made", [Training, GanTraining, PositionTraining])
def test_images_larger_than_any_memory_are_refused_before_anything_is_read(made: type) -> None:
    with pytest.raises(UsageError, match="size is 8192; expected 4096 pixels at most"):
        made(size=8192)
