"""What is to be reviewed: every image of a folder or zip, with the boxes that a boxes.csv or a COCO json has for it."""

import csv
import json
import posixpath
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from boxless.data.annotation_files import COLUMNS, Truth, read_truth
from boxless.data.dataset import Dataset
from boxless.runtime.errors import BoxlessError, UsageError


@dataclass(frozen=True, slots=True)
class SourcedBox:
    """A box in half-open pixels of the upright picture, who found it, and the finder's score if it gave one."""

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
    """The boxes.csv or COCO json that `target` is or holds; raises UsageError when there is none."""
    for path in (target, target / "boxes.csv", target / "boxes.json"):
        if path.is_file() and path.suffix.lower() in (".csv", ".json"):
            return path
    found = "is not there" if not target.exists() else "holds neither boxes.csv nor boxes.json"
    raise UsageError(
        f"{target} {found}. Expected a boxes.csv, a COCO json, or a folder that `boxless find` or `boxless predict` "
        "wrote in one of these formats."
    )


def proposals(path: Path, photos: Dataset) -> list[Proposal]:
    """All images of `photos` in their order, with their boxes from the file `path`, who found them and how surely.

    Raises BoxlessError for a malformed file, for images that are not in `photos`, and for two classes in one image.
    """
    truth = read_truth(path) if _has_rows(path) else Truth([], [], [], [], [])
    predictors = _finders(path)
    named = {
        name: _proposal(name, size, [] if boxes is None else boxes.tolist(), predictors.get(name, []))
        for name, size, boxes in zip(truth.names, truth.sizes, truth.boxes, strict=True)
    }
    for name, label in zip(truth.names, truth.labels, strict=True):
        if label is None and named[name].boxes and truth.classes:
            raise BoxlessError(f"{path}: {name} has boxes of several classes. Expected one class for an image.")
        named[name] = replace(named[name], label="" if label is None else truth.classes[label])
    there = {sample.name for sample in photos.samples}
    missing = [name for name in named if name not in there]
    if missing:
        others = f" ({len(missing)} of {len(named)} images are missing)" if len(missing) > 1 else ""
        raise BoxlessError(f"{path} names the image {missing[0]}, which is not in {photos.source.root}{others}.")
    listed = [named.get(sample.name, Proposal(sample.name, "")) for sample in photos.samples]
    return [
        one if one.label else replace(one, label=photos.classes[sample.label] if sample.label is not None else "object")
        for one, sample in zip(listed, photos.samples, strict=True)
    ]


def _has_rows(path: Path) -> bool:
    """False for a boxes.csv of nothing but its first line: where a method found nothing, a person can still draw."""
    with path.open("rb") as file:
        return not file.readline(1000).startswith(",".join(COLUMNS).encode()) or bool(file.read(1))


def _proposal(
    name: str, size: tuple[int, int], boxes: list[list[float]], predictors: list[tuple[str, float | None]]
) -> Proposal:
    pairs = zip_longest(boxes, predictors[: len(boxes)], fillvalue=("", None))
    sourced = (SourcedBox((x0, y0, x1, y1), source, score) for (x0, y0, x1, y1), (source, score) in pairs)  # type: ignore[misc]
    return Proposal(name, "", tuple(sourced), size)


def _finders(path: Path) -> dict[str, list[tuple[str, float | None]]]:
    """Who found each box of each image and how surely, in the order of `read_truth`, which has checked the file."""
    predictor = _method(path)
    found: dict[str, list[tuple[str, float | None]]] = defaultdict(list)
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file, restval=""):
                if row["x0"]:
                    found[row["image"]].append((row.get("source") or predictor, _number(row.get("score"))))
        return found
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    names = {entry["id"]: posixpath.normpath(entry["file_name"].replace("\\", "/")) for entry in content["images"]}
    for entry in content.get("annotations", []):
        if entry.get("bbox") and not entry.get("iscrowd") and entry["bbox"][2] and entry["bbox"][3]:
            found[names[entry["image_id"]]].append((predictor, _number(entry.get("score"))))
    return found


def _method(path: Path) -> str:
    """The finder, as the summary beside the boxes calls it; without one, the name of the file."""
    try:
        return str(json.loads((path.parent / "summary.json").read_text(encoding="utf-8"))["method"])
    except (OSError, ValueError, KeyError, TypeError):
        return path.name


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]  # whatever is no number is no score
    except (TypeError, ValueError):
        return None
