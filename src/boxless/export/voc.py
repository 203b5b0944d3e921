"""Pascal VOC xml (http://host.robots.ox.ac.uk/pascal/VOC): whole pixels counted from 1, the last one included."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from xml.sax.saxutils import escape

import numpy as np

from boxless.boxes.from_heatmap import Detections
from boxless.data.file_names import NO_CHARACTER
from boxless.export import sidecar_files

ENTRIES = {"Annotations"}
NOTE = (
    "Annotations/: one xml per picture, in the pictures' sub-folders; xmin..ymax are whole pixels, counted from 1, the "
    "last one included. VOC has no place for scores."
)
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold in any spelling."""

PICTURE = """\
<annotation>
  <folder>{folder}</folder>
  <filename>{filename}</filename>
  <source>
    <database>unknown</database>
    <annotation>Found by boxless. {note}</annotation>
  </source>
  <size>
    <width>{width}</width>
    <height>{height}</height>
    <depth>3</depth>
  </size>
  <segmented>0</segmented>
{objects}</annotation>
"""

OBJECT = """\
  <object>
    <name>{name}</name>
    <pose>Unspecified</pose>
    <truncated>0</truncated>
    <difficult>0</difficult>
    <bndbox>
      <xmin>{xmin}</xmin>
      <ymin>{ymin}</ymin>
      <xmax>{xmax}</xmax>
      <ymax>{ymax}</ymax>
    </bndbox>
  </object>
"""


def write(
    found: Iterable[Detections], folder: Path, classes: list[str], *, note: str, pictures: Path | None = None
) -> None:
    """Write Annotations/, one xml per image; an image in which nothing was found has no <object>."""
    (folder / "Annotations").mkdir()
    for one in found:
        sidecar_files.create(folder / "Annotations", one.name, ".xml", _picture(one, note))


def _picture(one: Detections, note: str) -> str:
    path = PurePosixPath(one.name)
    parent = "" if path.parent == PurePosixPath(".") else str(path.parent)
    width, height = one.size
    return PICTURE.format(
        folder=_text(parent),
        filename=_text(path.name),
        note=_text(note),
        width=width,
        height=height,
        objects="".join(_object(one.label, box, one.size) for box in one.boxes),
    )


def _object(name: str, box: np.ndarray, size: tuple[int, int]) -> str:
    # Half-open 0-based -> inclusive 1-based: the first pixel moves up by one, the last one keeps its number.
    x0, y0, x1, y1 = np.rint(box).astype(int)
    xmin, ymin = (min(max(first, 0), limit - 1) + 1 for first, limit in zip((x0, y0), size, strict=True))
    xmax, ymax = max(min(x1, size[0]), xmin), max(min(y1, size[1]), ymin)
    return OBJECT.format(name=_text(name), xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)


def _text(text: str) -> str:
    return escape(NOT_XML.sub(NO_CHARACTER, text), {"\r": "&#13;"})  # a parser turns a bare \r into \n
