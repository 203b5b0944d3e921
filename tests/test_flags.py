"""The flags that commands share: one spelling, one meaning, and the words of the version before for one more."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from squares import make_squares, quick

from boxless.cli import app
from boxless.cli.config import read_config
from boxless.cli.former_flags import current_spelling
from boxless.data.folder import read_data
from boxless.data.splits import restricted
from boxless.methods.settings import read_settings
from boxless.methods.training import train_classifier
from boxless.runtime.devices import device_named
from boxless.runtime.errors import UsageError

COMMANDS = {
    "find": ["find"],
    "predict": ["predict"],
    "evaluate": ["evaluate"],
    "cam": ["train", "cam"],
    "psol": ["train", "psol"],
    "gan": ["train", "sn-dcgan"],
    "table": ["reproduce", "i2c-table-2"],
    "wsol": ["reproduce", "wsol-table"],
    "gan table": ["reproduce", "gan-table-3"],
    "gan figure": ["reproduce", "gan-figure-1"],
}
TABLES = {"table", "wsol", "gan table", "gan figure"}
SHARED = {
    "--device": set(COMMANDS),
    "--precision": set(COMMANDS),
    "--batch-size": set(COMMANDS),
    "--workers": set(COMMANDS) - {"gan table", "gan figure"},
    "--classes": set(COMMANDS) - TABLES,
    "--one-category": set(COMMANDS) - TABLES,
    "--json": set(COMMANDS) - TABLES,
    "--devices": {"find", "predict", "cam", "psol"},
    "--nodes": {"find", "predict", "cam", "psol"},
    "--seed": {"evaluate", "cam", "psol", "gan", "gan figure"},
    "--resume": {"find", "predict", "cam", "psol", "gan"},
    "--overwrite": {"find", "predict"},
    "--config": {"find", "cam", "psol", "gan"},
}


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        app.meta([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err


def flags_of(words: list[str]) -> dict[str, Any]:
    """The long flags of a command with their short ones and their choices."""
    command = app
    for word in words:
        command = command[word]
    arguments = command.assemble_argument_collection(parse_docstring=True)
    return {
        name: (tuple(n for n in argument.names if len(n) == 2), repr(argument.get_choices()), argument.parameter.help)
        for argument in arguments
        for name in argument.names
        if name.startswith("--")
    }


def test_a_flag_that_commands_share_is_spelled_alike_wherever_it_makes_sense() -> None:
    known = {name: flags_of(words) for name, words in COMMANDS.items()}
    for flag, commands in SHARED.items():
        assert {name for name, flags in known.items() if flag in flags} == commands, flag
        shorts = {known[name][flag][0] for name in commands}
        choices = {known[name][flag][1] for name in commands}
        assert len(shorts) == 1 and len(choices) == 1, (flag, shorts, choices)
        assert all(known[name][flag][2] for name in commands), f"{flag} has no help"
    assert known["cam"]["--workers"][0] == ("-j",) and known["gan"]["--batch-size"][0] == ("-b",)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("--accelerator cpu", "--device cpu"),
        ("--accelerator=cuda --lr 1", "--device=cuda --lr 1"),
        ("--precision 32-true", "--precision fp32"),
        ("--precision=bf16-mixed", "--precision=bf16"),
        ("--out 32-true --precision auto", "--out 32-true --precision auto"),
    ],
)
def test_words_of_the_version_before_are_read_with_a_note(typed: str, read: str) -> None:
    words, notes = current_spelling(typed.split())
    assert words == read.split()
    assert len(notes) == (typed != read)


def test_a_training_is_begun_with_former_words_and_says_so_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_squares(tmp_path / "squares", 8)
    tiny = ["--backbone", "tiny", "--weights", "none", "--size", "32", "--resize", "32", "--epochs", "1"]
    old = ("--accelerator", "cpu", "--precision", "32-true")
    code, out, err = run(capfd, "train", "cam", tmp_path / "squares", "--out", tmp_path / "run", *tiny, *old, "--json")
    assert code == 0 and '"last.pt"' in out
    assert "--accelerator is now --device" in err and "32-true is now fp32" in err
    settings = read_settings(tmp_path / "run" / "settings.toml").training
    assert (settings.device, settings.precision) == ("cpu", "fp32")
    code, _, err = run(
        capfd, "--quiet", "train", "cam", tmp_path / "squares", "--out", tmp_path / "two", *tiny, "--accelerator=cpu"
    )
    assert code == 0 and "is now" not in err


def test_runs_of_the_version_before_are_read_resumed_and_repeated(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_squares(tmp_path / "squares", 8)
    squares, out = read_data(tmp_path / "squares", "all"), tmp_path / "run"
    train_classifier("cam", {}, squares, None, quick(epochs=1), out)
    toml = out / "settings.toml"
    older = toml.read_text().replace('device = "cpu"', 'accelerator = "cpu"').replace('"fp32"', '"32-true"')
    assert "accelerator" in older and "32-true" in older
    toml.write_text(older)
    last = torch.load(out / "last.pt", weights_only=False)
    last["settings"]["accelerator"] = last["settings"].pop("device")
    last["settings"]["precision"] = "32-true"
    torch.save(last, out / "last.pt")
    assert read_settings(toml).training == quick(epochs=1)
    with pytest.raises(UsageError, match="precision = 'fp32', not 'bf16'"):
        train_classifier("cam", {}, squares, None, quick(epochs=2, precision="bf16"), out, resume=True)
    arguments = ("train", "cam", tmp_path / "squares", "--config", toml, "--epochs", 2)
    code, _, err = run(capfd, *arguments, "--out", out, "--resume")
    assert code == 0, err
    assert len((out / "metrics.csv").read_text().splitlines()) == 3


def test_settings_of_the_version_before_are_the_defaults_of_a_training(tmp_path: Path) -> None:
    toml = tmp_path / "settings.toml"
    toml.write_text('[training]\naccelerator = "cpu"\nprecision = "bf16-mixed"\n')
    assert read_config(toml, "cam") == {"device": "cpu", "precision": "bf16"}
    toml.write_text('precision = "32-true"\ndevice = "cpu"\n')
    assert read_config(toml, "dcgan") == {"precision": "fp32", "device": "cpu"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--workers", "0"], "workers is 0; expected more than 0"),
        (["--batch-size", "0"], "batch_size is 0; expected more than 0"),
        (["-b", "-3"], "batch_size is -3; expected more than 0"),
        (["--size", "0"], "size is 0; expected more than 0"),
        (["--stride", "0"], "stride is 0; expected more than 0"),
        (["--devices", "0"], "devices is 0; expected more than 0"),
        (["--device", "mps"], "There is no device 'mps'. Choose auto, cpu, cuda or cuda:N."),
        (["--threshold", "1"], "The threshold 1.0 is not a fraction of the range. Expected 0 or more and less than 1."),
        (["--threshold", "-0.1"], "Expected 0 or more and less than 1."),
    ],
)
def test_what_no_search_can_have_is_one_sentence_and_exit_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], wrong: list[str], said: str
) -> None:
    make_squares(tmp_path / "squares", 2)
    code, out, err = run(capfd, "find", tmp_path / "squares", "--out", tmp_path / "out", *wrong)
    assert (code, out) == (2, "") and said in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["mps", "xpu", "cuda:", "cuda:1000", "cpu:1"])
def test_devices_that_are_not_here_are_refused_by_name(wrong: str) -> None:
    with pytest.raises(UsageError, match=re.escape(wrong)):
        device_named(wrong)


def test_the_name_of_a_class_may_have_a_comma(tmp_path: Path) -> None:
    for name in ("lily, white", "rose", "tulip"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(b"")
    data = read_data(tmp_path, "all")
    assert restricted(data, '"lily, white",rose').classes == ["lily, white", "rose"]
    assert restricted(data, 'rose, "lily, white"').classes == ["rose", "lily, white"]
    assert restricted(data, "rose , tulip").classes == ["rose", "tulip"]
    with pytest.raises(UsageError):
        restricted(data, "lily, white")
