"""Heat maps from any program, scored against true boxes (and masks) under one or several protocols."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Int, Shaped

from boxless.data.annotation_files import Truth, read_truth
from boxless.evaluation.detection import MULTIPLE
from boxless.evaluation.map_files import MapFiles, bare, numbered
from boxless.evaluation.measure import measure
from boxless.evaluation.measurement import Measurement
from boxless.evaluation.pixel_metrics import Mask, PixelMeasurement, combine, measure_pixels
from boxless.evaluation.protocols import protocol_named
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.progress import track


@dataclass(frozen=True, slots=True)
class Scores:
    """A measurement for each protocol, and what was counted on the way."""

    measurements: dict[str, Measurement | PixelMeasurement]
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """{"protocols": {name: the measurement's own dict}, "notes": [...]}."""
        return {"protocols": {name: m.to_dict() for name, m in self.measurements.items()}, "notes": self.notes}


def score(
    maps: Path,
    truth: Path,
    *,
    protocols: Sequence[str] = ("boxless",),
    predictions: Path | None = None,
    masks: Path | None = None,
    seed: int = 0,
    strict: bool = False,
) -> Scores:
    """Saved maps (folder of .npy/.png or .npz) scored against a boxes.csv, COCO json, export, or data with boxes.

    `strict` is as for `read_truth`. Raises UsageError for an unknown protocol and for pxap without masks,
    BoxlessError for input that cannot be scored.
    """
    wanted = [protocol_named(name) for name in protocols]
    known = read_truth(truth, strict=strict)
    heats = MapFiles(maps, known.names)
    notes = _counts(heats, known)
    classes = list(known.classes)
    labels = [label for label in known.labels if label is not None]
    predicted = None
    if predictions is not None:
        if len(labels) < len(known.names):
            raise BoxlessError(f"{truth} has no class for every image; predictions need one to be compared with.")
        predicted = read_predictions(predictions, known.names, classes, notes)
    found: dict[str, Measurement | PixelMeasurement] = {}
    for protocol in wanted:
        if protocol.measures == "masks":
            if masks is None:
                raise UsageError(f"{protocol.name} needs masks: add --masks with a folder of png files.")
            found[protocol.name] = measure_pixels(heats, read_masks(masks, known.names), seed=seed)
            continue
        found[protocol.name] = measure(
            heats,
            known.sizes,
            known.boxes,
            labels=labels if len(labels) == len(known.names) else None,
            predictions=predicted,
            classes=known.classes,
            names=known.names,
            several=MULTIPLE,
            crowds=known.crowds,
            protocol=protocol,
            seed=seed,
        )
    return Scores(found, notes)


def read_predictions(
    path: Path, images: Sequence[str], classes: list[str], notes: list[str]
) -> Int[np.ndarray, "image k"]:
    """A csv of image and predicted classes, best first (`image,top1[,top2...]`) -> indices into `classes`.

    Classes that no image has are counted in `notes` and appended to `classes`: they are wrong, but allowed. Raises
    BoxlessError with the line for a missing, repeated or unknown image, for uneven rows, and if no class matches.
    """
    wanted = numbered(images)
    ranked: dict[int, list[str]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            next(rows, None)
            for row in rows:
                _add_prediction(row, wanted, ranked, f"{path}, line {rows.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BoxlessError(f"{path} cannot be read as csv ({error}).") from error
    lacking = [image for i, image in enumerate(images) if i not in ranked]
    if lacking:
        raise BoxlessError(f"{path} has no prediction for {len(lacking)} images, the first is {lacking[0]}.")
    foreign = sorted({name for names in ranked.values() for name in names} - set(classes))
    if foreign and all(name in foreign for names in ranked.values() for name in names):
        raise BoxlessError(
            f"{path} predicts {foreign[0]!r} and other classes that the truth does not have: {classes[:5]}."
        )
    if foreign:
        notes.append(
            f"{len(foreign)} predicted classes are no image's class and count as wrong, such as {foreign[0]!r}"
        )
        classes += foreign
    return np.array([[classes.index(name) for name in ranked[i]] for i in range(len(images))])


def read_masks(folder: Path, images: Sequence[str]) -> list[Mask]:
    """The mask of each image, `<image>.png` and optionally `<image>_ignore.png`; not black = object or ignored.

    `<image>` is the image's path without its extension. Masks may be grey of 8 or 16 bits, in colour, or with a
    palette, whose colours count; transparency does not. Raises BoxlessError for images without a mask of their own.
    """
    shared = next((name for name, count in Counter(map(bare, images)).items() if count > 1), None)
    if shared is not None:
        raise BoxlessError(f"Several images are called {shared} but for the extension, and {shared}.png is one mask.")
    return [_read_mask(folder, bare(image)) for image in images]


def _counts(heats: MapFiles, known: Truth) -> list[str]:
    constant = sum(bool(heats[i].min() == heats[i].max()) for i in track(range(len(heats)), "reading maps"))
    counted = [
        (heats.surplus, "maps belong to no image and were not used"),
        (constant, "maps are constant and have no box"),
    ]
    counted.append((sum(boxes is None for boxes in known.boxes), "images have no box and were left out"))
    return [f"{count} {words}" for count, words in counted if count]


def _add_prediction(row: list[str], wanted: dict[str, int], ranked: dict[int, list[str]], where: str) -> None:
    if len(row) < 2 or not all(row):
        raise BoxlessError(f"{where}: expected image,top1[,top2...], found {','.join(row)!r}.")
    index = wanted.get(row[0])
    if index is None:
        raise BoxlessError(f"{where}: the image {row[0]} is not in the truth.")
    if index in ranked:
        raise BoxlessError(f"{where}: the image {row[0]} is there twice.")
    if ranked and len(next(iter(ranked.values()))) != len(row) - 1:
        raise BoxlessError(f"{where}: expected as many classes as in the first row, found {len(row) - 1}.")
    ranked[index] = row[1:]


def _read_mask(folder: Path, key: str) -> Mask:
    read = []
    for name in (f"{key}.png", f"{key}_ignore.png"):
        file = folder / name
        content = np.frombuffer(file.read_bytes(), np.uint8) if file.is_file() else np.zeros(0, np.uint8)
        pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
        read.append(None if pixels is None else _marked(pixels))
    if read[0] is None:
        raise BoxlessError(f"{folder} has no readable mask {key}.png. Expected a png for each image, 0 = background.")
    if read[1] is not None and read[1].shape != read[0].shape:
        raise BoxlessError(f"{folder}: {key}_ignore.png is not as large as {key}.png.")
    return combine(read[0], read[1])


def _marked(pixels: Shaped[np.ndarray, "h w ..."]) -> Mask:
    """1 where any colour is not 0; the fourth channel is transparency."""
    return np.asarray(pixels.reshape(*pixels.shape[:2], -1)[..., :3].any(axis=2), np.uint8)
