"""What a data set holds, and what is wrong with it: one pass over the images, of which little is kept.

Of every image the name, size, a hash of its bytes and a fingerprint of its picture stay, 200 bytes or so; the picture
itself goes.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from boxless.data.annotations import contradictions, fault, repeated
from boxless.data.dataset import Dataset, Sample
from boxless.data.file_names import annotations_read, class_folder, is_image, split_folders, strange_annotations
from boxless.data.folder import parse_data, splits, top_of
from boxless.data.images import read_resized
from boxless.data.inference_batches import prefetch
from boxless.data.layouts import recognise
from boxless.data.near_duplicates import BYTES, NEAR, fingerprint, near_duplicate_groups
from boxless.data.sources import open_source
from boxless.runtime.errors import BoxlessError, BrokenImageError
from boxless.runtime.progress import track

PAIR = 2
"""Images that a class needs before two different ones can meet in a batch, as I2C wants."""
PLACES = 18
"""Places of ddt's heat map along a side; a box that is thinner than one of them is called tiny."""

Size = tuple[int, int]


class DuplicateGroup(NamedTuple):
    """Images that are the same, or nearly."""

    names: list[str]
    exact: bool
    splits: list[str]
    classes: list[str]


@dataclass(slots=True)
class Findings:
    """All that is said of a data set; the lists name images."""

    path: str
    layout: str = ""
    """What the layout is called, of a published data set or another program's; "" for folders of classes and lists."""
    splits: dict[str, int] = field(default_factory=dict)
    """Images in each split, "" for data that is not divided; broken ones too."""
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    """Readable images of each class in each split."""
    images: int = 0
    unlabelled: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=dict)
    """The smallest, the median and the largest, by area."""
    flat: list[str] = field(default_factory=list)
    """Images of one colour."""
    small: list[str] = field(default_factory=list)
    """Images with fewer pixels along a side than a heat map has places."""
    depth: str = ""
    """How pictures of more than 8 bits are read, in a sentence."""
    boxes: int = 0
    boxed: int = 0
    """Images with a box."""
    wrong_boxes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Kind (empty, outside, reaching out, tiny, stated for another size) -> images."""
    duplicates: list[DuplicateGroup] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)
    """Files that are neither images nor annotations, by their extension."""
    strange_annotations: list[str] = field(default_factory=list)
    """Files that look like annotations of a layout that is not known."""
    unlisted: int = 0
    """Images that no list or json names."""
    unreadable: list[str] = field(default_factory=list)
    """Why annotations could not be read, in sentences."""
    bad_rows: list[str] = field(default_factory=list)
    """The same for single rows, the others of which were read."""
    absent: dict[str, str] = field(default_factory=dict)
    """Images that annotations name and that are not there, with a sentence that says where."""
    repeated: list[str] = field(default_factory=list)
    """Boxes that an image has twice, in sentences."""

    @property
    def readable(self) -> int:
        """Images that are whole."""
        return self.images - len(self.broken)

    @property
    def small_classes(self) -> list[str]:
        """Classes with fewer training images than a pair; of data without a split train, with fewer images."""
        train = next((split for split in self.splits if split.lower() == "train"), None)
        counts = {
            name: sum(by_split.values()) if train is None else by_split.get(train, 0)
            for name, by_split in self.classes.items()
        }
        return [name for name, count in counts.items() if count < PAIR]

    @property
    def overlaps(self) -> list[DuplicateGroup]:
        """Images that stand in two splits."""
        return [group for group in self.duplicates if len(group.splits) > 1]

    @property
    def contradictions(self) -> list[DuplicateGroup]:
        """Images that stand in two classes."""
        return [group for group in self.duplicates if len(group.classes) > 1]


class _Look(NamedTuple):
    sample: Sample
    size: Size
    digest: bytes
    print: bytes | None


@dataclass(slots=True)
class _Kept:
    """Columns, one entry per image."""

    names: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    prints: bytearray = field(default_factory=bytearray)
    shown: list[int] = field(default_factory=list)
    """Which images the prints are of; flat ones have none."""


def check(path: Path, *, workers: int = 4) -> Findings:
    """Read every image of a data set once and say what is there; raises BoxlessError where there is nothing to read."""
    name, parts = "", list[str]()
    with suppress(BoxlessError):  # annotations that cannot be read: reading the images says why
        path = path if path.is_file() else top_of(path)
        layout, parts = recognise(path), splits(path)
        name = layout.name if layout else ""
    findings, kept = Findings(str(path), name), _Kept()
    named: set[str] = set()
    for split in parts or [""]:
        dataset = _read(path, split, findings)
        findings.splits[split] = len(dataset)
        findings.images += len(dataset)
        findings.classes |= {name: {} for name in dataset.classes if name not in findings.classes}
        root = dataset.source.root
        below = f"{root.relative_to(path).as_posix()}/" if path in root.parents else ""
        named.update(below + sample.name for sample in dataset.samples)
        title = f"reading {split}" if split else "reading"
        for look in track(_looks(dataset, findings, workers), title, len(dataset)):
            if look is not None:
                _take(look, dataset, split, findings, kept)
    _measure(kept, findings)
    _compare(kept, findings)
    _strangers(path, named, findings)
    return findings


def _read(path: Path, split: str, findings: Findings) -> Dataset:
    """The split with its boxes as they are written; the bare images where the annotations cannot be read."""
    try:
        dataset = parse_data(path, split or None)
        findings.unreadable += contradictions(dataset)
        findings.bad_rows = list(dict.fromkeys([*findings.bad_rows, *dataset.bad_rows]))
        findings.absent |= dataset.absent
        findings.repeated += repeated(dataset)
        findings.depth = findings.depth or dataset.depth
        return dataset
    except BoxlessError as error:
        if path.is_file() and path.suffix.lower() == ".json":
            raise
        source = open_source(path)
        names = [name for name in source.names() if is_image(name) and (not split or _below(split, name))]
        if not names:
            raise
        findings.unreadable.append(str(error))
        divided = split_folders(source.names())
        classes = sorted({class_folder(name, divided) for name in names} - {""})
        labels = {name: label for label, name in enumerate(classes)}
        samples = [Sample(name, labels.get(class_folder(name, divided))) for name in names]
        return Dataset(source, samples, classes, split or None)


def _below(split: str, name: str) -> bool:
    """Whether an image lies in a folder of a split, such as train/, or train2017/ of COCO's."""
    return any(folder.startswith(split) for folder in name.split("/")[:-1])


def _looks(dataset: Dataset, findings: Findings, workers: int) -> Iterator[_Look | None]:
    def look(sample: Sample) -> _Look | None:
        try:
            content = dataset.source.read(sample.name)
            picture, size = read_resized(content, sample.name, 64)
        except BrokenImageError as error:
            findings.broken[sample.name] = str(error)
            return None
        return _Look(sample, size, hashlib.blake2b(content, digest_size=16).digest(), fingerprint(picture))

    return prefetch(look, dataset.samples, workers=workers, window=4 * workers)


def _take(look: _Look, dataset: Dataset, split: str, findings: Findings, kept: _Kept) -> None:
    label = "" if look.sample.label is None else dataset.classes[look.sample.label]
    if label:
        counts = findings.classes.setdefault(label, {})
        counts[split] = counts.get(split, 0) + 1
    else:
        findings.unlabelled += 1
    if min(look.size) < PLACES:
        findings.small.append(look.sample.name)
    elif look.print is None:
        findings.flat.append(look.sample.name)
    if look.print is not None:
        kept.shown.append(len(kept.names))
        kept.prints += look.print
    kept.names.append(look.sample.name)
    kept.splits.append(split)
    kept.classes.append(label)
    kept.sizes.append(look.size)
    kept.digests.append(look.digest)
    _judge_boxes(look, findings)


def _judge_boxes(look: _Look, findings: Findings) -> None:
    boxes, stated, (width, height) = look.sample.boxes, look.sample.size, look.size
    if boxes is None:
        return
    findings.boxed += 1
    findings.boxes += len(boxes)
    kinds = {_fault(x0, y0, x1, y1, width, height) for x0, y0, x1, y1 in boxes.tolist()} - {""}
    if stated is not None and stated != look.size:
        kinds.add("stated for another size")
    for kind in sorted(kinds):
        findings.wrong_boxes[kind].append(look.sample.name)


def _fault(x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> str:
    if wrong := fault((x0, y0, x1, y1), (width, height)):
        return wrong
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        return "reaching out"
    return "tiny" if x1 - x0 < width / PLACES or y1 - y0 < height / PLACES else ""


def _measure(kept: _Kept, findings: Findings) -> None:
    if kept.sizes:
        ordered = sorted(kept.sizes, key=lambda size: size[0] * size[1])
        places = {"smallest": 0, "median": len(ordered) // 2, "largest": -1}
        findings.sizes = {name: ordered[place] for name, place in places.items()}


def _compare(kept: _Kept, findings: Findings) -> None:
    """Exact duplicates, and groups of near ones that hold more than one content."""
    same = defaultdict(list)
    for index, digest in enumerate(kept.digests):
        same[digest].append(index)
    findings.duplicates = [_group(group, kept, exact=True) for group in same.values() if len(group) > 1]
    prints = np.frombuffer(bytes(kept.prints), np.uint8).reshape(-1, BYTES)
    for group in near_duplicate_groups(prints):
        indices = [kept.shown[index] for index in group]
        if len({kept.digests[index] for index in indices}) > 1:
            findings.duplicates.append(_group(indices, kept, exact=False))


def _group(indices: Iterable[int], kept: _Kept, *, exact: bool) -> DuplicateGroup:
    members = list(indices)
    places = sorted({kept.splits[index] for index in members})
    classes = sorted({kept.classes[index] for index in members} - {""})
    return DuplicateGroup([kept.names[index] for index in members], exact, places, classes)


def _strangers(path: Path, named: set[str], findings: Findings) -> None:
    """Files that are nothing to boxless, where the layout is our own; others have files of theirs."""
    if findings.layout or (path.is_file() and path.suffix.lower() == ".json"):
        return
    names = open_source(path).names()
    findings.strange_annotations = strange_annotations(names)
    known = {*findings.strange_annotations, *annotations_read(names)}
    strange = [name for name in names if not is_image(name) and name not in known]
    findings.others = dict(Counter(PurePosixPath(name).suffix.lower() or PurePosixPath(name).name for name in strange))
    findings.unlisted = sum(is_image(name) for name in names if name not in named)


def plain(findings: Findings) -> dict[str, Any]:
    """The findings as plain values, for machines."""
    groups = {
        "exact": [group._asdict() for group in findings.duplicates if group.exact],
        "near": [group._asdict() for group in findings.duplicates if not group.exact],
        "in two splits": [group.names for group in findings.overlaps],
        "in two classes": [group.names for group in findings.contradictions],
        "near means bits of 128": NEAR,
    }
    return {
        "data": findings.path,
        "layout": findings.layout,
        "images": findings.images,
        "readable": findings.readable,
        "splits": findings.splits,
        "classes": findings.classes,
        "unlabelled": findings.unlabelled,
        "sizes": findings.sizes,
        "depth": findings.depth,
        "broken": findings.broken,
        "flat": findings.flat,
        "small": findings.small,
        "boxes": findings.boxes,
        "images with boxes": findings.boxed,
        "wrong boxes": dict(findings.wrong_boxes),
        "duplicates": groups,
        "classes too small for pairs": findings.small_classes,
        "other files": findings.others,
        "annotations not understood": findings.strange_annotations,
        "images that no list names": findings.unlisted,
        "annotations not read": findings.unreadable,
        "rows left out": findings.bad_rows,
        "images that are not there": findings.absent,
        "boxes that are there twice": findings.repeated,
    }
