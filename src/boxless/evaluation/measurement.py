"""What a measurement says: accuracies with intervals, thresholds with origins, and controls; as json and as a table."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int

from boxless.evaluation import metrics
from boxless.evaluation.bootstrap import Comparison, compare, interval
from boxless.evaluation.detection import DetectionMeasurement
from boxless.evaluation.error_types import ErrorTypes
from boxless.evaluation.metrics import IouTable, Labels
from boxless.evaluation.protocols import DELTAS, Protocol


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: whether each image is hit at IoU 0.3, 0.5, 0.7, and how its threshold came about."""

    name: str
    kind: Literal["maps", "oracle", "control"]
    hits: Bool[np.ndarray, "image delta"]
    threshold: tuple[float, ...] = ()
    """One for all, one for each delta (oracle), or none (a constant box)."""
    origin: str = ""

    @property
    def per_image(self) -> Float64[np.ndarray, "image"]:
        """Mean of the three hits, in percent."""
        return np.asarray(100.0 * self.hits.mean(axis=1))

    def at(self, delta: float) -> metrics.Hits:
        """Hits at one of the three."""
        return np.asarray(self.hits[:, DELTAS.index(delta)])


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is known of some maps under one protocol; the first row is the headline."""

    protocol: Protocol
    rows: list[Row]
    table: IouTable
    error_types: ErrorTypes
    """Of the headline's boxes; at its threshold for IoU 0.5 where it has several."""
    indices: Int[np.ndarray, "image"]
    """Which of the given images were measured: those with a truth box."""
    skipped: int
    labels: Labels | None = None
    predictions: Int[np.ndarray, "image k"] | None = None
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    seed: int = 0
    detections: DetectionMeasurement | None = None
    """The same maps read for a box for each object."""

    @property
    def controls(self) -> list[Row]:
        """The rows that the headline is compared with."""
        return [row for row in self.rows if row.kind == "control"]

    def accuracies(self, row: Row) -> list[float]:
        """Accuracy in percent at IoU 0.3, 0.5 and 0.7."""
        return [float(a) for a in metrics.accuracy(row.hits, self._strata)]

    def interval(self, row: Row) -> tuple[float, float]:
        """95 % bootstrap interval of the mean of the three."""
        return interval(row.per_image, self._strata, seed=self.seed)

    def lift(self, control: Row) -> Comparison:
        """The headline minus a control on the same images, in points of the mean, over images."""
        return compare(self.rows[0].per_image, control.per_image, seed=self.seed)

    def scores(self) -> dict[str, tuple[float, float, float]]:
        """Every metric of the headline by the name the protocol gives it: value in percent and its 95 % interval."""
        row, oracle = self.rows[0], self.rows[0].kind == "oracle"
        name = "MaxBoxAcc" if oracle else "GT-known"
        wanted = self.protocol.deltas
        found = {f"{name}@{delta:g}" if len(wanted) > 1 else name: self._estimate(row.at(delta)) for delta in wanted}
        if len(wanted) > 1:
            over = "MaxBoxAccV2" if oracle else "mean"
            found[over] = self._estimate(row.per_image / 100.0)
        if self.labels is not None and not oracle:
            ious = self.table.at(row.threshold[len(row.threshold) // 2])
            found["CorLoc"] = self._estimate(metrics.hits(ious, 0.5, strictly=True), self.labels)
        if self.labels is not None and self.predictions is not None:
            found |= self._with_classes(row.at(0.5), self.labels, self.predictions)
        return found

    def _with_classes(
        self, hit: metrics.Hits, labels: Labels, predictions: Any
    ) -> dict[str, tuple[float, float, float]]:
        found = {}
        for k in (1, 5):
            if predictions.shape[1] >= k:
                known = metrics.in_top(predictions, labels, k)
                found[f"Top-{k} Loc"] = self._estimate(hit & known)
                found[f"Top-{k} classification error"] = self._estimate(~known)
        return found

    def _estimate(self, values: Any, strata: Labels | None = None) -> tuple[float, float, float]:
        strata = self._strata if strata is None else strata
        low, high = interval(values, strata, seed=self.seed)
        return float(metrics.accuracy(values, strata)), 100.0 * low, 100.0 * high

    @property
    def _strata(self) -> Labels | None:
        return self.labels if self.protocol.mean_over == "classes" else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values: metrics with intervals, rows, controls with lifts, curves, IoUs, error types, worst images."""
        scores = self.scores()
        # Thresholds of other origins were tried too; a curve is of the protocol's own.
        published = np.isin(self.table.thresholds, self.protocol.thresholds)
        found = {"detections": self.detections.to_dict()} if self.detections else {}
        return found | {
            "protocol": self.protocol.name,
            "source": self.protocol.source,
            "images": len(self.indices),
            "images_without_boxes": self.skipped,
            "metrics": {name: value for name, (value, _, _) in scores.items()},
            "intervals": {name: [low, high] for name, (_, low, high) in scores.items()},
            "rows": [self._row_dict(row) for row in self.rows if row.kind != "control"],
            "controls": {row.name: self._row_dict(row) | {"lift": self.lift(row).to_dict()} for row in self.controls},
            "curves": {f"{d:g}": metrics.curve(self.table, d)[published].tolist() for d in DELTAS},
            "thresholds": self.table.thresholds[published].tolist(),
            "ious": np.round(self.error_types.ious, 4).tolist(),
            "anatomy": self.error_types.totals(),
            "per_class": self._per_class(),
            "worst": [self._worst(i) for i in self.error_types.worst()],
        }

    def _row_dict(self, row: Row) -> dict[str, Any]:
        accuracies, (low, high) = self.accuracies(row), self.interval(row)
        return {
            "name": row.name,
            "kind": row.kind,
            "accuracy": {f"{d:g}": a for d, a in zip(DELTAS, accuracies, strict=True)},
            "mean": float(np.mean(accuracies)),
            "interval": [low, high],
            "threshold": list(row.threshold),
            "origin": row.origin,
        }

    def _per_class(self) -> dict[str, Any]:
        hit, found = self.rows[0].at(0.5), {}
        for label, kinds in self.error_types.per_class().items():
            name = self.classes[label] if label < len(self.classes) else str(label)
            correct = hit[self.labels == label]
            found[name] = {"images": len(correct), "accuracy": float(100 * correct.mean()), "anatomy": kinds}
        return found

    def _worst(self, i: int) -> dict[str, Any]:
        box = [round(float(value), 1) for value in self.error_types.boxes[i]]
        name = self.names[i] if self.names else str(self.indices[i])
        return {"image": name, "iou": float(self.error_types.ious[i]), "kind": self.error_types.kind(i), "box": box}
