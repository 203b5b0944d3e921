"""One checkout against another, in turn: start-up, `find`, and find_boxes on a map for 12 million pixels.

    python benchmarks/against.py ../before [PHOTOS] [--out against.json] [--repeats 5]

Each way is a process of its own, with only the path of the package different, and all ways of both checkouts run in
every repeat. The time is that of the processor (user and system), which a busy machine changes least; a ratio is of
medians, the other checkout over the one that holds this file. PHOTOS defaults to 20 made photographs.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from boxless.data.synthetic import make_scenes
from boxless.runtime.files import write_json
from boxless.runtime.provenance import provenance

HERE = Path(__file__).resolve().parents[1]
MAPS = """
import time, numpy as np, cv2
from boxless import find_boxes
rng = np.random.default_rng(0)
noise = rng.random(({side}, {side}), np.float32)
heat = cv2.GaussianBlur(noise, (0, 0), {side} / 9) if {smooth} else noise
spent = []
for _ in range(12):
    began = time.process_time()
    find_boxes(heat, (4032, 3024), 0.4)
    spent.append(time.process_time() - began)
print(sorted(spent[2:])[5])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        photos = asked.photos or Path(made) / "scenes"
        if asked.photos is None:
            make_scenes(photos, 20, size=512, test=0)
        seconds = measure({"this": HERE, "other": asked.other.resolve()}, photos, Path(made), asked.repeats)
    content = {**provenance(), "repeats": asked.repeats, **ratios(seconds)}
    print(json.dumps(content, indent=1))
    if asked.out:
        write_json(asked.out, content)


def measure(checkouts: dict[str, Path], photos: Path, room: Path, repeats: int) -> dict[str, dict[str, list[float]]]:
    """Processor seconds of each way, for each checkout; the first repeat warms up and is not kept."""
    ways: dict[str, list[str]] = {
        "find": ["-m", "boxless", "find", str(photos), "--out", str(room / "found"), "--overwrite", "--quiet"],
        "a wrong path": ["-m", "boxless", "find", str(room / "nowhere"), "--out", str(room / "none")],
        "help": ["-m", "boxless", "find", "--help"],
    }
    for name, side, smooth in (("smooth 18 x 18", 18, True), ("noise 18 x 18", 18, False), ("noise 224", 224, False)):
        ways[f"find_boxes, {name}"] = ["-c", MAPS.format(side=side, smooth=smooth)]
    seconds: dict[str, dict[str, list[float]]] = {way: {name: [] for name in checkouts} for way in ways}
    for repeat in range(repeats + 1):
        for way, arguments in ways.items():
            for name, checkout in checkouts.items():
                spent = run(arguments, checkout, room)
                if repeat:
                    seconds[way][name].append(spent)
    return seconds


def run(arguments: list[str], checkout: Path, room: Path) -> float:
    """Processor seconds of one process, or what it printed as such."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=room, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if "-c" in arguments:
        return float(done.stdout)
    if done.returncode != ("nowhere" in " ".join(arguments)):
        raise SystemExit(f"{checkout}: {' '.join(arguments)} failed: {done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ratios(seconds: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    middle = {way: {name: statistics.median(runs) for name, runs in both.items()} for way, both in seconds.items()}
    return {
        "processor_seconds": seconds,
        "times_faster": {way: both["other"] / both["this"] for way, both in middle.items()},
    }


if __name__ == "__main__":
    main()
