"""COCO json (https://cocodataset.org/#format-data): half-open [x, y, width, height], ids from 1, scored annotations.

The file holds two lists that grow together, so the annotations wait in a temporary file until all images are written.
"""

import json
import math
import shutil
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from boxless.boxes.from_heatmap import Detections

ENTRIES = {"boxes.json"}
NOTE = "boxes.json: bbox is [x, y, width, height] in half-open pixels; category and annotation ids start at 1."


def write(
    found: Iterable[Detections], folder: Path, classes: list[str], *, note: str, pictures: Path | None = None
) -> None:
    """Write boxes.json; images in which nothing was found are listed without annotations."""
    categories = {name: index for index, name in enumerate(classes, start=1)}
    info = {"description": f"Boxes found by boxless. {note}", "version": version("boxless")}
    count = 0
    with (
        (folder / "boxes.json").open("w", encoding="ascii") as file,
        tempfile.TemporaryFile("w+", dir=folder, encoding="ascii") as annotations,
    ):
        file.write(f'{{"info": {json.dumps(info)},\n"licenses": [],\n"categories": ')
        file.write(json.dumps([{"id": index, "name": name} for name, index in categories.items()]))
        file.write(',\n"images": [')
        for image_id, one in enumerate(found, start=1):
            width, height = one.size
            image = {"id": image_id, "file_name": one.name, "width": width, "height": height}
            file.write((",\n" if image_id > 1 else "\n") + json.dumps(image))
            for annotation in _annotations(one):
                count += 1
                ids = {"id": count, "image_id": image_id, "category_id": categories[one.label]}
                annotations.write((",\n" if count > 1 else "\n") + json.dumps(ids | annotation))
        file.write('\n],\n"annotations": [')
        annotations.seek(0)
        shutil.copyfileobj(annotations, file)
        file.write("\n]}\n")


def _annotations(one: Detections) -> Iterable[dict[str, Any]]:
    for (x0, y0, x1, y1), score in zip(one.boxes.tolist(), one.scores.tolist(), strict=True):
        box = [round(value, 4) for value in (x0, y0, x1 - x0, y1 - y0)]
        area = round((x1 - x0) * (y1 - y0), 4)
        scored = {} if math.isnan(score) else {"score": round(score, 6)}  # a box drawn by a person has none
        yield {"bbox": box, "area": area, "segmentation": [], "iscrowd": 0} | scored
