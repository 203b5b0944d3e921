import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "reliability" / "kills.py"


def test_five_kills_lose_nothing(tmp_path):
    command = [sys.executable, SCRIPT, tmp_path / "out.json", "--kills", "5", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["kills"] == 5
    assert set(content["jobs"]) == {"train cam", "train sn-dcgan", "find", "predict", "review"}
