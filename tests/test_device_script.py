"""The one command for a GPU machine, in small on a processor."""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from boxless.cli import app

FOLDER = Path(__file__).parents[1] / "benchmarks" / "device"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"device_{name}", FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_dry_run_runs_the_very_command(tmp_path: Path) -> None:
    command = ["bash", str(FOLDER / "run.sh"), "--dry-run", str(tmp_path), "--only", "gan-step"]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + (tmp_path / "logs.txt").read_text()
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [["gan-step", "done"]]
    with tarfile.open(tmp_path / "results.tar.gz") as archive:
        assert archive.getnames() == ["results/gan_step-sn-dcgan.json"]


def test_every_command_of_the_full_run_is_one(tmp_path: Path) -> None:
    run = script("run")
    data = {"tiny28": Path("tiny28.zip"), "tiny200": [Path("tiny200_a.zip"), Path("tiny200_b.zip")]}
    (tmp_path / "results").mkdir()
    speed = {"boxless": {"iterations_per_second": 900.0}}
    (tmp_path / "results" / "gan_step-dcgan.json").write_text(json.dumps(speed))
    steps = list(run.steps(argparse.Namespace(dry_run=False, **data), tmp_path))
    commands = [list(command) for step in steps for command in step.commands]
    ours = [command[len(run.BOXLESS) :] for command in commands if command[: len(run.BOXLESS)] == list(run.BOXLESS)]
    assert len(ours) == 12 + 12 + 3
    for words in ours:
        app.parse_args([word for word in words if word != "--quiet"], print_error=False, exit_on_error=False)
    assert "11000" in ours[0]  # 900 a second for 150 seconds, shared by twelve
    assert all(Path(command[1]).is_file() for command in commands if command[1].endswith(".py"))


def test_a_step_that_fails_or_hangs_stops_none_of_the_others(tmp_path: Path) -> None:
    run = script("run")
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    out.mkdir()

    def python(code: str) -> list[str]:
        return [sys.executable, "-c", code]

    writes = f"open({str(work / 'results' / 'a.json')!r}, 'w').write('1')"
    planned = [
        run.Step("fails", 20, [python("raise SystemExit(3)"), python("")]),
        run.Step("hangs", 1.5, [python("import time; time.sleep(60)"), python("")]),
        run.Step("left out", 20, [python("raise SystemExit(3)")]),
        run.Step("writes", 20, [python(writes)]),
    ]
    outcomes = list(run.run(iter(planned), work, out, ["fails", "hangs", "writes"]))
    assert [outcome.verdict for outcome in outcomes] == ["failed", "out of time", "done"]
    assert [outcome.exits for outcome in outcomes] == [[3, 0], [None, 0], [0]]
    assert [step["verdict"] for step in json.loads((out / "steps.json").read_text())["steps"]][1] == "out of time"
    with tarfile.open(out / "results.tar.gz") as archive:
        assert archive.getnames() == ["results/a.json"]
    assert len(run.table(outcomes).splitlines()) == 4


def test_nothing_begins_once_the_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = script("run")
    monkeypatch.setattr(run, "TOTAL", 0.5)
    touch = [sys.executable, "-c", f"open({str(tmp_path / 'begun')!r}, 'w')"]
    (outcome,) = run.run(iter([run.Step("late", 20, [touch])]), tmp_path, tmp_path, ())
    assert outcome.verdict == "out of time" and not (tmp_path / "begun").exists()


def test_what_is_carried_is_the_first_of_each_class_with_its_boxes(tmp_path: Path) -> None:
    carry = script("carry")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as made:
        for split in ("train", "val"):
            names = [f"{split}/{label}/{label}_{number}.JPEG" for label in ("a", "b") for number in range(3)]
            for name in names:
                made.writestr(name, name)
            made.writestr(f"boxes_{split}.csv", "image,class,x0\n" + "".join(f"{name},a,1\n" for name in names))
    carry.carry(tmp_path / "all.zip", tmp_path / "some.zip", {"train": 2, "val": 9}, {"b"})
    with zipfile.ZipFile(tmp_path / "some.zip") as kept:
        assert kept.namelist() == [
            *("train/b/b_0.JPEG", "train/b/b_1.JPEG", "val/b/b_0.JPEG", "val/b/b_1.JPEG", "val/b/b_2.JPEG"),
            *("boxes_train.csv", "boxes_val.csv"),
        ]
        rows = kept.read("boxes_train.csv").decode().splitlines()
    assert rows == ["image,class,x0", "train/b/b_0.JPEG,a,1", "train/b/b_1.JPEG,a,1"]
