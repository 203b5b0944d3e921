"""The flags that commands share: one spelling, one meaning, and the words of the version before for one more."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from squares import make_squares, quick, read_settings

from boxless.cli import VERBS, app
from boxless.cli.config import read_config
from boxless.cli.former_flags import current_spelling
from boxless.data.folder import read_data
from boxless.data.splits import restricted
from boxless.gan import GANS
from boxless.methods import METHODS, REGRESSORS
from boxless.methods.training import train_classifier
from boxless.runtime.devices import device_named
from boxless.runtime.errors import UsageError

COMMANDS = {
    "check": ["check"],
    "find": ["find"],
    "calibrate": ["calibrate"],
    "cam": ["train", "cam"],
    "psol": ["train", "psol"],
    "detector": ["train", "detector"],
    "gan": ["train", "sn-dcgan"],
    "position": ["train", "position"],
    "predict": ["predict"],
    "evaluate": ["evaluate"],
    "review": ["review"],
    "score": ["score"],
    "table": ["reproduce", "i2c-table-2"],
    "wsol": ["reproduce", "wsol-table"],
    "gan table": ["reproduce", "gan-table-3"],
    "gan figure": ["reproduce", "gan-figure-1"],
    "gan readings": ["reproduce", "gan-readings"],
    "gan stopping": ["reproduce", "gan-stopping"],
    "methods": ["methods"],
    "demo": ["demo"],
}
NO_NETWORK = dict.fromkeys(("check", "score", "gan stopping", "methods"), "it runs no network")
AS_SHIPPED = {"demo": "it shows the defaults", "review": "it opens boxes; a run is predicted with the defaults, once"}
TABLES = ("table", "wsol", "gan table", "gan figure", "gan readings", "gan stopping")
ONE_PROCESS = dict.fromkeys(("calibrate", "evaluate", *TABLES), "its numbers are made in one process") | {
    "gan": "a GAN trains in one process", "position": "it trains in minutes, in one process"
}  # fmt: skip
WHOLE = dict.fromkeys(TABLES, "a table is of its data as published; GANs have --groups") | {
    "check": "it says what is there", "review": "it shows what was found", "score": "the file of true boxes decides",
    "methods": "it reads no data", "demo": "it draws its data",
}  # fmt: skip
NOTHING_KEPT = {
    "check": "it writes nothing", "methods": "it writes nothing", "score": "its one file is written anew each time",
    "calibrate": "its one file is written anew each time", "evaluate": "its two files are written anew each time",
    "review": "it always goes on, and every decision is kept", "demo": "its folder has to be empty",
    **dict.fromkeys(TABLES, "it always goes on; a finished trial is never run again"),
}  # fmt: skip
ONE_BOX = NO_NETWORK | AS_SHIPPED | dict.fromkeys(
    (*TABLES, "calibrate", "cam", "psol", "detector", "gan", "position"), "they read one box per image, or none"
)  # fmt: skip
NO_SENSE: dict[str, dict[str, str]] = {
    **dict.fromkeys(("--multiple", "--overlap", "--min-size", "--max-size", "--tiles"), ONE_BOX),
    "--device": NO_NETWORK | AS_SHIPPED,
    "--precision": NO_NETWORK | AS_SHIPPED | {"gan readings": "readings are compared in fp32"},
    "--batch-size": NO_NETWORK
    | AS_SHIPPED
    | {"gan readings": "the maps are the same in any batch", "position": "its schedule is of batches of 32"},
    "--workers": AS_SHIPPED
    | dict.fromkeys(("score", "methods", "gan stopping"), "it reads no images")
    | {"gan readings": "its images are read once, in seconds"},
    "--devices": NO_NETWORK | AS_SHIPPED | ONE_PROCESS,
    "--nodes": NO_NETWORK | AS_SHIPPED | ONE_PROCESS,
    "--classes": WHOLE,
    "--one-category": WHOLE,
    "--seed": dict.fromkeys(("check", "find", "calibrate", "predict", "review", "methods"), "nothing is drawn")
    | {"score": "its draws are those of every other score", "gan readings": "the runs have theirs"}
    | dict.fromkeys(("table", "wsol", "gan table"), "it has --seeds")
    | {"gan stopping": "the runs have theirs"},
    "--json": {},
    "--config": NO_NETWORK
    | AS_SHIPPED
    | dict.fromkeys(TABLES, "the recipe is the settings")
    | {"calibrate": "it writes one", "predict": "the run has its settings", "evaluate": "the run has its settings"},
    "--resume": NOTHING_KEPT,
    "--overwrite": NOTHING_KEPT,
}
"""Where a flag that commands share is left out, and why it would make no sense there; everywhere else it has to be."""


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
    for flag, left_out in NO_SENSE.items():
        commands = {name for name, flags in known.items() if flag in flags}
        assert commands == COMMANDS.keys() - left_out.keys(), flag
        shorts = {known[name][flag][0] for name in commands}
        choices = {known[name][flag][1] for name in commands}
        assert len(shorts) == 1 and len(choices) == 1, (flag, shorts, choices)
        assert all(known[name][flag][2] for name in commands), f"{flag} has no help"
    assert known["cam"]["--workers"][0] == ("-j",) and known["gan"]["--batch-size"][0] == ("-b",)


def test_no_command_is_missing_above() -> None:
    words = {tuple(words) for words in COMMANDS.values()}
    alike = {
        "train": {"cam", "psol", "detector", "sn-dcgan", "position"},
        "reproduce": {words[-1] for words in COMMANDS.values()},
    }
    for verb in VERBS:
        leaves = alike.get(verb)
        assert leaves is not None or (verb,) in words, verb
    trained = {*METHODS, *REGRESSORS, *GANS, "position"}
    assert {name for name in app["train"] if not name.startswith("-")} == trained


@pytest.mark.parametrize("command", COMMANDS)
def test_quiet_and_debug_stand_anywhere(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, *COMMANDS[command], "--quiet", "--help", "--debug")
    assert code == 0 and "Usage" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "nowhere"],
        ["find", "nowhere"],
        ["find", "nowhere", "--reprot"],
        ["reproduce", "gan-figure-1", "--data", "nowhere", "--out", "out"],
        ["reproduce", "wsol-table", "--data", "nowhere", "--out", "out"],
        ["reproduce", "gan-readings", "--data", "nowhere", "--out", "out"],
    ],
)
def test_with_json_stdout_is_json_in_failure_too(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capfd, *arguments, "--json")
    assert code in (1, 2) and json.loads(out).keys() == {"error"} and json.loads(out)["error"] in " ".join(err.split())


def test_a_reader_that_has_read_enough_is_no_error_of_ours() -> None:
    ours = subprocess.Popen(
        [sys.executable, "-m", "boxless", "methods"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    )
    assert ours.stdout is not None and ours.stderr is not None
    ours.stdout.close()
    assert ours.stderr.read() == b"" and ours.wait() == 128 + signal.SIGPIPE


def test_a_run_is_replaced_when_asked_to_and_never_else(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_squares(tmp_path / "squares", 8)
    tiny = ["--backbone", "tiny", "--weights", "none", "--size", "32", "--resize", "32", "--device", "cpu"]
    arguments = ["train", "cam", tmp_path / "squares", "--out", tmp_path / "run", *tiny]
    assert run(capfd, *arguments, "--epochs", "2")[0] == 0
    (tmp_path / "run" / "samples.png").touch()
    (tmp_path / "run" / "notes.txt").touch()
    code, _, err = run(capfd, *arguments, "--epochs", "1")
    assert code == 2 and "--overwrite" in err
    code, _, err = run(capfd, *arguments, "--epochs", "1", "--overwrite", "--resume")
    assert code == 2 and "one of the two" in err
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3
    code, out, err = run(capfd, *arguments, "--epochs", "1", "--overwrite", "--json")
    assert code == 0, err
    assert json.loads(out)["files"] == ["best.pt", "last.pt", "metrics.csv", "notes.txt", "settings.toml"]
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 2


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
        (["--size", "99999"], "size is 99999; expected 4096 pixels at most"),
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


def test_check_too_needs_a_thread_to_read_with(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_squares(tmp_path / "squares", 2)
    code, out, err = run(capfd, "check", tmp_path / "squares", "--workers", "0")
    assert (code, out) == (2, "") and "workers is 0; expected more than 0" in err


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
    with pytest.raises(UsageError, match="has no class 'bird'; it has 3 classes"):
        restricted(data, "bird")  # a group of Tiny ImageNet, of which nothing is here
