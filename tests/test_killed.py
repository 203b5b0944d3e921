"""kill -9 at the worst moments: in the middle of an epoch, and in the middle of writing a checkpoint."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from squares import make_squares, quick

from boxless.methods.training import train_classifier
from boxless.runtime import checkpoint

PROGRAM = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
from squares import make_squares, quick
from boxless.methods.training import train_classifier

root, moment = Path(sys.argv[1]), sys.argv[2]
save, writes = torch.save, 0


def broken_save(content, file):
    global writes
    writes += 1
    if moment == "while writing" and writes == 5:  # best.pt and last.pt of the start and of the first epoch are four
        file.write(b"half a checkpoint")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(content, file)


def progress(done, steps, row):
    if moment == "in an epoch" and done == 7:
        os.kill(os.getpid(), signal.SIGKILL)


torch.save = broken_save
train_classifier("i2c", {options!r}, make_squares(root / "squares", 28), None, quick(epochs=3, resize=36),
                 root / "cut", progress=progress)
"""
OPTIONS = {"warm_up": 1, "gc_weight": 0.01, "sc_weight": 0.001}


@pytest.mark.parametrize("moment", ["in an epoch", "while writing"])
def test_a_killed_run_goes_on_to_the_same_loss_curve_and_memory(moment: str, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(PROGRAM.format(tests=str(Path(__file__).parent), options=OPTIONS))
    done = subprocess.run([sys.executable, str(script), str(tmp_path), moment], timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    left = checkpoint.read(tmp_path / "cut" / "last.pt")["trainer"]
    assert (left["epoch"], left["step"]) == (1, 0)
    halves = list((tmp_path / "cut").glob(".*.pt.*"))
    assert len(halves) == (moment == "while writing")
    squares, settings = make_squares(tmp_path / "squares", 28), quick(epochs=3, resize=36)
    for name in ("cut", "whole"):
        train_classifier("i2c", OPTIONS, squares, None, settings, tmp_path / name, resume=name == "cut")
    cut, whole = (checkpoint.read(tmp_path / name / "last.pt") for name in ("cut", "whole"))
    curves = [[{**row, "seconds": 0} for row in content["trainer"]["history"]] for content in (cut, whole)]
    assert curves[0] == curves[1]
    assert not any(half.exists() for half in halves)
    assert curves[0][-1]["sc"] > 0
    assert float(cut["model"]["updates"].sum()) > 0
    assert all(torch.equal(value, whole["model"][key]) for key, value in cut["model"].items())
