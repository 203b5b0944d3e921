"""COCO jsons that lie beside their images in folders -> samples, as COCO, CVAT, datumaro and Roboflow lay them out.

annotations/instances_train2017.json    train2017/ or images/train2017/, images/train/, images/, ...
annotations/instances_default.json      images/ (CVAT); not divided
train/_annotations.coco.json            train/ (Roboflow)
result.json                             images/ (Label Studio)
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from boxless.data.annotated_images import Layout, ordered_splits, parsed_json
from boxless.data.annotations import text_of
from boxless.data.coco import parse_coco_text
from boxless.data.dataset import Dataset, Sample
from boxless.data.file_names import SPLITS
from boxless.data.rows import present
from boxless.data.sources import Source, place_of
from boxless.runtime.errors import BoxlessError, brief

INSTANCES = re.compile(r"annotations/instances_(?P<part>[^/]+)\.json")
ROBOFLOW = "_annotations.coco.json"
LABEL_STUDIO = "result.json"


def recognise(source: Source, names: Sequence[str]) -> Layout | None:
    """One of the three layouts, if annotations/instances_*.json, _annotations.coco.json or result.json are there."""
    found = {name: match["part"] for name in names if (match := INSTANCES.fullmatch(name))}
    if found:
        splits = _split_names(list(found.values()))
        parts = {name: (splits[part], _places(part, splits[part])) for name, part in found.items()}
        return Layout("COCO", ordered_splits(splits.values()), partial(_read, source, parts))
    found = {name: name.removesuffix(ROBOFLOW) for name in names if name.rpartition("/")[2] == ROBOFLOW}
    if found:
        parts = {name: (folder.rstrip("/"), [folder]) for name, folder in found.items()}
        return Layout(
            "Roboflow COCO", ordered_splits(split for split, _ in parts.values()), partial(_read, source, parts)
        )
    if LABEL_STUDIO in names and {"images", "annotations"} <= parsed_json(source, LABEL_STUDIO).keys():
        return Layout("Label Studio COCO", (), partial(_read, source, {LABEL_STUDIO: ("", ["", "images/"])}))
    return None


def _split_names(parts: Sequence[str]) -> dict[str, str]:
    """train2017 -> train, where there is one of that name only; `default` is no split."""
    short = {part: part.rstrip("0123456789") for part in parts}
    known = {part: name for part, name in short.items() if name.lower() in SPLITS}
    alone = [name for name in known.values() if list(known.values()).count(name) == 1]
    return {part: "" if part == "default" else short[part] if short[part] in alone else part for part in parts}


def _places(part: str, split: str) -> list[str]:
    folders = dict.fromkeys([part, split] if split else [part])
    return [
        *(f"{top}{folder}/" for folder in folders for top in ("", "images/")),
        "images/",
        "data/",
        "JPEGImages/",
        "",
    ]


def _read(source: Source, parts: dict[str, tuple[str, list[str]]], split: str | None) -> Dataset:
    """The classes are those of all jsons, in the order of their ids.

    An image that several name counts once, with the boxes of all. A json of which no image is
    there refuses its own split, and the others only where none has any.
    """
    there = set(source.names())
    read, missing = list[Dataset](), dict[str, BoxlessError]()
    classes = dict[str, None]()
    for name, (part, places) in parts.items():
        where = place_of(name, source)
        parsed = parse_coco_text(text_of(source, name), where, source)
        unused = _headings(parsed_json(source, name)) if name.endswith(ROBOFLOW) else set()
        classes |= dict.fromkeys(one for one in parsed.classes if one not in unused)
        if split not in (None, part):
            continue
        try:
            placed = _placed(parsed, _place(parsed, places, there, where), sizes=name != LABEL_STUDIO)
            read.append(present(placed, source, where))
        except BoxlessError as error:
            missing |= dict.fromkeys((sample.name for sample in parsed.samples), error)
    if missing and not read:
        raise next(iter(missing.values()))
    label_of = {name: label for label, name in enumerate(classes)}
    samples = dict[str, Sample]()
    for one in read:
        for sample in one.samples:
            label = None if sample.label is None else label_of[one.classes[sample.label]]
            named = replace(sample, label=label)
            samples[sample.name] = _joined(samples[sample.name], named) if sample.name in samples else named
    return Dataset(
        source,
        sorted(samples.values(), key=lambda sample: sample.name),
        list(classes),
        split,
        bad_rows=tuple(row for one in read for row in one.bad_rows),
        absent={name: sentence for one in read for name, sentence in one.absent.items()}
        | {name: str(error) for name, error in missing.items()},
    )


def _joined(first: Sample, second: Sample) -> Sample:
    """What two jsons say of one image, without what both say; its class, if both say the same or one says nothing."""
    known = {(one.box, one.label) for one in first.written}
    more = tuple(one for one in second.written if (one.box, one.label) not in known)
    says = {one.label for one in (first, second) if one.written}
    label = first.label if not says else (says.pop() if len(says) == 1 else None)
    crowds = [one.crowds for one in (first, second) if one.crowds is not None]
    every = np.unique(np.concatenate(crowds), axis=0) if crowds else None
    return replace(first, label=label, written=first.written + more, crowds=every)


def _place(parsed: Dataset, places: Sequence[str], there: set[str], where: str) -> str:
    """The first of `places` that has one of the images."""
    for place in places:
        if any(place + sample.name in there for sample in parsed.samples):
            return place
    looked, first = ", ".join(place or "the top" for place in places), parsed.samples[0].name
    raise BoxlessError(f"{where} names the image {brief(first, 200)}, which is in none of {looked}.")


def _placed(parsed: Dataset, place: str, *, sizes: bool) -> Dataset:
    """The images under their names in the source.

    Label Studio states the size of the stored picture beside boxes of the upright one: the picture's own counts.
    """
    samples = [
        replace(sample, name=place + sample.name, size=sample.size if sizes else None) for sample in parsed.samples
    ]
    return replace(parsed, samples=samples)


def _headings(content: dict[str, Any]) -> set[str]:
    """The categories that only stand over others, as Roboflow's first one does, and that no annotation is of."""
    used = {annotation.get("category_id") for annotation in content.get("annotations", [])}
    above = {category.get("supercategory") for category in content["categories"]}
    named = {one["name"] for one in content["categories"] if one["id"] in used}  # a group may be called like its class
    return {one["name"] for one in content["categories"] if one["name"] in above} - named
