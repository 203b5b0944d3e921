import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from squares import make_squares, quick

from boxless.gan.settings import GanTraining
from boxless.gan.training import train_gan
from boxless.inference.factory import discoverer
from boxless.inference.predict_folder import predict_folder
from boxless.methods.training import train_classifier
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.files import LOCK, PARTIAL_SUFFIX, folder_lock
from boxless.runtime.progress import Progress

HOLDER = """
import sys, time
from pathlib import Path
from boxless.runtime.files import PARTIAL_SUFFIX, folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(out: Path) -> subprocess.Popen[str]:
    """A second process that holds the folder `out` when this returns."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    with (
        holder(tmp_path / "out") as other,
        pytest.raises(UsageError, match=rf"process {other.pid} on .*another --out"),
    ):
        try:
            with folder_lock(tmp_path / "out"):
                pytest.fail("two processes hold one folder")
        finally:
            other.kill()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        os.kill(other.pid, signal.SIGKILL)
    assert (tmp_path / LOCK).exists()
    left, foreign = tmp_path / f".last.pt.{other.pid}{PARTIAL_SUFFIX}", tmp_path / f".last.pt.{other.pid}"
    left.write_text("half")
    foreign.write_text("somebody's own")
    with folder_lock(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
        assert not left.exists()  # what it had begun to write goes, too
    assert [entry.name for entry in tmp_path.iterdir()] == [foreign.name]


def test_train_find_and_predict_refuse_a_folder_that_another_process_writes(tmp_path: Path) -> None:
    squares = make_squares(tmp_path / "squares", 8)
    images = torch.randint(0, 255, (8, 16, 16, 3), dtype=torch.uint8)
    with holder(tmp_path / "out") as other:
        try:
            for work in (
                lambda out: train_classifier("cam", {}, squares, None, quick(epochs=1), out),
                lambda out: train_gan("dcgan", images, GanTraining(iterations=1, size=16, width=0.125), out),
                lambda out: predict_folder(
                    discoverer("contrast"), squares, out, Progress(), format="csv", overwrite=True
                ),
            ):
                with pytest.raises(UsageError, match=rf"Another boxless writes .*process {other.pid}"):
                    work(tmp_path / "out")
            assert [path.name for path in (tmp_path / "out").iterdir()] == [LOCK]
        finally:
            other.kill()


def test_the_folder_is_free_again_afterwards_and_gone_if_nothing_was_written(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), folder_lock(tmp_path / "a" / "b"):
            raise ZeroDivisionError
        assert not (tmp_path / "a" / "b").exists()
    with folder_lock(tmp_path / "kept"):
        (tmp_path / "kept" / "file").touch()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(BoxlessError, match=r"Could not write to .* and lock it"),
        folder_lock(tmp_path / "file" / "out"),
    ):
        pass


def test_many_processes_take_turns_and_never_meet(tmp_path: Path) -> None:
    start = time.time() + 1.5
    processes = [subprocess.Popen([sys.executable, "-c", TURNS, str(tmp_path), str(start)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]


TURNS = """\
import os, sys, time
from pathlib import Path
from boxless.runtime.files import folder_lock
from boxless.runtime.errors import UsageError
while time.time() < float(sys.argv[2]): pass
for _ in range(150):
    try:
        with folder_lock(Path(sys.argv[1])):
            os.close(os.open(Path(sys.argv[1]) / "alone", os.O_CREAT | os.O_EXCL))
            os.unlink(Path(sys.argv[1]) / "alone")
    except UsageError:
        pass
"""
