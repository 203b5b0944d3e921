"""boxes.csv: `image,class,width,height,x0,y0,x1,y1,score`, half-open pixels, one row per box.

The same file is read as annotations, without the column of scores.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from boxless.boxes.from_heatmap import Detections

ENTRIES = {"boxes.csv"}
NOTE = "boxes.csv: x0 y0 x1 y1 are half-open pixels; a picture has one row per box, and none if nothing was found."
COLUMNS = "image,class,width,height,x0,y0,x1,y1,score"


def write(
    found: Iterable[Detections], folder: Path, classes: list[str], *, note: str = "", pictures: Path | None = None
) -> None:
    """Write boxes.csv; numbers are the shortest that read back as the same float32, names keep every byte."""
    with (folder / "boxes.csv").open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(f"{COLUMNS}\n")
        for one in found:
            first = start(one.name, one.label, one.size)
            for box, score in zip(one.boxes, one.scores, strict=True):
                file.write(",".join([first, *map(number, box), number(score)]) + "\n")


def start(name: str, label: str, size: tuple[int, int]) -> str:
    """The first four columns of a row."""
    return f"{cell(name)},{cell(label)},{size[0]},{size[1]}"


def cell(text: str) -> str:
    """Text as a field, quoted where it has to be."""
    # csv.writer leaves a lone carriage return unquoted when lines end in \n, and csv.reader then refuses the row.
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def number(value: np.float32) -> str:
    """The shortest digits that read back as the same float32."""
    return str(np.float32(value)).removesuffix(".0")
