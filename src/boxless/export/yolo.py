"""YOLO text labels (https://docs.ultralytics.com/datasets/detect): `class cx cy w h` as fractions of the picture.

A trainer finds the label of images/a/b.jpg at labels/a/b.txt, so the pictures stand under images/, as links. It is the
last /images/ of a path that becomes /labels/: below a folder of PHOTOS that is called images, labels lie in images/.
"""

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from boxless.boxes.from_heatmap import Detections
from boxless.data.yolo import label_file
from boxless.export import sidecar_files

ENTRIES = {"labels", "images", "data.yaml", "classes.txt"}
NOTE = (
    "labels/: one text file per picture with a line `class cx cy w h` per box, as fractions of width and height; empty "
    "if nothing was found. The format has no place for scores. images/ links to the pictures; if it is missing, put "
    "the pictures there under their names. Of pictures that differ only in the extension (a.jpg, a.png) the later "
    "one's label is a.png.txt and its place images/a.png.png: trainers look for labels by the name without extension. "
    "The label of images/a/images/b.jpg is images/a/labels/b.txt: they take the last folder that is called images."
)


def write(
    found: Iterable[Detections], folder: Path, classes: list[str], *, note: str, pictures: Path | None = None
) -> None:
    """Write labels/, data.yaml, classes.txt and, given the folder `pictures`, images/ with a link to every picture."""
    index = {name: number for number, name in enumerate(classes)}
    (folder / "labels").mkdir()
    for one in found:
        lines = _lines(one, index[one.label]) if len(one.boxes) else ""
        place = PurePosixPath("images", one.name)
        label = sidecar_files.create(folder, label_file(str(place)).removesuffix(".txt") + place.suffix, ".txt", lines)
        if pictures is not None:
            link = place.with_name(f"{label.name}{place.suffix}")
            _link(folder / link, pictures.resolve() / one.name)
    (folder / "data.yaml").write_text(_yaml(classes, note), encoding="utf-8")
    lines = "".join(f"{' '.join(name.split())}\n" for name in classes)  # for labelling programs, which ask for it
    (folder / "classes.txt").write_text(lines, encoding="utf-8")


def _lines(one: Detections, label: int) -> str:
    width, height = one.size
    lines = []
    for x0, y0, x1, y1 in one.boxes.clip(0, [width, height, width, height]).astype(float):
        (x, w), (y, h) = _fractions(x0, x1, width), _fractions(y0, y1, height)
        lines.append(f"{label} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n")
    return "".join(lines)


def _fractions(first: float, last: float, length: int) -> tuple[float, float]:
    """Centre and extent with six digits, which never reach beyond the picture: Albumentations refuses -5e-7."""
    centre = round((first + last) / 2 / length, 6)
    return centre, min(round((last - first) / length, 6), 2 * centre, 2 * (1 - centre))


def _link(link: Path, picture: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(picture)


def _yaml(classes: list[str], note: str) -> str:
    names = "".join(f"  {number}: {_quoted(name)}\n" for number, name in enumerate(classes))
    return (
        f"# Found by boxless. {note}\n"
        "# The paths are relative to this file. Validation here is training again: put a list of your own at val.\n"
        f"train: images\nval: images\nnames:\n{names}"
    )


def _quoted(text: str) -> str:
    """A YAML double-quoted scalar: JSON's, with everything that YAML does not call printable spelled out."""
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in json.dumps(text, ensure_ascii=False))
