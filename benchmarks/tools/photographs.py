"""The photographs and boxes that every tool gets: each picture has a size of its own, by which it is known again."""

from pathlib import Path

import numpy as np
from PIL import Image

from boxless.boxes.from_heatmap import Detections
from boxless.export import write_boxes

CLASSES = ["dog", "red cat"]
TURNED = "red cat/turned round.jpg"
SIZES = {
    "dog/same name.jpg": (120, 80),
    "dog/two boxes.png": (99, 77),
    "red cat/same name.jpg": (150, 110),
    TURNED: (80, 130),
    "red cat/nothing here.jpg": (64, 48),
}
"""Width and height of the upright picture."""
BOXES: dict[str, list[tuple[float, float, float, float]]] = {
    "dog/same name.jpg": [(0, 0, 120, 80)],
    "dog/two boxes.png": [(3, 5, 40, 41), (50, 20, 99, 77)],
    "red cat/same name.jpg": [(10.25, 20.5, 50.75, 60.125)],
    TURNED: [(5, 30, 41, 101)],
    "red cat/nothing here.jpg": [],
}
"""Half-open pixels of the upright picture: one box over all of it, one at two edges, one between pixels."""
SCORE = 0.625


def make(folder: Path) -> None:
    """Write photos/ and one export of each format beside it."""
    photos = folder / "photos"
    for seed, (name, size) in enumerate(SIZES.items()):
        path = photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        stored = size
        if name == TURNED:
            exif[0x0112] = 6
            stored = size[::-1]
        pixels = np.random.default_rng(seed).integers(0, 256, (*stored[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, exif=exif)
    for format in ("coco", "voc", "yolo", "csv"):
        write_boxes(_found(), folder / format, format, CLASSES, pictures=photos)


def _found() -> list[Detections]:
    return [
        Detections(
            name,
            SIZES[name],
            np.array(boxes, np.float32).reshape(-1, 4),
            np.full(len(boxes), SCORE, np.float32),
            name.partition("/")[0],
        )
        for name, boxes in BOXES.items()
    ]
