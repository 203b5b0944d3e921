"""auto's threshold and its sign `frame` on training halves: forms and constants, chosen with each set left out.

python benchmarks/choice.py --groups tiny28 --classes cub10 tiny200_a --others domains/cells domains/skin \
    --cache seen --out result.json

--groups: 300 images of each of its groups of classes, every third of the classes in turn; each group is a category and
a set of its own. --classes: at most 50 images of each of ten classes, each a category, those in groups left out.
--others: sets that are no everyday photographs. A form of threshold is judged on photographs: its constants are those
with the highest mean over IoU 0.3, 0.5 and 0.7 of all sets, or of all but the one that it is measured on.
"""

import argparse
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from boxless.boxes.otsu import otsu
from boxless.data.dataset import Dataset, Sample
from boxless.data.folder import read_data, select
from boxless.data.published_datasets import GROUPS
from boxless.data.splits import restricted
from boxless.discovery.auto import FRAME, Auto
from boxless.discovery.signs import TAIL
from boxless.evaluation.bootstrap import compare
from boxless.evaluation.metrics import hits
from boxless.evaluation.protocols import DELTAS, PROTOCOLS
from boxless.inference.discovery_predictor import DiscoveryPredictor
from boxless.inference.factory import discoverer
from boxless.runtime.files import write_json
from boxless.runtime.progress import Progress
from boxless.runtime.provenance import provenance

GROUP, STEP, CLASS, CLASSES = 300, 3, 50, 10
"""Images of a group, every which of a class; images of a class, and classes of a set."""
CONTROLS = 24
"""Images that an untrained network sees."""
CUTS = np.round(np.arange(0.2, 0.96, 0.01), 2)
"""Shares of the way from the category's floor to the image's peak."""
FIXED = 0.35
"""ddt's share of the peak, counted from zero."""
PROTOCOL = replace(PROTOCOLS["boxless"], normalisation="none")


@dataclass(slots=True)
class Category:
    """What was seen of one: its signs, and what ddt's maps give at every cut."""

    frame: float
    untrained: float
    """The same sign of an untrained network; nan where none was tried."""
    chosen: str
    floor: float
    area: float
    peaks: Float32[np.ndarray, "image"]
    means: Float32[np.ndarray, "image"]
    otsus: Float32[np.ndarray, "image"]
    ious: Float32[np.ndarray, "image cut"]
    boxes: Float32[np.ndarray, "image cut 4"]


class Watched(Auto):
    """auto, which keeps ddt's raw maps."""

    def reset(self) -> None:
        super().reset()
        self.raw: list[Float32[np.ndarray, "batch h w"]] = []

    def heatmap(self, descriptors: Float[Tensor, "batch d h w"]) -> Float[Tensor, "batch h w"]:
        self.raw.append(self.first_direction(descriptors.float().cpu(), 0))
        return super().heatmap(descriptors)


def in_turn(data: Dataset) -> list[Sample]:
    """Every third image, the classes in turn."""
    of: dict[int | None, list[Sample]] = {}
    for sample in data.samples:
        of.setdefault(sample.label, []).append(sample)
    return [one for turn in zip(*(of[label][::STEP] for label in sorted(of)), strict=False) for one in turn][:GROUP]


def categories(arguments: argparse.Namespace) -> Iterator[tuple[str, str, Dataset]]:
    """Set, category and images."""
    for root in arguments.groups:
        for group, classes in GROUPS.items():
            data = select(read_data(root, "train"), list(classes))
            yield group, group, replace(data, samples=[replace(one, label=0) for one in in_turn(data)], classes=[group])
    grouped = {name for group in GROUPS.values() for name in group}
    for root in arguments.classes:
        data = read_data(root, "train")
        for name in data.classes[:: len(data.classes) // CLASSES]:
            if name not in grouped:
                one = select(data, [name])
                yield root.name, name, replace(one, samples=one.samples[:CLASS])
    for root in arguments.others:
        yield root.name, root.name, restricted(read_data(root, "train"), None, one_category=True)


def seen(data: Dataset, *, control: bool) -> Category:
    """Run auto over a category, and where asked its untrained control over some of it."""
    predictor = discoverer("auto", precision="fp32", engine="torch")
    method = Watched(predictor.method.backbone)
    mapped = list(DiscoveryPredictor(method, "auto", size=method.size, how=predictor.how).maps(data, Progress()))
    untrained = float("nan")
    if control:
        some = replace(data, samples=data.samples[: CONTROLS * (len(data) // CONTROLS) : len(data) // CONTROLS])
        random = DiscoveryPredictor(method.untrained(0), "auto", size=method.size, how=predictor.how)
        untrained = frame_of(next(iter(random.maps(some, Progress()))).notes)
    raw, floor = np.concatenate(method.raw), method.levels[0][0]
    peaks = raw.max((1, 2)) - floor
    heights = np.clip((raw - floor) / peaks[:, None, None], 0, 1)
    low, high = np.quantile(raw, (TAIL, 1 - TAIL), axis=(1, 2))
    boxes = [PROTOCOL.boxes(heat, one.size, CUTS) for heat, one in zip(heights, mapped, strict=True)]
    ious = [PROTOCOL.box_ious(each, one.size, one.sample.boxes) for each, one in zip(boxes, mapped, strict=True)]
    return Category(
        frame_of(mapped[0].notes),
        untrained,
        method.chosen,
        floor,
        float(np.median(-low / (high - low))),
        peaks,
        heights.mean((1, 2)),
        np.array([otsu(heat, "none") for heat in heights], np.float32),
        np.stack(ious),
        np.stack(boxes),
    )


def frame_of(notes: Any) -> float:
    return next(float(sign.value) for sign in notes.signs if sign.name == "frame")


Cut = Callable[..., Any]
"""A category and constants -> the cut of each image, or of all."""


def fixed(category: Category, share: float) -> Any:
    """A share of the peak, from zero."""
    return (share * (category.peaks + category.floor) - category.floor) / category.peaks


def from_floor(category: Category, cut: float) -> Any:
    """A share of the way from the category's floor to the peak."""
    return np.full(len(category.peaks), cut)


def by_area(category: Category, cut: float, slope: float) -> Any:
    """Higher where the category's objects are small; auto's, with .64 and .4."""
    return from_floor(category, np.clip(cut - slope * (category.area - 0.48), 0.3, 0.9))


def by_image(category: Category, cut: float, slope: float, tilt: float) -> Any:
    """And by the mean height of each image's map."""
    return by_area(category, cut, slope) + tilt * (category.means - np.median(category.means))


def by_otsu(category: Category, cut: float, slope: float, share: float) -> Any:
    """And by a share of each image's own threshold of Otsu's."""
    return (1 - share) * by_area(category, cut, slope) + share * category.otsus


def by_agreement(category: Category, cut: float, slope: float, width: float) -> Any:
    """The cut whose box has the highest mean IoU with the boxes of those around."""
    middle = by_area(category, cut, slope)[0]
    near = np.flatnonzero(np.abs(CUTS - middle) <= 2 * width)
    weights = np.exp(-(((CUTS[near] - middle) / width) ** 2) / 2)
    return CUTS[near][np.argmax([pairwise(boxes[near]) @ weights for boxes in category.boxes], axis=1)]


def pairwise(boxes: Float32[np.ndarray, "box 4"]) -> Float32[np.ndarray, "box box"]:
    """IoU of every two."""
    low, high = np.maximum(boxes[:, None, :2], boxes[None, :, :2]), np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared, areas = np.clip(high - low, 0, None).prod(2), (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return shared / np.maximum(areas[:, None] + areas - shared, 1e-9)


SLOPES = (0.2, 0.4, 0.6)
MIDDLES = (0.6, 0.62, 0.64, 0.66, 0.68)
FORMS: dict[str, tuple[Cut, list[tuple[float, ...]]]] = {
    "a share of the peak": (fixed, [(share,) for share in np.arange(0.2, 0.51, 0.025)]),
    "a share of the way from floor to peak": (from_floor, [(cut,) for cut in np.arange(0.5, 0.76, 0.02)]),
    "higher for small objects, as auto": (by_area, list(product(MIDDLES, (0, *SLOPES, 0.8)))),
    "and by the image's mean": (by_image, list(product(MIDDLES, SLOPES, (-0.4, -0.2, 0, 0.2, 0.4)))),
    "and by the image's Otsu threshold": (by_otsu, list(product(MIDDLES, SLOPES, (0, 0.15, 0.3, 0.5)))),
    "and by agreement of boxes": (by_agreement, list(product(MIDDLES, (0.4,), (0.03, 0.06, 0.1)))),
}


def found(category: Category, cuts: Any) -> Float32[np.ndarray, "image"]:
    """IoU of every image at its cut."""
    columns = np.abs(np.asarray(cuts)[:, None] - CUTS).argmin(1)
    return category.ious[np.arange(len(columns)), columns]


def value(ious: Float32[np.ndarray, "image"]) -> Float64[np.ndarray, "delta"]:
    """GT-known at the three IoUs, in per cent."""
    return np.array([100 * hits(ious, delta).mean() for delta in DELTAS])


def judged(sets: dict[str, list[Category]], form: Cut, options: list[tuple[float, ...]]) -> dict[str, Any]:
    """A form with the constants of all sets, and with those of all others."""
    table = np.array(
        [[np.mean([value(found(one, form(one, *o))) for one in each], 0) for each in sets.values()] for o in options]
    )  # (option, set, delta)
    best = int(table.mean((1, 2)).argmax())
    others = [int(np.delete(table.mean(2), i, 1).mean(1).argmax()) for i in range(len(sets))]
    out = table[others, range(len(sets))]
    return {
        "constants": [float(constant) for constant in options[best]],
        "in sample": {"GT-known@0.5": table[best, :, 1].mean(), "mean": table[best].mean()},
        "left out": {"GT-known@0.5": out[:, 1].mean(), "mean": out.mean()},
        "left out, GT-known@0.5": dict(zip(sets, map(float, out[:, 1]), strict=True)),
    }


def against_fixed(each: list[Category]) -> dict[str, Any]:
    """The threshold of auto and ddt's on the same images of a set."""
    ours, theirs = (
        np.concatenate([found(one, cuts(one)) for one in each])
        for cuts in (lambda one: by_area(one, 0.64, 0.4), lambda one: fixed(one, FIXED))
    )
    three = [np.mean([hits(ious, delta) for delta in DELTAS], 0) for ious in (ours, theirs)]
    return {
        "images": len(ours),
        "fixed": {"GT-known@0.5": value(theirs)[1], "mean": value(theirs).mean()},
        "auto": {"GT-known@0.5": value(ours)[1], "mean": value(ours).mean()},
        "difference at 0.5": compare(100.0 * hits(ours), 100.0 * hits(theirs)).to_dict(),
        "difference of means": compare(100 * three[0], 100 * three[1]).to_dict(),
    }


def framed(photographs: list[Category], others: dict[str, Category]) -> dict[str, Any]:
    """The sign `frame`: how far categories lie from untrained networks, and the limit that knows no other set."""
    highest, lowest = max(one.frame for one in photographs), float(np.nanmin([one.untrained for one in photographs]))
    return {
        "limit": FRAME,
        "photographs, highest": highest,
        "untrained networks, lowest": lowest,
        "limit halfway between these two": (highest + lowest) / 2,
        "others": {name: one.frame for name, one in others.items()},
    }


def main() -> None:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--groups", "--classes", "--others"):
        parser.add_argument(name, type=Path, nargs="+", default=[])
    parser.add_argument("--cache", type=Path, required=True, help="where what was seen of each category is kept")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    known: dict[str, dict[str, Category]] = {}
    for each, name, data in categories(arguments):
        file = arguments.cache / f"{each} {name}.pickle"
        if not file.exists():
            file.write_bytes(pickle.dumps(asdict(seen(data, control=each == name))))
        known.setdefault(each, {})[name] = Category(**pickle.loads(file.read_bytes()))
    others = {root.name: known.pop(root.name)[root.name] for root in arguments.others}
    photographs = [one for of in known.values() for one in of.values()]
    sets = {each: [one for one in of.values() if one.chosen == "ddt"] for each, of in known.items()}
    content = {
        "categories of photographs": len(photographs),
        "left to ddt": sum(map(len, sets.values())),
        "frame": framed(photographs, others),
        "auto and the fixed threshold": {name: against_fixed(each) for name, each in sets.items()},
        "forms of threshold": {name: judged(sets, *form) for name, form in FORMS.items()},
    }
    write_json(arguments.out, content | provenance())


if __name__ == "__main__":
    main()
