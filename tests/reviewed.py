"""Six small photos in two classes with found boxes, as reviews begin."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

BOXES = {
    "bee/0.png": (5, 6, 25, 26, 0.9),
    "bee/1.png": (10, 10, 30.5, 30, 0.8),
    "bee/2.png": (1, 2, 3, 4, 0.7),
    "fly/3.png": (20, 5, 50, 35, 0.6),
    "fly/4.png": (0, 0, 60, 40, 0.5),
}


def make_review(root: Path, first: str = "bee/0.png") -> tuple[Path, Path]:
    """The folder of boxes, which says nothing of fly/5.png, and the folder of photos, the first one called `first`."""
    photos, found = root / "photos", root / "found"
    names = [first, *list(BOXES)[1:], "fly/5.png"]
    for index, name in enumerate(names):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        picture = np.full((40, 60, 3), 40 * index, np.uint8)
        Image.fromarray(picture).save(photos / name)
    found.mkdir()
    with (found / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "class", "width", "height", "x0", "y0", "x1", "y1", "score"])
        writer.writerows(
            [name, name.partition("/")[0], 60, 40, *box] for name, box in zip(names, BOXES.values(), strict=False)
        )
    (found / "summary.json").write_text(json.dumps({"method": "ddt"}))
    return found, photos
