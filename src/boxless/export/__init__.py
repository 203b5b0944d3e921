"""Found boxes -> files that detectors train on: COCO json, Pascal VOC xml, YOLO text, or boxes.csv.

The boxes stream: however many images there are, one is in memory at a time. Everything is written into a hidden folder
inside the output folder and moved into place at the end, so that an interrupted export leaves nothing half-written.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from boxless.boxes.from_heatmap import Detections
from boxless.data.file_names import WRITTEN
from boxless.export import boxes_csv, coco, voc, yolo
from boxless.runtime.errors import BoxlessError, UsageError, number_of

Format = Literal["coco", "voc", "yolo", "csv"]

UPRIGHT = "Boxes fit the picture as people see it: turned upright as its EXIF orientation says, width and height too."
"""Stands in every export: a reader that ignores the EXIF orientation sees turned pictures beside upright boxes."""


class Writer(Protocol):
    """What the module of a format holds."""

    ENTRIES: set[str]
    """What it puts into the output folder, beside README.txt."""
    NOTE: str
    """What README.txt says of it."""

    def write(
        self, found: Iterable[Detections], folder: Path, classes: list[str], *, note: str, pictures: Path | None
    ) -> None:
        """Write `found` into the empty `folder`; `note` is for people, `pictures` the folder that holds the images."""
        ...


FORMATS: dict[str, Writer] = {"coco": coco, "voc": voc, "yolo": yolo, "csv": boxes_csv}
"""One module per format."""


@dataclass(slots=True)
class _Tally:
    images: int = 0
    boxes: int = 0
    empty: int = 0


def write_boxes(
    found: Iterable[Detections],
    out: Path,
    format: str,
    classes: list[str],
    *,
    pictures: Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write `found` into the folder `out` and return the files and folders that now stand there.

    `pictures`, the folder that the names are relative to, lets YOLO link its images. With `overwrite` an earlier export
    is replaced. Raises UsageError for an `out` in use, BoxlessError for a label not in `classes`, a name that leaves
    its folder, or a disk that cannot be written; then what stood in `out` still stands.
    """
    check_folder(out, format, overwrite=overwrite)
    tally = _Tally()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=STAGING) as hidden:
            staging = Path(hidden)
            FORMATS[format].write(_checked(found, classes, tally), staging, classes, note=UPRIGHT, pictures=pictures)
            (staging / "README.txt").write_text(_readme(format, tally), encoding="utf-8")
            for stale in _stale(out, format):
                _remove(stale)
            # The README goes first: it says of what follows that an export wrote it, should this be killed halfway.
            return [_put(entry, out / entry.name) for entry in sorted(staging.iterdir(), key=_readme_first)]
    except OSError as error:
        raise BoxlessError(
            f"Could not write the boxes to {out}: {error}. Free space or choose another output folder."
        ) from error


def check_folder(out: Path, format: str, *, overwrite: bool = False) -> None:
    """Raise UsageError when `write_boxes` would refuse the folder `out`, before any work is done.

    Without `overwrite` it must be empty or missing; with it, only what an earlier export wrote may be replaced.
    """
    if format not in FORMATS:
        raise UsageError(f"There is no format {format!r}. Choose one of {', '.join(FORMATS)}.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; the boxes need a folder. Choose another output folder.")
    if not out.is_dir() or all(entry.name.startswith(OURS) for entry in out.iterdir()):
        return
    if not overwrite:
        raise UsageError(f"The output folder {out} is not empty. Choose another one, or give --overwrite.")
    ours = written_entries(out)
    for entry in (out / name for name in sorted(FORMATS[format].ENTRIES | ours | {"README.txt"})):
        if entry.exists() and (entry.name not in ours or not _written_here(entry)):
            raise UsageError(
                f"{entry} was not written by an export of boxless and is kept. Choose another output folder."
            )


OURS = ".boxless-"
"""How the names of hidden files begin that stand in an output folder while it is written."""

STAGING = f"{OURS}staging-"


def written_entries(out: Path) -> set[str]:
    """What an earlier export, of any format, may have put into the folder, by its README."""
    readme = out / "README.txt"
    first = readme.read_text(encoding="utf-8", errors="replace").partition("\n")[0] if readme.is_file() else ""
    formats = [format for format in FORMATS if first == _mark(format)]
    entries = set().union(*(FORMATS[format].ENTRIES for format in formats))
    return entries | ({"README.txt"} if first.startswith(WRITTEN) else set())


def _stale(out: Path, format: str) -> list[Path]:
    """What an earlier export left that one to `format` would not replace, and readers would take for its boxes."""
    names = sorted(written_entries(out) - FORMATS[format].ENTRIES - {"README.txt"})
    return [out / name for name in names if (out / name).exists()]


def _mark(format: str) -> str:
    return f"{WRITTEN} ({format})"


def _written_here(entry: Path) -> bool:
    """Whether a folder holds nothing but what exports put there; a user's pictures among it must never be deleted.

    ultralytics leaves labels/NAME.cache behind where it has trained.
    """
    ours = {".txt", ".xml", ".cache"}
    return all(path.is_dir() or path.is_symlink() or path.suffix in ours for path in entry.rglob("*"))


def _checked(found: Iterable[Detections], classes: list[str], tally: _Tally) -> Iterator[Detections]:
    """Pass `found` on, counted, and refuse what no format could hold."""
    known = set(classes)
    for one in found:
        path = PurePosixPath(one.name)
        if path.is_absolute() or ".." in path.parts:
            raise BoxlessError(
                f"The image name {one.name!r} leaves its folder. Expected a path relative to the images."
            )
        if len(one.boxes) and one.label not in known:
            raise BoxlessError(f"{one.name} is of class {one.label!r}, which is not among the classes {sorted(known)}.")
        tally.images += 1
        tally.boxes += len(one.boxes)
        tally.empty += not len(one.boxes)
        yield one


def _readme(format: str, tally: _Tally) -> str:
    boxes, images = number_of(tally.boxes, "box", "boxes"), number_of(tally.images, "image")
    counts = f"{boxes} in {images}; in {tally.empty} of them nothing was found."
    return "\n".join(
        [_mark(format), f"boxless {version('boxless')}", "", counts, "", UPRIGHT, "", FORMATS[format].NOTE, ""]
    )


def _readme_first(entry: Path) -> tuple[bool, str]:
    return entry.name != "README.txt", entry.name


def _put(entry: Path, target: Path) -> Path:
    if target.is_dir():
        _remove(target)
    return entry.replace(target)


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
