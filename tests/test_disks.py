import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from squares import make_squares

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "reliability" / "disks.py"
TRAIN = ["--backbone", "tiny", "--weights", "none", "--size", "32", "--resize", "32", "--batch-size", "4"]


def may_mount(tmp_path):
    done = subprocess.run(["mount", "-t", "tmpfs", "boxless", tmp_path], capture_output=True, check=False)
    return done.returncode == 0 and subprocess.run(["umount", tmp_path], check=False).returncode == 0


def test_full_and_read_only_disks_are_a_sentence_and_old_files_stay(tmp_path):
    if os.name == "nt" or os.geteuid() or not may_mount(tmp_path):
        pytest.skip("only root may mount a small disk")
    command = [sys.executable, SCRIPT, tmp_path / "out.json", "--only", "train cam"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["wrong"] == {}
    assert content["commands"] == ["train cam"] and content["ways"] == 4


def boxless(*arguments, **more):
    command = [sys.executable, "-m", "boxless", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more)


def test_a_file_that_may_not_grow_is_a_sentence(tmp_path):
    """Without root: the kernel's limit on the length of a file stands for the full disk."""
    make_squares(tmp_path / "squares", 8)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    process = boxless("train", "cam", tmp_path / "squares", "--out", tmp_path / "run", *TRAIN, preexec_fn=limit)
    _, said = process.communicate()
    assert process.returncode == 1
    assert "Could not write the checkpoint" in said and "Traceback" not in said and "mistake" not in said
    assert not list((tmp_path / "run").glob("*.pt")) and not list((tmp_path / "run").glob(".*.pt*"))


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path):
    make_squares(tmp_path / "squares", 8)
    command = ["train", "cam", tmp_path / "squares", "--out", tmp_path / "run", *TRAIN, "--epochs", "100000"]
    process = boxless(*command)
    while not (tmp_path / "run" / "metrics.csv").exists():
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted; what was saved stays" in said
    assert (tmp_path / "run" / "last.pt").is_file()
    rows = (tmp_path / "run" / "metrics.csv").read_text().count("\n")
    process = boxless(*command[:-1], str(rows + 1), "--resume")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert (tmp_path / "run" / "metrics.csv").read_text().count("\n") == rows + 2
