"""From how many images an engine, and 8 bits, win back what their start takes: FEW and MANY of inference/engines.py.

    python benchmarks/engine_start.py PHOTOS --out engine-start.json [--repeats 5] [--count 64]

Processor seconds of one thread for making `find`'s ddt ready, and for an image after that (the least of some passes
over --count photographs, which another program disturbs least): by torch in bf16, and by OpenVINO in bf16 and in 8
bits with a cache that is empty (cold) and one that holds the network of these photographs (warm). Each is a process of
its own, all in turns; medians. `even` is the number of images from which a way is the faster one: 8 bits are always
cold, since their ranges are those of new photographs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch

from boxless.data.folder import read_data
from boxless.data.inference_batches import stream
from boxless.data.transforms import to_images
from boxless.inference import engines
from boxless.inference.discovery_predictor import DiscoveryPredictor
from boxless.inference.factory import discoverer
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance

NONE, ALL = 1 << 30, 0
FROM = {"torch": (NONE, NONE), "bf16": (ALL, NONE), "int8": (ALL, ALL)}
"""FEW and MANY with which each of the ways is taken."""
PASSES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--alone", choices=FROM, help="measure this way here, and print it")
    asked = parser.parse_args()
    if asked.alone:
        print(json.dumps(measured(asked.alone, asked.photos, asked.count)))
        return
    seconds = defaultdict(list)
    for _ in range(asked.repeats):
        for way in FROM:
            with tempfile.TemporaryDirectory() as cache:
                for state in ("cold", "warm") if way != "torch" else ("cold",):
                    seconds[f"{way}, {state}"].append(alone(way, asked, cache))
    start = {name: statistics.median(one for one, _ in both) for name, both in seconds.items()}
    image = {way: min(one for _, one in seconds[f"{way}, cold"]) for way in FROM}
    pairs = (("torch, cold", "bf16, cold"), ("torch, cold", "bf16, warm"), ("bf16, cold", "int8, cold"))
    even = {
        f"{fast} and {slow}": (start[fast] - start[slow]) / (image[slow.split(",")[0]] - image[fast.split(",")[0]])
        for slow, fast in (*pairs, ("bf16, warm", "int8, cold"))
    }
    found = {"start": start, "per image": image, "even": even, "repeats": asked.repeats, "load": os.getloadavg()[0]}
    write_json(asked.out, {**provenance(), **found})
    print(asked.out.read_text())


def alone(way: str, asked: argparse.Namespace, cache: str) -> list[float]:
    command = [sys.executable, __file__, str(asked.photos), "--count", str(asked.count), "--alone", way]
    environment = {**os.environ, "XDG_CACHE_HOME": cache, "OMP_NUM_THREADS": "1"}
    found: list[float] = json.loads(subprocess.check_output(command, env=environment, text=True))
    return found


def measured(way: str, photos: Path, count: int) -> list[float]:
    engines.FEW, engines.MANY = FROM[way]
    torch.set_num_threads(1)
    data = read_data(photos, "all")
    data.samples[count:] = []
    began = time.process_time()
    predictor = discoverer("ddt", images=data)
    start = time.process_time() - began
    if (predictor.how.engine == "torch") != (way == "torch") or (way == "int8") != ("int8" in predictor.how.engine):
        raise SystemExit(f"{way} was asked for, and {predictor.how.engine} computes.")
    batches = [to_images(one.pictures, predictor.how.device) for one in stream(data, predictor.size, Progress())]
    passes = [one_pass(predictor, batches) for _ in range(PASSES)]
    return [start, min(passes) / len(data)]


def one_pass(predictor: DiscoveryPredictor, batches: list[torch.Tensor]) -> float:
    began = time.process_time()
    with predictor.how.precision():
        for images in batches:
            predictor.method.descriptors(images)
    return time.process_time() - began


if __name__ == "__main__":
    main()
