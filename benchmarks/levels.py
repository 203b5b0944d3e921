"""All thresholds of a map in one pass, against one contour search for each threshold, on the same maps in the same run.

    python benchmarks/levels.py [out.json] [--maps 20] [--seconds 3]

The peers' way is wsolevaluation's: a 224 x 224 map as 8 bits, cv2.threshold, cv2.findContours (RETR_TREE), the box of
the largest contour (V1) or of all (V2), inclusive IoU; at 1,000 thresholds, or once for each of the levels that differ.
Both begin with the map of 0..1 and end with the IoU at 1,000 thresholds, and are compared for equality. Times are the
best of the repeats, in ms for one map; cv2 runs on one thread throughout. Libraries that make component trees (sap,
higra, scikit-image; what is not installed is left out) stand beside with the tree of the 8-bit map alone: their boxes,
the choice of one at each threshold and the IoU would come on top.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from boxless.evaluation.protocols import PROTOCOLS

THRESHOLDS = np.arange(0, 1, 0.001)
ILSVRC = 50_000


def smooth(rng: np.random.Generator, side: int) -> Any:
    """A network's map: 14 x 14 values, resized."""
    return scaled(cv2.resize(rng.random((14, 14)), (side, side), interpolation=cv2.INTER_CUBIC))


def noisy(rng: np.random.Generator, side: int) -> Any:
    """A gradient map's kind: the same under noise of a tenth of its range."""
    return scaled(smooth(rng, side) + 0.1 * rng.standard_normal((side, side)))


def scaled(heat: Any) -> Any:
    low, high = heat.min(), heat.max()
    return (heat - low) / (high - low)


def peers(heat: Any, truth: Any, every: bool, distinct: bool) -> Any:
    grey = (heat * 255).astype(np.uint8)
    top, side, ious, known = grey.max(), len(grey) - 1, [], {}
    for threshold in THRESHOLDS:
        level = int(threshold * top)
        if not distinct or level not in known:
            mask = cv2.threshold(grey, level, 255, cv2.THRESH_BINARY)[1]
            contours = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
            if contours and not every:
                contours = [max(contours, key=cv2.contourArea)]
            boxes = np.array([cv2.boundingRect(contour) for contour in contours] or [[0, 0, 0, 0]])
            boxes[:, 2:] = np.minimum(boxes[:, :2] + boxes[:, 2:], side)
            known[level] = inclusive_iou(boxes, truth)
        ious.append(known[level])
    return np.array(ious, np.float32)


def trees() -> dict[str, Callable[[Any], Any]]:
    """The libraries that are installed -> what makes the tree of 8-connected components above each level."""
    found: dict[str, Callable[[Any], Any]] = {}
    if find_spec("sap"):
        import sap

        found["sap"] = lambda grey: sap.MaxTree(grey, 8)
    if find_spec("higra"):
        import higra

        found["higra"] = lambda grey: higra.component_tree_max_tree(higra.get_8_adjacency_graph(grey.shape), grey)
    if find_spec("skimage"):
        from skimage.morphology import max_tree

        found["scikit-image"] = partial(max_tree, connectivity=2)
    return found


def inclusive_iou(boxes: Any, truth: Any) -> float:
    near, far = np.maximum(boxes[:, :2], truth[:2]), np.minimum(boxes[:, 2:], truth[2:])
    shared = np.maximum(0, far - near + 1).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1) + (truth[2:] - truth[:2] + 1).prod()
    return float((shared / (areas - shared)).max())


def milliseconds(
    work: Callable[[Any], Any], maps: list[Any], seconds: float, threads: Sequence[int] = (1,)
) -> list[float]:
    """Best time of a round over all maps, for one map, with each number of threads; their rounds take turns."""
    best, end = [float("inf")] * len(threads), time.perf_counter() + seconds
    pools = [ThreadPoolExecutor(count) for count in threads]
    while best[0] == float("inf") or time.perf_counter() < end:
        for i, pool in enumerate(pools):
            start = time.perf_counter()
            list(pool.map(work, maps))
            best[i] = min(best[i], (time.perf_counter() - start) / len(maps) * 1e3)
    for pool in pools:
        pool.shutdown()
    return best


def measure(kind: Callable[..., Any], version: str, maps: int, seconds: float) -> dict[str, Any]:
    rng, every = np.random.default_rng(0), version == "wsoleval-v2"
    heats = [kind(rng, 224) for _ in range(maps)]
    box = np.array([40, 50, 180, 190])
    protocol = PROTOCOLS[version]

    def ours(heat: Any) -> Any:
        return protocol.ious_of(heat, box[None].astype(float) + np.array([0, 0, 1, 1]), THRESHOLDS)

    few = heats[: max(2, maps // 5)]
    assert all(np.array_equal(ours(heat), peers(heat, box, every, True)) for heat in few), "not the peers' numbers"
    one, two = milliseconds(ours, heats, 2 * seconds, threads=(1, 2))
    greys = [(heat * 255).astype(np.uint8) for heat in heats]
    found = {
        "peers, 1000 thresholds": milliseconds(lambda heat: peers(heat, box, every, False), few, seconds)[0],
        "peers, distinct levels": milliseconds(lambda heat: peers(heat, box, every, True), few, seconds)[0],
        **{f"{name}, the tree alone": milliseconds(make, greys, seconds)[0] for name, make in trees().items()},
        "boxless, one thread": one,
        "boxless, two threads": two,
    }
    return {
        "protocol": version,
        "maps": kind.__name__,
        "ms": found,
        "times faster than 1000 thresholds": found["peers, 1000 thresholds"] / one,
        "times faster than distinct levels": found["peers, distinct levels"] / one,
        "two threads against one": one / two,
        "ILSVRC validation, minutes": {name: ms * ILSVRC / 60_000 for name, ms in found.items()},
    }


def linearity(seconds: float) -> dict[str, float]:
    """Nanoseconds for a pixel at growing sides."""
    found = {}
    for side in (112, 224, 448, 896):
        heats, box = (
            [smooth(np.random.default_rng(i), side) for i in range(4)],
            np.array([[0.25, 0.25, 0.5, 0.5]]) * side,
        )
        (ms,) = milliseconds(
            partial(PROTOCOLS["wsoleval-v1"].ious_of, truth=box, thresholds=THRESHOLDS), heats, seconds
        )
        found[str(side)] = ms * 1e6 / side**2
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("--maps", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    results = []
    for kind in (smooth, noisy):
        for version in ("wsoleval-v1", "wsoleval-v2"):
            result = measure(kind, version, given.maps, given.seconds)
            results.append(result)
            print(f"{kind.__name__} maps, {version}")
            for name, ms in result["ms"].items():
                minutes = result["ILSVRC validation, minutes"][name]
                print(f"  {name:28} {ms:9.2f} ms a map   ILSVRC validation {minutes:7.1f} min")
            for name in (
                "times faster than 1000 thresholds",
                "times faster than distinct levels",
                "two threads against one",
            ):
                print(f"  {name:34} {result[name]:.1f}")
    pixels = linearity(given.seconds / 2)
    print("ns a pixel at side " + ", ".join(f"{side}: {ns:.0f}" for side, ns in pixels.items()))
    versions = {"python": platform.python_version(), "cv2": cv2.__version__, "numpy": np.__version__}
    machine = {"processors": os.cpu_count(), "load": os.getloadavg()[0], "machine": platform.machine()}
    if given.out:
        content = {"results": results, "ns a pixel": pixels, "versions": versions, "machine": machine}
        given.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
