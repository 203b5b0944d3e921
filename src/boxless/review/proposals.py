"""What is to be reviewed: every image of a folder or zip, with the boxes that an export or a COCO json has for it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from boxless.data.annotation_files import parse_annotations
from boxless.data.annotations import checked, sound_boxes
from boxless.data.dataset import NO_CLASS, Dataset
from boxless.runtime.errors import BoxlessError, UsageError


@dataclass(frozen=True, slots=True)
class SourcedBox:
    """A box in half-open pixels of the upright picture, which method found it, and its score if it gave one."""

    place: tuple[float, float, float, float]
    source: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """One image, its class, and the boxes found in it; the size is not known where nothing was found."""

    name: str
    label: str
    boxes: tuple[SourcedBox, ...] = ()
    size: tuple[int, int] | None = None


def boxes_file(target: Path) -> Path:
    """The boxes.csv or COCO json that `target` is or holds, or the folder of VOC or YOLO files that it is.

    Raises UsageError when it is none of them.
    """
    for path in (target, target / "boxes.csv", target / "boxes.json"):
        if path.is_file() and path.suffix.lower() in (".csv", ".json"):
            return path
    if (target / "Annotations").is_dir() or (target / "data.yaml").is_file():
        return target
    found = "is not there" if not target.exists() else "holds neither boxes.csv nor boxes.json, xml or YOLO files"
    raise UsageError(
        f"{target} {found}. Expected a boxes.csv, a COCO json, or a folder that `boxless find` or `boxless predict` "
        "wrote."
    )


def proposals(path: Path, photos: Dataset, *, strict: bool = False) -> list[Proposal]:
    """All images of `photos` in their order, with their boxes from the file `path`, who found them and how surely.

    Raises BoxlessError for a malformed file, for images of which none is in `photos`, and for two classes in one image;
    `strict` is as for `checked`.
    """
    parsed, method = parse_annotations(path, photos.source), _method(path)
    named: dict[str, Proposal] = {}
    for sample, written in zip(checked(parsed, strict=strict).samples, parsed.samples, strict=True):
        if sample.label is None and sample.boxes is not None and parsed.classes:
            raise BoxlessError(f"{path}: {sample.name} has boxes of several classes. Expected one class per image.")
        places = [] if sample.boxes is None else sample.boxes.tolist()
        boxes = tuple(
            SourcedBox((x0, y0, x1, y1), one.source or method, one.score)
            for (x0, y0, x1, y1), one in zip(places, sound_boxes(written), strict=True)
        )
        label = "" if sample.label is None else parsed.classes[sample.label]
        named[sample.name] = Proposal(sample.name, label, boxes, sample.size)
    listed = [named.get(sample.name, Proposal(sample.name, "")) for sample in photos.samples]
    return [
        one if one.label else replace(one, label=photos.classes[sample.label] if sample.label is not None else NO_CLASS)
        for one, sample in zip(listed, photos.samples, strict=True)
    ]


def _method(path: Path) -> str:
    """The method, as the summary beside the boxes calls it; without one, the name of the file."""
    summary = (path if path.is_dir() else path.parent) / "summary.json"
    try:
        return str(json.loads(summary.read_text(encoding="utf-8"))["method"])
    except (OSError, ValueError, KeyError, TypeError):
        return path.name
