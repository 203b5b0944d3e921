"""One checkout against another, in turn: start-up, `find`, `predict`, `score`, measuring, find_boxes.

    python benchmarks/against.py ../before --out against.json [--repeats 3] [--count 1000]

Each way is a process of its own, with only the path of the package different, and all ways of both checkouts run in
every repeat; the first of each is not kept where it is short. Seconds are those of the clock, and of the processor
(user and system), which a busy machine changes least; beside them stand the megabytes of memory at the most. A ratio is
of medians, the other checkout over the one that holds this file. Photographs are those of --photos, each as often as it
takes, or made ones of 512 pixels: 20 and --count as they are, a fifth of that enlarged to 12 million pixels; maps are
twice that. `find` is measured by ddt, which both checkouts have, and by what each of them takes where no method is
named. `predict` reads a cam that the other checkout trained for three epochs with its stages to block10 frozen. What
the output holds already is not measured again, so that a run that was stopped goes on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

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


MEASURE = """
import sys, numpy as np
try:
    from boxless.boxes.from_heatmap import Readout
    from boxless.evaluation.measure import Split, measure
except ImportError:  # their names before 0.2
    from boxless.boxes import Readout
    from boxless.measuring import Split, measure
maps = list(np.load(sys.argv[1]).values())
sizes = [(500, 375)] * len(maps)
truths = [np.array([[50 + i % 90, 40 + i % 70, 300 + i % 150, 250 + i % 100]], np.float32) for i in range(len(maps))]
fit = Split(*(part[: len(maps) // 4] for part in (maps, sizes, truths)))
measure(maps, sizes, truths, readout=Readout(0.35, "fixed", "max"), fit=fit, untrained=maps[::-1])
"""
LONG = ("find, many", "find by default, many", "find, 12 million pixels", "predict, many")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--photos", type=Path, help="a folder with one sub-folder per class")
    parser.add_argument("--ways", nargs="+", help="the ways that both checkouts know; default: all")
    asked = parser.parse_args()
    seconds = json.loads(asked.out.read_text())["seconds"] if asked.out.exists() else {}
    checkouts = {"this": HERE, "other": asked.other.resolve()}
    with tempfile.TemporaryDirectory() as made:
        room = Path(made)
        make_inputs(room, checkouts["other"], asked.count, asked.photos)
        for repeat in range(asked.repeats + 1):
            for way, arguments in ways(room, asked.ways).items():
                measure(seconds.setdefault(way, {}), way, arguments, checkouts, room, repeat)
                write_json(
                    asked.out, {**provenance(), "repeats": asked.repeats, "count": asked.count, **ratios(seconds)}
                )
    print(asked.out.read_text())


def make_inputs(room: Path, other: Path, count: int, photos: Path | None = None) -> None:
    """Photographs, maps with boxes, and a trained run that both checkouts read, because the other one made it."""
    scenes = room / "scenes" if photos is None else photos.resolve()
    if photos is None:
        make_scenes(scenes, 40, kinds=("beetle", "star"), size=512, test=0)
    pictures = sorted(scenes.rglob("*.jpg"))
    for folder, wanted in (("few", 20), ("many", count), ("large", count // 5)):
        (room / folder).mkdir()
        for number in range(wanted):
            picture = pictures[number % (5 if folder == "large" else len(pictures))]
            target, enlarged = room / folder / f"{number:04d}.jpg", room / f"{picture.stem}.jpg"
            if folder == "large" and not enlarged.exists():
                cv2.imwrite(str(enlarged), cv2.resize(cv2.imread(str(picture)), (4032, 3024)))
            target.symlink_to(enlarged if folder == "large" else picture)
    rng = np.random.default_rng(0)
    smooth = {f"{i}.jpg": cv2.GaussianBlur(rng.random((18, 18), np.float32), (0, 0), 2) for i in range(2 * count)}
    np.savez(room / "maps.npz", **smooth)
    rows = [f"{i}.jpg,object,{40 + i % 90},40,{300 + i % 150},{250 + i % 100},500,375" for i in range(2 * count)]
    (room / "boxes.csv").write_text("\n".join(["image,class,x0,y0,x1,y1,width,height", *rows]))
    train = ["-m", "boxless", "train", "cam", str(scenes), "--epochs", "3", "--freeze", "block10"]
    run([*train, "--out", str(room / "run")], other, room)


def ways(room: Path, chosen: Sequence[str] | None) -> dict[str, list[str]]:
    """What is measured, all or what was chosen: the arguments of a process."""
    found: dict[str, list[str]] = {
        "help": ["-m", "boxless", "find", "--help"],
        "a wrong path": ["-m", "boxless", "find", str(room / "nowhere"), "--out", str(room / "none")],
        "find, 20 photographs": _search(room, "few", "find"),
        "find, many": _search(room, "many", "find"),
        "find by default, 20 photographs": _search(room, "few", "find", method=None),
        "find by default, many": _search(room, "many", "find", method=None),
        "find, 12 million pixels": _search(room, "large", "find"),
        "predict, many": _search(room, "many", "predict", str(room / "run")),
        "score": ["-m", "boxless", "score", str(room / "maps.npz"), str(room / "boxes.csv")],
        "evaluate": ["-c", MEASURE, str(room / "maps.npz")],
    }
    for name, side, smooth in (("smooth 18 x 18", 18, True), ("noise 18 x 18", 18, False), ("noise 224", 224, False)):
        found[f"find_boxes, {name}"] = ["-c", MAPS.format(side=side, smooth=smooth)]
    return {way: arguments for way, arguments in found.items() if chosen is None or way in chosen}


def _search(room: Path, photos: str, *command: str, method: str | None = "ddt") -> list[str]:
    named = ["--method", method] if method and command == ("find",) else []
    places = [str(room / photos), "--out", str(room / "found")]
    return ["-m", "boxless", *command, *places, *named, "--overwrite", "--quiet"]


def measure(
    seconds: dict[str, Any], way: str, arguments: list[str], checkouts: dict[str, Path], room: Path, repeat: int
) -> None:
    """Add one run of each checkout, unless that repeat is there; 0 warms up."""
    if not repeat and way in LONG:
        return
    for name, checkout in checkouts.items():
        kept = seconds.setdefault(name, [])
        if repeat > len(kept) or not (repeat or kept):
            spent = run(arguments, checkout, room)
            kept += [spent] if repeat else []


def run(arguments: list[str], checkout: Path, room: Path) -> list[float]:
    """Seconds of the clock and of the processor of one process, or what it printed as both; and its megabytes."""
    path = os.pathsep.join([str(checkout / "src"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    began = time.perf_counter()
    with (room / "printed").open("w+") as printed, (room / "failed").open("w+") as failed:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=environment, cwd=room, stdout=printed, stderr=failed
        )
        _, status, used = os.wait4(process.pid, 0)
        wall, process.returncode = time.perf_counter() - began, os.waitstatus_to_exitcode(status)
        printed.seek(0)
        failed.seek(0)
        text, error = printed.read(), failed.read()
    if process.returncode != ("nowhere" in " ".join(arguments)):
        raise SystemExit(f"{checkout}: {' '.join(arguments)} failed: {error}")
    spent = [float(text)] * 2 if text and "-c" in arguments else [wall, used.ru_utime + used.ru_stime]
    return [*spent, used.ru_maxrss / 1024]


def ratios(seconds: dict[str, dict[str, list[list[float]]]]) -> dict[str, Any]:
    """The seconds, for every way how many times faster this checkout is by clock and processor, and both's memory."""
    faster = {
        way: [
            statistics.median(t[kind] for t in both["other"]) / statistics.median(t[kind] for t in both["this"])
            for kind in (0, 1)
        ]
        for way, both in seconds.items()
        if both.get("this") and both.get("other")
    }
    megabytes = {
        way: {name: round(statistics.median(t[2] for t in times)) for name, times in both.items() if times}
        for way, both in seconds.items()
    }
    return {
        "seconds": seconds,
        "megabytes": megabytes,
        "times_faster": {way: dict(zip(("clock", "processor"), two, strict=True)) for way, two in faster.items()},
    }


if __name__ == "__main__":
    main()
