"""Names and run folders -> predictors: the one place that knows how each kind of method is put together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from boxless.backbones.backbone import Backbone
from boxless.backbones.fuse_batchnorm import folded
from boxless.boxes.from_heatmap import Readout
from boxless.data.dataset import Dataset
from boxless.data.inference_batches import stream
from boxless.discovery import DISCOVERERS, discoverer_class
from boxless.inference.closer_look import CLOSER
from boxless.inference.discovery_predictor import DiscoveryPredictor
from boxless.inference.engines import with_engine
from boxless.inference.localizer import Localizer, fresh, load
from boxless.inference.predictors import (
    AT_ONCE,
    InferenceOptions,
    Predictor,
    TrainedPredictor,
    at_once,
)
from boxless.inference.tiles import TiledPredictor, Whole
from boxless.runtime.device_options import EngineName, Precision
from boxless.runtime.devices import device_named, uses_bf16
from boxless.runtime.errors import UsageError
from boxless.runtime.progress import Progress


def discoverer(
    method: str,
    *,
    backbone: str | None = None,
    stride: int | None = None,
    size: int | None = None,
    threshold: float | None = None,
    batch_size: int | None = None,
    workers: int = 2,
    device: str = "auto",
    precision: Precision = "auto",
    engine: EngineName = "auto",
    images: Dataset | None = None,
    multiple: bool = False,
    closer: bool = False,
) -> DiscoveryPredictor:
    """The predictor of a training-free method, its own choice where None; raises UsageError for what it cannot use.

    `images` are those that it is for, if they are known: where they are many, an engine may round more (`with_engine`).
    With `multiple` it is to find several objects in an image; with `closer` it looks at the one of each image again.
    """
    if method not in DISCOVERERS:
        raise UsageError(f"There is no training-free method {method!r}. Choose from: {', '.join(DISCOVERERS)}.")
    if closer and (multiple or method not in CLOSER):
        asked = "several objects" if multiple else method
        raise UsageError(
            f"--closer looks again at the one object of an image, by one of {', '.join(CLOSER)}; it was asked for with "
            f"{asked}. Leave it out."
        )
    kind = discoverer_class(method)
    place = device_named(device)
    built = kind.build(backbone=backbone, stride=stride).to(place)
    if multiple:
        built.look_for_several()
    larger, size = (built.larger, built.size) if size is None else ((), size)
    how = InferenceOptions(batch_size or at_once(size, place), workers, place, bf16=uses_bf16(precision, place))
    how = with_engine(engine, how, built, built.descriptors, size, images, precision=precision)
    found = DiscoveryPredictor(built, method, size=size, how=how, larger=larger, closer=closer)
    found.readout = with_threshold(found.readout, threshold)
    return found


def trained(
    run: Path,
    *,
    threshold: float | None = None,
    batch_size: int | None = None,
    workers: int = 2,
    device: str = "auto",
    precision: Precision = "auto",
    engine: EngineName = "auto",
    images: Dataset | None = None,
) -> TrainedPredictor:
    """The predictor of a trained run: its folder (best.pt) or one of its checkpoints; `images` as in `discoverer`."""
    place = device_named(device)
    localizer = load(run)
    if isinstance(backbone := getattr(localizer.network, "backbone", None), Backbone):
        localizer.network.backbone = folded(backbone)
    localizer.to(place)
    how = InferenceOptions(batch_size or AT_ONCE, workers, place, bf16=uses_bf16(precision, place))
    look, size = localizer.localize, localizer.size
    how = with_engine(engine, how, localizer.network, look, size, images, precision=precision, maps=localizer.heatmap)
    found = TrainedPredictor(localizer, how)
    found.readout = with_threshold(found.readout, threshold)
    return found


def predictor_named(name: str, *, multiple: bool = False, closer: bool = False, **options: object) -> Whole:
    """A predictor from what a user types: the name of a training-free method, or the path of a run."""
    if name in DISCOVERERS:
        return discoverer(name, multiple=multiple, closer=closer, **options)  # type: ignore[arg-type]  # the same names as there
    if not Path(name).exists():
        raise UsageError(
            f"{name!r} is neither a training-free method ({', '.join(DISCOVERERS)}) nor a run folder or checkpoint."
        )
    if closer:
        raise UsageError(f"--closer is for {', '.join(CLOSER)}, and not for the run {name}. Leave it out.")
    return trained(Path(name), **options)  # type: ignore[arg-type]


def with_threshold(readout: Readout, threshold: float | None) -> Readout:
    """The readout with the user's threshold instead of its own; raises UsageError unless 0 <= it < 1."""
    if threshold is None:
        return readout
    if not 0 <= threshold < 1:
        raise UsageError(
            f"The threshold {threshold} is not a fraction of the range. Expected 0 or more and less than 1."
        )
    return replace(readout, threshold=threshold, origin="fixed by the user")


def untrained(predictor: Predictor, images: Dataset, *, seed: int = 0) -> Predictor | None:
    """The control of a predictor: the same readout of the same network with random weights; None where it has none.

    `images` are those that a network without labels is prepared on, as the trained one was.
    """
    if isinstance(predictor, DiscoveryPredictor):
        method = predictor.method.untrained(seed)
        if method is None:
            return None
        same = {name: getattr(predictor, name) for name in ("size", "how", "larger", "closer")}
        found: Predictor = DiscoveryPredictor(method, predictor.name, **same)
    elif isinstance(predictor, TiledPredictor):
        other = untrained(predictor.whole, images, seed=seed)
        return predictor.over(other) if isinstance(other, Whole) else None
    elif isinstance(predictor, TrainedPredictor):
        found = TrainedPredictor(
            _prepared(fresh(predictor.localizer, seed), images).to(predictor.how.device), predictor.how
        )
    else:
        raise TypeError(f"no untrained control for {type(predictor).__name__}")
    found.readout = predictor.readout
    return found


def _prepared(localizer: Localizer, images: Dataset) -> Localizer:
    if not localizer.network.needs_images:
        return localizer
    pictures = [batch.pictures for batch in stream(images, localizer.size, Progress())]
    localizer.network.prepare(torch.from_numpy(np.concatenate(pictures)))
    return localizer
