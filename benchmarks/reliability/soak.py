"""Memory of `boxless predict` over very many images, sampled while it runs, and of 500 images against 5,000.

    python benchmarks/reliability/soak.py [out.json] [--images 20000]

Made pictures of 32 pixels and a tiny network: what could grow is what boxless keeps of each image. The slope is that of
a straight line through the resident memory of the second half of the run, once everything is loaded. It fails where
either grows by more than LIMIT.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from boxless.data.dataset import Dataset
from boxless.data.folder import read_data
from boxless.methods.settings import Training
from boxless.methods.training import train_classifier
from boxless.runtime.provenance import provenance

LIMIT = 5.0
"""Megabytes for 1,000 images: ten times their names and boxes, and less than a picture of 5 kB of each."""
FEW, MANY = 500, 5000
SAMPLES = 41
"""Points of the curve that are committed."""


def make_pictures(root: Path, count: int, seed: int) -> None:
    """`count` pictures of 32 pixels, noise with a red or a green square; the classes take turns."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        kind = ("red", "green")[index % 2]
        pixels = rng.integers(60, 160, (32, 32, 3)).astype(np.uint8)
        x, y = rng.integers(0, 20, 2)
        pixels[y : y + 12, x : x + 12] = ((220, 40, 40), (40, 200, 40))[index % 2]
        path = root / kind / f"{index:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, compress_level=1)


def tiny_run(root: Path, out: Path) -> Dataset:
    """A tiny network, trained for one epoch on 32 of the pictures."""
    data = read_data(root, "all")
    few = Dataset(data.source, data.samples[:: max(1, len(data) // 32)], data.classes)
    settings = Training(
        backbone="tiny", stride=4, weights="none", epochs=1, batch_size=8, size=32, resize=32, device="cpu",
        precision="fp32", workers=1,
    )  # fmt: skip
    train_classifier("cam", {}, few, None, settings, out)
    return data


def watched(command: list[str]) -> list[tuple[float, int]]:
    """Seconds and resident bytes of a command, four times a second until it ends."""
    samples = []
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    began = time.monotonic()
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = next((line for line in status.splitlines() if line.startswith("VmRSS")), None)
        if resident:
            samples.append((time.monotonic() - began, int(resident.split()[1]) * 1024))
        time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return samples


def measure(images: int, seed: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="boxless-soak-") as folder:
        root = Path(folder)
        make_pictures(root / "pictures", images, seed)
        tiny_run(root / "pictures", root / "run")
        command = ["predict", root / "run", root / "pictures", "--out", root / "out", "--format", "csv", "-b", "32"]
        samples = watched([sys.executable, "-m", "boxless", *map(str, command)])
        done = json.loads((root / "out" / "summary.json").read_text())
        highest = {}
        for count in (FEW, MANY):
            make_pictures(root / str(count), count, seed)
            command = ["predict", root / "run", root / str(count), "--out", root / f"out {count}", "--report"]
            highest[count] = max(used for _, used in watched([sys.executable, "-m", "boxless", *map(str, command)]))
    return {"seed": seed, "boxes": done["boxes"], **judged(samples, done["images"]), **compared(highest)}


def compared(highest: dict[int, int]) -> dict[str, object]:
    """The highest memory over few images and over many, with a report; what is wrong is named."""
    more = (highest[MANY] - highest[FEW]) / (MANY - FEW) * 1000 / 1e6
    growth = [f"{MANY} images need {more:.1f} MB for 1,000 more than {FEW}"] if more > LIMIT else []
    return {
        "few_mb": round(highest[FEW] / 1e6, 1),
        "many_mb": round(highest[MANY] / 1e6, 1),
        "more_mb_per_1000_images": round(more, 4),
        "wrong_between": growth,
    }


def judged(samples: list[tuple[float, int]], images: int) -> dict[str, object]:
    """The curve of one run in figures; what is wrong with it is named."""
    times, memory = np.array(samples).T
    late = times > times[-1] / 2
    per_second = np.polyfit(times[late], memory[late], 1)[0]
    slope = float(per_second * times[-1] / images * 1000 / 1e6)
    curve = np.interp(np.linspace(0, times[-1], SAMPLES), times, memory)
    return {
        "images": images,
        "wrong": [f"memory grows by {slope:.1f} MB for 1,000 images"] if slope > LIMIT else [],
        "samples": len(samples),
        "seconds": round(float(times[-1]), 1),
        "highest_mb": round(float(memory.max()) / 1e6, 1),
        "half_way_mb": round(float(np.interp(times[-1] / 2, times, memory)) / 1e6, 1),
        "end_mb": round(float(memory[-4:].max()) / 1e6, 1),
        "slope_mb_per_1000_images": round(slope, 4),
        "curve_mb": [round(float(value) / 1e6, 1) for value in curve],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    content = provenance() | measure(given.images, given.seed)
    text = json.dumps(content, indent=1) + "\n"
    if given.out:
        given.out.write_text(text)
    print(text)
    sys.exit(bool(content["wrong"]) or bool(content["wrong_between"]))


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
