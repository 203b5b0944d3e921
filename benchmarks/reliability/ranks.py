"""One of two processes is killed in the middle of find, predict and train: the other ends, and the work goes on.

    python benchmarks/reliability/ranks.py [out.json] [--seed 0] [--only WORDS]

Each command runs with --devices 2, once in peace; then each of its processes is killed, by SIGKILL and by SIGTERM, at
a moment drawn from its work. The other one has to end within SECONDS, with exit code 1 and one sentence; with --resume
the result is that of the run in peace, to the last bit.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from kills import Job, check_classifier, check_search, files, weights, with_others
from soak import make_pictures, tiny_run

from boxless.runtime.provenance import provenance

SECONDS = 30
SENTENCE = "Another process of this task has ended"
DONE = ("Next: boxless", "Written to")
"""What commands that have done all their work end with."""
TRAIN = "--backbone tiny --weights none --size 32 --resize 32 --batch-size 4 --epochs 4 --workers 1 --devices 2"


def jobs(root: Path) -> list[Job]:
    pictures = str(root / "pictures")
    find = ["find", pictures, "--method", "contrast", "--devices", "2"]
    predict = ["predict", str(root / "network"), pictures, "-b", "1", "--devices", "2"]
    return [
        Job(
            "train cam",
            ["train", "cam", pictures, *TRAIN.split()],
            ["--resume"],
            "metrics.csv",
            check_classifier,
            weights,
        ),
        Job("find", find, ["--resume"], ".boxless-shards/job.json", check_search, files),
        Job("predict", predict, ["--resume"], ".boxless-shards/job.json", check_search, files),
    ]


def program() -> list[str]:
    return [sys.executable, "-m", "boxless", "--quiet"]


class Pair:
    """A command in two processes: the one that was started, and the one that it started."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with log.open("w") as out:
            self.first = subprocess.Popen([*program(), *command], stdout=out, stderr=out)

    def second(self) -> int:
        """The process that the first one has started; raises AssertionError where there is none."""
        for _ in range(1200):
            for stat in Path("/proc").glob("[0-9]*/stat"):
                try:
                    number, _, rest = stat.read_text().partition(" (")
                except OSError:  # it has ended
                    continue
                if int(rest.rpartition(")")[2].split()[1]) == self.first.pid:
                    return int(number)
            assert self.first.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError("no second process")

    def until(self, done: Callable[[], bool]) -> float:
        """Wait until something is true or the command is over; the seconds."""
        began = time.monotonic()
        while not done() and self.first.poll() is None:
            time.sleep(0.01)
        return time.monotonic() - began


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill_one(job: Job, out: Path, victim: int, number: signal.Signals, after: float) -> float | None:
    """The seconds that the other process took to end, None where the work was done before the kill."""
    pair = Pair([*job.begin, "--out", str(out)], out.with_suffix(".log"))
    both = (pair.first.pid, pair.second())
    pair.until((out / job.begun).exists)
    time.sleep(after)
    if pair.first.poll() is not None:
        return None
    os.kill(both[victim], number)
    began, other = time.monotonic(), both[1 - victim]
    while alive(other) and time.monotonic() - began < 2 * SECONDS:
        pair.first.poll()
        time.sleep(0.02)
    seconds = time.monotonic() - began
    for process in both:
        if alive(process):
            os.kill(process, signal.SIGKILL)
    code, said = pair.first.wait(), pair.log.read_text()
    assert seconds < SECONDS, f"the other process took {seconds:.0f} s to end"
    if any(words in said for words in DONE) and SENTENCE not in said:  # killed after its farewell: the work was whole
        job.check(out)
        return None
    assert code in ((1,) if victim else (-number,)), f"exit code {code}: {said[-1000:]}"
    assert said.count(SENTENCE) == 1 and "Traceback" not in said and "mistake" not in said, said[-1000:]
    job.check(out)
    return seconds


def killed(job: Job, root: Path, rng: np.random.Generator) -> dict[str, Any]:
    """Kill either process in either way; raises AssertionError for what is not as it has to be."""
    peace = Pair([*job.begin, "--out", str(root / "whole")], root / "whole.log")
    peace.until((root / "whole" / job.begun).exists)
    work = peace.until(lambda: False)
    assert peace.first.wait() == 0, peace.log.read_text()
    expected, took = job.result(root / "whole"), []
    for number in (signal.SIGKILL, signal.SIGTERM):
        for victim in (0, 1):
            out, seconds = root / f"{number.name}-{victim}", None
            while seconds is None:
                subprocess.run(["rm", "-rf", str(out)], check=True)
                seconds = kill_one(job, out, victim, number, float(rng.uniform(0, 0.8)) * work)
                work *= 0.8 if seconds is None else 1
            took.append(round(seconds, 2))
            again = Pair([*job.begin, "--out", str(out), *job.go_on], root / "again.log")
            assert again.first.wait() == 0, again.log.read_text()[-1000:]
            assert job.result(out) == expected, f"{job.name}: another result after {number.name} of process {victim}"
    return {"kills": len(took), "seconds until the other ended": took}


def measure(seed: int, only: str, pictures: int = 400) -> dict[str, Any]:
    done = {}
    with tempfile.TemporaryDirectory(prefix="boxless-ranks-") as folder:
        root = Path(folder)
        make_pictures(root / "pictures", pictures, seed)
        tiny_run(root / "pictures", root / "network")
        for number, job in enumerate(job for job in jobs(root) if only in job.name):
            home = root / job.name.replace(" ", "-")
            home.mkdir()
            done[job.name] = killed(job, home, np.random.default_rng((seed, number)))
            print(f"{job.name}: {done[job.name]}", file=sys.stderr)
    return {"seed": seed, "limit_seconds": SECONDS, "jobs": done}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="commands whose names hold these words")
    given = parser.parse_args()
    content = provenance() | with_others(measure(given.seed, given.only), given.out)
    if given.out:
        given.out.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
