"""True or found boxes without the images: a boxes.csv, a COCO json or a folder of wsolevaluation's lists.

`data.folder` reads the same formats together with the images. Scoring maps that are there already needs names, sizes
and boxes only.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from boxless.data import wsol_lists
from boxless.data.annotations import Size, checked, sound_boxes
from boxless.data.boxes_csv import parse_boxes_csv
from boxless.data.coco import parse_coco
from boxless.data.dataset import Boxes, Dataset
from boxless.data.images import read_size
from boxless.data.layouts import parse_folder
from boxless.data.rows import Rows, present
from boxless.data.sources import Source
from boxless.runtime.errors import BoxlessError, BrokenImageError, brief


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of each image, in the order of the file."""

    names: list[str]
    sizes: list[Size]
    boxes: list[Boxes | None]
    labels: list[int | None]
    classes: list[str]
    crowds: list[Boxes | None]
    """Where nothing that is found is judged."""
    scores: list[list[float | None]]
    """Of each box, where the file has them."""


EXPORTS = ("boxes.csv", "boxes.json", "labels.json")
"""What `find` and `predict` write into a folder that they name (voc and yolo fill it), and what FiftyOne does."""


def parse_annotations(path: Path, images: Source | None = None) -> Dataset:
    """What a file, a folder of lists, an export or a data set says of its images, as it is written.

    Where `images` are given, those that are not among them are absent; their sizes serve where a file knows fractions
    alone. Raises BoxlessError for whatever else.
    """
    parsed = _parsed(path, images)
    return present(parsed, images, str(path)) if images is not None and parsed.samples else parsed


def _parsed(path: Path, images: Source | None) -> Dataset:
    if path.is_dir():
        path = next((path / name for name in EXPORTS if (path / name).is_file()), path)
    if path.is_dir() and (path / wsol_lists.IDS).is_file():
        return wsol_lists.parse_wsol_lists(path)
    if path.is_dir() and (parsed := parse_folder(path, images)) is not None:
        return parsed
    if path.suffix.lower() == ".json" and path.is_file():
        return parse_coco(path)
    if path.suffix.lower() == ".csv" and path.is_file():
        return parse_boxes_csv(path)
    found = "no truth" if path.exists() else "not there"
    raise BoxlessError(
        f"{path} is {found}. Expected a boxes.csv, a COCO .json, a folder that an export wrote, or data in a "
        f"layout that boxless reads, such as a folder with {wsol_lists.IDS}."
    )


def read_truth(path: Path, images: Source | None = None, *, strict: bool = False) -> Truth:
    """Names, sizes, boxes (half-open, cut off at the image's edges) and labels from one of the three formats.

    A size that the file does not state is that of the picture in `images`, or beside the file. `strict` is as for
    `checked`, of which this raises what it raises: BoxlessError with the file and the line for the same box twice, two
    sizes or two classes of one image; and for an image without a size.
    """
    parsed = parse_annotations(path, images)
    if not parsed.samples and not parsed.bad_rows:
        raise BoxlessError(f"{path} has no rows. Expected a row for each box.")
    rows, sized = Rows(), []
    for sample in parsed.samples:
        with rows.row():
            sized.append(replace(sample, size=sample.size or _size(sample.name, path, images or parsed.source)))
    scores = [[one.score for one in sound_boxes(sample)] for sample in sized]
    samples = checked(rows.noted_in(replace(parsed, samples=sized)), strict=strict).samples
    return Truth(
        [sample.name for sample in samples],
        [sample.size for sample in sized if sample.size],
        [sample.boxes for sample in samples],
        [sample.label for sample in samples],
        parsed.classes,
        [sample.crowds for sample in samples],
        scores,
    )


def _size(name: str, path: Path, images: Source) -> Size:
    try:
        return read_size(images.read(name), name)
    except BrokenImageError as error:
        raise BoxlessError(
            f"{path} does not say how large {brief(name, 200)} is, and the image cannot be read beside it. "
            "Expected its width and height."
        ) from error
