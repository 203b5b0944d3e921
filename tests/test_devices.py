"""Processes that share work: what is left of their group when they end."""

import subprocess
import sys
from pathlib import Path

import pytest

ENDING = """
import atexit, os
from pathlib import Path

def look():
    threads = [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]
    if any("gloo" in name for name in threads):
        print(threads, flush=True)
        os._exit(9)

atexit.register(look)  # before the group's own, and so after it

from boxless.runtime.devices import team_on

_, team = team_on("cpu", devices=2)
assert team.on_main(lambda: list(range(9))) == list(range(9))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_no_thread_of_the_group_outlives_the_work(tmp_path: Path) -> None:
    # One that drops a tensor while the interpreter ends aborts the process: seen in one of ten predictions.
    script = tmp_path / "ending.py"
    script.write_text(ENDING)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
