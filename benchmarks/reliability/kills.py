"""SIGKILL and SIGTERM at random moments of commands that write: what stands then is whole, what goes on ends the same.

    python benchmarks/reliability/kills.py [out.json] [--kills 50] [--seed 0] [--only WORDS]

Each job is run once in peace. Then it is killed at moments drawn from the time that this took, looked at, taken up
again, killed again, until it ends; its result must be the one of the run in peace, to the last bit.
"""

import argparse
import csv
import json
import os
import re
import signal
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from children import begin, end
from soak import make_pictures

from boxless.inference.localizer import load
from boxless.runtime import checkpoint
from boxless.runtime.provenance import provenance


class Job(NamedTuple):
    """A command that is killed: how it begins, how it goes on, what is whole at any moment, and what it comes to."""

    name: str
    begin: list[str]
    go_on: list[str]
    """What is added when there is something to go on from."""
    begun: str
    """The file by which one knows that there is."""
    check: Callable[[Path], None]
    result: Callable[[Path], Any]


NETWORK = "--backbone tiny --weights none --size 32 --resize 32 --batch-size 4 --epochs 4 --save-minutes 0 --workers 1"
GAN = "--iterations 16 --width 0.0625 --size 16 --batch-size 4 --save-every 2 --log-every 2 --device cpu"


def jobs(root: Path) -> list[Job]:
    train, gan, run = check_classifier, check_gan, str(root / "network")
    search, pictures = check_search, str(root / "pictures")
    return [
        Job("train cam", ["train", "cam", pictures, *NETWORK.split()], ["--resume"], "last.pt", train, weights),
        Job("train sn-dcgan", ["train", "sn-dcgan", pictures, *GAN.split()], ["--resume"], "last.pt", gan, weights),
        Job("find", ["find", pictures, "--method", "contrast"], ["--resume"], "", search, files),
        Job("predict", ["predict", run, pictures, "--format", "voc"], ["--resume"], "", search, files),
    ]


def check_classifier(out: Path) -> None:
    """Every file that a reader would take is whole, and the table is no further than the checkpoint."""
    for name in ("best.pt", "last.pt"):
        if (out / name).exists():
            load(out / name)
    if (out / "settings.toml").exists():
        tomllib.loads((out / "settings.toml").read_text())
    if (out / "metrics.csv").exists():
        history = checkpoint.read(out / "last.pt")["trainer"]["history"]
        rows = table(out / "metrics.csv")
        assert len(rows) <= len(history), "metrics.csv is further than last.pt"
        assert all(None not in row and None not in row.values() for row in rows), "half a row"


def check_gan(out: Path) -> None:
    for name in ("best.pt", "last.pt"):
        if (out / name).exists():
            load(out / name)


def check_search(out: Path) -> None:
    """A summary stands beside all that it counts, or not at all."""
    if (out / "summary.json").exists():
        summary = json.loads((out / "summary.json").read_text())
        assert summary["images"] == counted(out), "the summary counts other images than there are"


def counted(out: Path) -> int:
    if (out / "boxes.json").exists():
        return len(json.loads((out / "boxes.json").read_text())["images"])
    if (out / "boxes.csv").exists():  # which has no row for an image in which nothing was found
        nothing = json.loads((out / "summary.json").read_text())["nothing_found"]
        return len({row["image"] for row in table(out / "boxes.csv")} | set(nothing))
    return len(list((out / "labels" if (out / "labels").exists() else out / "Annotations").rglob("*.*")))


def weights(out: Path) -> Any:
    """The weights and the table, without the seconds."""
    models = [checkpoint.read(out / name)["model"] for name in ("best.pt", "last.pt")]
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in table(out / "metrics.csv")]
    return [{key: value.numpy().tobytes() for key, value in model.items()} for model in models], rows


def files(out: Path) -> Any:
    """All bytes that were written, but the summary's seconds; nothing hidden may be left."""
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    return {name: (out / name).read_bytes() for name in names if name != "summary.json"}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def killed(job: Job, kills: int, root: Path, rng: np.random.Generator) -> dict[str, Any]:
    """Kill the job so many times; raises AssertionError for what is lost, half-written or different."""
    log = root / "log.txt"
    began = time.monotonic()
    assert end(begin([*job.begin, "--out", str(root / "whole")], log)) == 0, log.read_text()[-2000:]
    seconds, expected = time.monotonic() - began, job.result(root / "whole")
    done = finished = terms = 0
    moments = []
    while done < kills:
        out = root / f"cut-{finished}"
        while True:
            going = (out / job.begun).exists()
            after = float(rng.uniform(0, seconds)) if done < kills else None
            began = time.monotonic()
            number = signal.Signals(int(rng.choice([signal.SIGKILL, signal.SIGTERM])))
            code = end(begin([*job.begin, "--out", str(out), *(job.go_on if going else [])], log), after, number)
            if code == 0:
                if not going:  # the machine had been busier at first: moments after the end kill nothing
                    seconds = min(seconds, time.monotonic() - began)
                break
            assert code == -number, f"{job.name} ended with {code}: {log.read_text()[-2000:]}"
            done += 1
            terms += number == signal.SIGTERM
            moments.append(round(after / seconds, 3))  # type: ignore[operator]  # only what was killed comes here
            job.check(out)
        assert job.result(out) == expected, f"{job.name}: another result after {moments}"
        finished += 1
    return {
        "kills": done,
        "by SIGTERM": int(terms),
        "runs": finished,
        "seconds in peace": round(seconds, 2),
        "moments": moments,
    }


def killed_review(kills: int, root: Path, rng: np.random.Generator) -> dict[str, Any]:
    """Kill a review while decisions are sent: each that was answered is there when it is opened again."""
    from boxless.review.opening import opened

    boxes, photos, out = root / "found-for-review", root / "pictures", root / "reviewed"
    assert end(begin(["find", str(photos), "--method", "contrast", "--out", str(boxes)], root / "log.txt")) == 0
    sent = answered = 0
    for number in range(kills):
        log = root / f"review-{number}.txt"
        child = begin(["review", str(boxes), str(photos), "--out", str(out)], log)
        address = _address(log)
        until = time.monotonic() + rng.uniform(0.01, 0.5)
        while time.monotonic() < until:
            box = [0, 0, 1 + sent % 30, 1 + sent % 29]
            _post(f"{address}decide", {"index": answered % 20, "accepted": True, "boxes": [box]})
            sent, answered = sent + 1, answered + 1
        late = begin_late(address, answered)  # one more is under way when the kill comes
        assert end(child, 0.0) == -9
        end(late)
        with opened(boxes, photos, out) as again:
            lines = (out / "review.jsonl").read_text().splitlines()
            assert len(lines) in (answered, answered + 1), f"{answered} decisions were saved, {len(lines)} are there"
            answered = len(lines)
            assert sum(again.review.counts().values()) == len(list(photos.rglob("*.png")))
    return {"kills": kills, "decisions": answered}


def begin_late(address: str, number: int) -> int:
    child = os.fork()
    if not child:
        try:
            _post(f"{address}decide", {"index": number % 20, "accepted": True, "boxes": [[0, 0, 2, 2]]})
        finally:
            os._exit(0)
    return child


def _address(log: Path) -> str:
    for _ in range(3000):
        found = re.search(r"http://127\.0\.0\.1:\d+/[\w-]+/", log.read_text() if log.exists() else "")
        if found:
            return found[0]
        time.sleep(0.01)
    raise AssertionError(f"no review: {log.read_text()}")


def _post(address: str, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def measure(kills: int, seed: int, only: str) -> dict[str, Any]:
    done: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="boxless-kills-") as folder:
        root = Path(folder)
        make_pictures(root / "pictures", 20, seed)
        command = ["train", "cam", str(root / "pictures"), *NETWORK.split(), "--out", str(root / "network")]
        assert end(begin(command, root / "log.txt")) == 0, (root / "log.txt").read_text()
        chosen = [job for job in jobs(root) if only in job.name]
        review = only in "review"
        shares = np.full(len(chosen) + review, kills // (len(chosen) + review))
        shares[: kills % len(shares)] += 1
        for number, (job, share) in enumerate(zip(chosen, shares, strict=False)):
            home = root / job.name.replace(" ", "-")
            home.mkdir()
            done[job.name] = killed(job, int(share), home, np.random.default_rng((seed, number)))
            print(f"{job.name}: {done[job.name]['kills']} kills", file=sys.stderr)
        if review:
            done["review"] = killed_review(int(shares[-1]), root, np.random.default_rng((seed, len(chosen))))
    return {"seed": seed, "jobs": done}


def with_others(content: dict[str, Any], out: Path | None) -> dict[str, Any]:
    """The jobs beside those that an earlier run with --only wrote into `out`, and how many kills all of them had."""
    earlier = json.loads(out.read_text())["jobs"] if out and out.exists() else {}
    jobs = earlier | content["jobs"]
    return content | {"jobs": jobs, "kills": sum(job["kills"] for job in jobs.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="jobs whose names hold these words; others in `out` stay")
    given = parser.parse_args()
    torch.set_num_threads(1)
    content = provenance() | with_others(measure(given.kills, given.seed, given.only), given.out)
    if given.out:
        given.out.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
