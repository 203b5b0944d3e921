"""A report of thousands of photographs in a real browser: size of the file, seconds to load, sort, filter and step.

    python benchmarks/report.py [PHOTOS] [--out report.json] [--count 5000]

Needs chromium. PHOTOS defaults to made photographs; fewer than `count` are shown several times. Heat maps are smoothed
noise of 18 x 18 places. A time runs from the event to the frame that shows its result, at 1360 x 900 pixels.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from boxless.boxes.from_heatmap import Detections
from boxless.data.folder import read_data
from boxless.data.images import read_shrunk
from boxless.data.synthetic import make_scenes
from boxless.report.html import THUMBNAIL, Card, make_card, write_report
from boxless.runtime.files import write_json
from boxless.runtime.provenance import provenance

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import browser

CHANGE = """new Promise((done) => {
  const [list, begun] = [document.getElementById(%s), performance.now()];
  list.selectedIndex = %d;
  list.dispatchEvent(new Event("change"));
  requestAnimationFrame(() => setTimeout(() => done((performance.now() - begun) / 1000)));
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--count", type=int, default=5000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        photos = asked.photos or Path(made) / "photos"
        if asked.photos is None:
            make_scenes(photos, 100, kinds=("beetle", "star", "leaf", "lamp"), size=400)
        page = Path(made) / "report.html"
        begun = time.monotonic()
        write_report(page, title="benchmark", summary=[], cards=cards(photos, asked.count), limit=asked.count)
        times = {"write": time.monotonic() - begun, **seconds(page)}
        megabytes = page.stat().st_size / 1e6
    content = {**provenance(), "images": asked.count, "megabytes": megabytes, "seconds": times}
    print(json.dumps(content, indent=1))
    if asked.out:
        write_json(asked.out, content)


def cards(photos: Path, count: int) -> Iterator[Card]:
    """As many cards as asked for, with names, classes, scores and outcomes of their own."""
    data, rng = read_data(photos, "all"), np.random.default_rng(0)
    made: list[Card] = []
    for index in range(count):
        if index < len(data):
            name = data.samples[index].name
            picture, (width, height) = read_shrunk(data.source.read(name), name, THUMBNAIL)
            box = np.array([[width * 0.2, height * 0.2, width * 0.8, height * 0.8]], np.float32)
            heat = cv2.GaussianBlur(rng.random((18, 18)).astype(np.float32), (7, 7), 2)
            found = Detections(name, (width, height), box, np.ones(1, np.float32))
            made.append(make_card(found, picture, heat, truth=box, iou=0.5))
        card, iou, score = made[index % len(data)], *rng.random(2)
        known = {"name": f"{index % 20}/{index}.jpg", "label": str(index % 20), "outcome": ("hit", "part")[index % 2]}
        yield Card({**card.known, **known, "iou": float(iou), "score": float(score)}, card.picture, card.heat)


def seconds(page: Path) -> dict[str, Any]:
    """What a reader waits for."""
    with browser.browser() as tab:
        tab.window(1360, 900)
        begun = time.monotonic()
        tab.open(page.as_uri())
        tab.until("document.querySelector('.card image')")
        times = {"load": time.monotonic() - begun}
        for name, index in (("sort", 1), ("sort", 3), ("sort", 5), ("label", 3), ("label", 0), ("outcome", 1)):
            text = tab.js(f"document.getElementById('{name}').options[{index}].text")
            times[f"{name}: {text}"] = tab.js(CHANGE % (json.dumps(name), index))
        tab.js("document.querySelector('.card').click()")
        begun = time.monotonic()
        for _ in range(50):
            tab.press("ArrowRight")
        times["step"] = (time.monotonic() - begun) / 50
    return times


if __name__ == "__main__":
    main()
