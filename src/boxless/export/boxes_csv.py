"""boxes.csv: `image,class,width,height,x0,y0,x1,y1,score`, half-open pixels, one row per box.

The same file is read as annotations; the score is a column more.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from boxless.boxes import Found


def write(found: Iterable[Found], folder: Path) -> None:
    """Write boxes.csv; numbers are the shortest that read back as the same float32, names keep every byte."""
    with (folder / "boxes.csv").open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write("image,class,width,height,x0,y0,x1,y1,score\n")
        for one in found:
            start = f"{_cell(one.name)},{_cell(one.label)},{one.size[0]},{one.size[1]}"
            for box, score in zip(one.boxes, one.scores, strict=True):
                file.write(",".join([start, *map(_number, box), _number(score)]) + "\n")


def _cell(text: str) -> str:
    # csv.writer leaves a lone carriage return unquoted when lines end in \n, and csv.reader then refuses the row.
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def _number(value: np.float32) -> str:
    return str(np.float32(value)).removesuffix(".0")
