"""Boxes of several objects per image, as COCO scores them: AP, AR and counting, with controls and intervals.

Matching, average precision and average recall are pycocotools' own (Lin et al., ECCV 2014), over all classes as one. A
bootstrap draws images again and again, for which matching need not be repeated; what is left is compiled here.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int
from numba import njit

from boxless.boxes.from_heatmap import Heatmap, Readout, boxes_at
from boxless.boxes.suppression import Found, given
from boxless.data.dataset import Boxes
from boxless.evaluation import baselines
from boxless.evaluation.bootstrap import interval
from boxless.evaluation.metrics import each_image
from boxless.evaluation.protocols import Size

LIMITS = (1, 10, 100)
"""Boxes per image, the best scores first, up to which recall is averaged; AP takes the last."""
METRICS = ("AP.5", "AP.5:.95", *(f"AR{limit}" for limit in LIMITS))
DRAWS = 1_000
BINS = 10
MULTIPLE: Mapping[str, Any] = MappingProxyType({"multiple": True})
"""A box for each object."""

Values = Float64[np.ndarray, "metric"]


@dataclass(frozen=True, slots=True)
class Matches:
    """Every found box that counts, in falling order of score, and how many true boxes each image has."""

    image: Int[np.ndarray, "box"]
    rank: Int[np.ndarray, "box"]
    """Place among the boxes of its image."""
    score: Float[np.ndarray, "box"]
    hit: Bool[np.ndarray, "box iou"]
    """Whether it is the one that matches a true box at IoU .5, .55 ... .95."""
    ignored: Bool[np.ndarray, "box iou"]
    """Whether it lies in a crowd, where nothing is right or wrong."""
    true: Int[np.ndarray, "image"]

    def reliability(self) -> list[dict[str, float]]:
        """Precision at IoU .5 in percent by tenth of the score, the lowest first, with the range of each tenth."""
        counted = ~self.ignored[:, 0]
        scores, hits = self.score[counted][::-1], self.hit[counted, 0][::-1]
        tenths = zip(np.array_split(scores, BINS), np.array_split(hits, BINS), strict=True)
        return [
            {"boxes": len(s), "low": float(s[0]), "high": float(s[-1]), "precision": float(100 * h.mean())}
            for s, h in tenths
            if len(s)
        ]


@dataclass(frozen=True)
class DetectionRow:
    """The boxes of a method, or of a control, on all images."""

    name: str
    kind: str
    matches: Matches
    values: Values
    """METRICS, in percent."""
    draws: Float64[np.ndarray, "draw metric"]
    """The same for images drawn with replacement."""
    counting: Int[np.ndarray, "image"]
    """Found minus true boxes."""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the counting error as its mean and the mean of its size, with 95 % intervals."""
        low, high = np.percentile(self.draws, [2.5, 97.5], axis=0)
        return {
            "name": self.name,
            "kind": self.kind,
            "note": self.note,
            "metrics": dict(zip(METRICS, self.values.tolist(), strict=True)),
            "intervals": {name: [float(low[k]), float(high[k])] for k, name in enumerate(METRICS)},
            "counting": {
                "mean": float(self.counting.mean()),
                "interval": list(interval(self.counting)),
                "size": float(np.abs(self.counting).mean()),
                "size_interval": list(interval(np.abs(self.counting))),
            },
        }


@dataclass(frozen=True)
class DetectionMeasurement:
    """Several objects per image: the method's boxes first, then the controls."""

    rows: list[DetectionRow]
    skipped: int
    """Images without a true box, which are left out."""
    crowds: int
    multiple: bool = True
    """Whether the first row has a box for each object, or one for each image."""

    @property
    def what(self) -> str:
        """What the first row is, in words."""
        return "a box for each object" if self.multiple else "one box for each image"

    @property
    def controls(self) -> list[DetectionRow]:
        """What the first row is compared with."""
        return self.rows[1:]

    def lift(self, control: DetectionRow) -> tuple[float, float, float]:
        """AP.5 of the first row minus that of a control in points, and its 95 % interval over the same draws."""
        low, high = np.percentile(self.rows[0].draws[:, 0] - control.draws[:, 0], [2.5, 97.5])
        return float(self.rows[0].values[0] - control.values[0]), float(low), float(high)

    def in_words(self) -> str:
        """What was counted, in one sentence."""
        row = self.rows[0]
        error, true = row.to_dict()["counting"], row.matches.true.sum()
        low, high = error["interval"]
        return (
            f"{true + row.counting.sum()} boxes found, {true} true: {error['mean']:+.1f} per image "
            f"(95 % interval {low:+.1f} to {high:+.1f}), off by {error['size']:.1f} on average."
        )

    @cached_property
    def reliability(self) -> list[dict[str, float]]:
        """Of the first row's scores."""
        return self.rows[0].matches.reliability()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        true = self.rows[0].matches.true
        return {
            "multiple": self.multiple,
            "images": len(true),
            "images_without_boxes": self.skipped,
            "true_boxes": int(true.sum()),
            "crowds": self.crowds,
            "rows": [self.rows[0].to_dict()],
            "controls": {
                row.name: row.to_dict()
                | {"lift": dict(zip(("difference", "low", "high"), self.lift(row), strict=True))}
                for row in self.controls
            },
            "counting": self.rows[0].counting.tolist(),
            "reliability": self.reliability,
        }


def measure_detections(
    maps: Sequence[Heatmap],
    sizes: Sequence[Size],
    truths: Sequence[Boxes | None],
    readout: Readout,
    *,
    several: Mapping[str, Any] = MULTIPLE,
    tiles: Sequence[int] | None = None,
    found: Sequence[Found] | None = None,
    crowds: Sequence[Boxes | None] | None = None,
    share: tuple[float, float] = baselines.DEFAULT_SHARE,
    seed: int = 0,
) -> DetectionMeasurement:
    """Raw maps of images of `sizes` -> the boxes that `find` makes of them at the threshold of `readout`, measured.

    `several` is what `find_boxes` is asked for, and `tiles` are the sides of those that each map was joined from. A
    detector's boxes `found` are taken for those of the maps. Images without a true box or a crowd (where nothing is
    judged) are counted and left out. The controls are the whole image, a centred box (`share` of the sides), another
    image's boxes, and beside several boxes the one of `find`.
    """
    around = list(crowds) if crowds is not None else [None] * len(truths)
    kept = [i for i in range(len(truths)) if truths[i] is not None or around[i] is not None]
    own, true, crowded = [sizes[i] for i in kept], [_boxes(truths[i]) for i in kept], [_boxes(around[i]) for i in kept]
    joined = tiles or [0] * len(truths)

    def read_at(place: int) -> Found:
        i = kept[place]
        if found is not None:
            return given(found[i], sizes[i], **several)
        return boxes_at(readout, maps[i], sizes[i], tile=joined[i], **several)

    read = each_image(read_at, len(kept))
    controls = {
        "whole image": [_alone(baselines.centred_box(size, (1.0, 1.0))) for size in own],
        "centred box": [_alone(baselines.centred_box(size, share)) for size in own],
    }
    if several.get("multiple"):
        controls["one box"] = each_image(lambda k: boxes_at(readout, maps[kept[k]], sizes[kept[k]]), len(kept))
    if len(kept) > 1:
        other = baselines.derangement(len(kept), seed)
        controls["another image's boxes"] = [_moved(read[j], own[j], own[i]) for i, j in enumerate(other)]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(kept), np.full(len(kept), 1 / len(kept)), DRAWS)
    whose = {"heat maps": read} | controls
    matched = [match(boxes, own, true, crowded) for boxes in whose.values()]
    draws = each_image(lambda k: resampled(matched[k][0], weights), len(matched))
    rows = list[DetectionRow]()
    for (name, boxes), (matches, values), drawn in zip(whose.items(), matched, draws, strict=True):
        counting = np.array([len(one) for one, _ in boxes]) - matches.true
        kind, note = ("control", "") if rows else ("maps", f"{readout.threshold:.2f}, {readout.origin}")
        rows.append(DetectionRow(name, kind, matches, values, drawn, counting, note))
    around_all = sum(len(boxes) for boxes in crowded)
    return DetectionMeasurement(rows, len(truths) - len(kept), around_all, bool(several.get("multiple")))


def match(
    found: Sequence[Found], sizes: Sequence[Size], truths: Sequence[Boxes], crowds: Sequence[Boxes]
) -> tuple[Matches, Values]:
    """Found boxes and true ones of some images -> how pycocotools matches them, and METRICS in percent.

    Nan where there is no true box but crowds.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its times
        truth: Any = COCO()  # type: ignore[no-untyped-call]
        results: Any = COCO()  # type: ignore[no-untyped-call]
        images = [{"id": i, "width": w, "height": h} for i, (w, h) in enumerate(sizes)]
        truth.dataset = {"images": images, "categories": [{"id": 1, "name": "object"}], "annotations": []}
        results.dataset = truth.dataset | {"annotations": []}
        for i in range(len(sizes)):
            for crowd, boxes in enumerate((truths[i], crowds[i])):
                for box in boxes:
                    _annotate(truth, i, box, iscrowd=crowd)
            for box, score in zip(*found[i], strict=True):
                _annotate(results, i, box, iscrowd=0, score=float(score))
        truth.createIndex()
        results.createIndex()
        evaluator: Any = COCOeval(truth, results, "bbox")  # type: ignore[no-untyped-call]
        evaluator.params.maxDets, evaluator.params.areaRng = list(LIMITS), [[0, 1e10]]
        evaluator.params.areaRngLbl = ["all"]
        evaluator.evaluate()
        evaluator.accumulate()
    precision, recall = (evaluator.eval[key][..., 0, 0, :] for key in ("precision", "recall"))  # -1: no true box
    values = np.array([precision[0, ..., -1].mean(), precision[..., -1].mean(), *recall.mean(0)])
    return _matches(evaluator.evalImgs, len(sizes)), np.where(values < 0, np.nan, 100 * values)


def resampled(matches: Matches, weights: Int[np.ndarray, "draw image"]) -> Float64[np.ndarray, "draw metric"]:
    """METRICS in percent where each image counts as often as `weights` says."""
    precisions = _average_precisions(weights, matches.image, matches.hit, matches.ignored, matches.true)
    true = np.maximum(weights @ matches.true, 1)
    recalls = []
    for limit in LIMITS:
        hits = np.zeros(len(matches.true))
        first = matches.rank < limit
        np.add.at(hits, matches.image[first], (matches.hit & ~matches.ignored)[first].mean(1))
        recalls.append(weights @ hits / true)
    return 100 * np.stack([precisions[:, 0], precisions.mean(1), *recalls], axis=1)


def _annotate(coco: Any, image: int, box: Float32[np.ndarray, "4"], **more: Any) -> None:
    x0, y0, x1, y1 = (float(value) for value in box)
    entries = coco.dataset["annotations"]
    place = {"id": len(entries) + 1, "image_id": image, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
    entries.append(place | {"area": (x1 - x0) * (y1 - y0)} | more)


def _matches(judged: Sequence[dict[str, Any] | None], images: int) -> Matches:
    """What COCOeval found in each image, as one list of boxes."""
    true, parts = np.zeros(images, np.int64), []
    for one in judged:
        if one is None:
            continue
        image, count = one["image_id"], len(one["dtScores"])
        true[image] = np.count_nonzero(~np.asarray(one["gtIgnore"], bool))
        whose = np.full(count, image), np.arange(count), np.array(one["dtScores"], np.float64)
        parts.append((*whose, one["dtMatches"].T > 0, one["dtIgnore"].T.astype(bool)))
    if not parts:
        none = np.zeros((0, 10), bool)
        return Matches(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), none, none, true)
    image, rank, score, hit, ignored = (np.concatenate(part) for part in zip(*parts, strict=True))
    falling = np.argsort(-score, kind="stable")
    return Matches(image[falling], rank[falling], score[falling], hit[falling], ignored[falling], true)


@njit(nogil=True, cache=True)
@no_type_check
def _average_precisions(weights, image, hit, ignored, true):
    """AP in 0..1 (draw, iou) from 101 points of recall, as COCOeval.accumulate takes it."""
    # Of what is found at one IoU precision falls until the next hit, so that only hits bear points of the curve.
    draws, ious = len(weights), hit.shape[1]
    found, counted = np.zeros((draws, ious)), np.empty(len(image))
    right, precision = np.zeros(len(image)), np.zeros(len(image))
    for draw in range(draws):
        all_true = 0
        for i in range(len(true)):
            all_true += weights[draw, i] * true[i]
        if all_true == 0:
            continue
        for k in range(len(image)):
            counted[k] = weights[draw, image[k]]
        for iou in range(ious):
            hits, wrong, last = 0.0, 0.0, -1
            for k in range(len(image)):
                if ignored[k, iou]:
                    continue
                if hit[k, iou]:
                    hits += counted[k]
                    last += 1
                    right[last], precision[last] = hits / all_true, hits / max(hits + wrong, 1e-12)
                else:
                    wrong += counted[k]
            best, total = 0.0, 0.0
            for point in range(100, -1, -1):
                while last >= 0 and right[last] >= point / 100:
                    best = max(best, precision[last])
                    last -= 1
                total += best
            found[draw, iou] = total / 101
    return found


def _boxes(boxes: Boxes | None) -> Boxes:
    return np.zeros((0, 4), np.float32) if boxes is None else boxes


def _alone(box: Boxes) -> Found:
    return box, np.ones(len(box), np.float32)


def _moved(found: Found, of: Size, to: Size) -> Found:
    boxes, scores = found
    return (boxes * np.array([to[0] / of[0], to[1] / of[1]] * 2)).astype(np.float32), scores
