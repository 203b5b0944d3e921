"""Names and run folders -> finders: the one place that knows how each kind of method is put together."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from boxless.backbones import build_backbone
from boxless.boxes import Readout
from boxless.data.sample import Dataset
from boxless.data.streaming import Watch, stream
from boxless.discover import DISCOVERERS, discoverer_class
from boxless.errors import UsageError
from boxless.localizer import Localizer, fresh, load
from boxless.predicting import DiscoveringFinder, Finder, TrainedFinder


def device_named(name: str) -> torch.device:
    """Auto (a GPU if there is one), cpu, cuda or cuda:N -> the device; raises UsageError for one that is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"There is no device {name!r}. Choose auto, cpu, cuda or cuda:N.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"Device {name} was asked for, but {torch.cuda.device_count()} are here. Choose cpu or auto.")
    return device


def discoverer(
    method: str,
    *,
    backbone: str = "lite0",
    weights: str = "imagenet",
    stride: int | None = None,
    size: int | None = None,
    threshold: float | None = None,
    batch_size: int = 16,
    workers: int = 2,
    device: str = "auto",
) -> DiscoveringFinder:
    """The finder of a training-free method; raises UsageError for a name, stride or threshold that does not exist."""
    if method not in DISCOVERERS:
        raise UsageError(f"There is no training-free method {method!r}. Choose from: {', '.join(DISCOVERERS)}.")
    kind = discoverer_class(method)
    place = device_named(device)
    network = build_backbone(backbone, stride=stride or kind.stride, weights=weights)
    network.to(place).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = DiscoveringFinder(
        kind(network),
        method,
        size=size or kind.size,
        batch_size=batch_size,
        workers=workers,
        device=place,
    )
    found.readout = with_threshold(found.readout, threshold)
    return found


def trained(
    run: Path, *, threshold: float | None = None, batch_size: int = 16, workers: int = 2, device: str = "auto"
) -> TrainedFinder:
    """The finder of a trained run: its folder (best.pt) or one of its checkpoints."""
    localizer = load(run).to(device_named(device))
    found = TrainedFinder(localizer, batch_size=batch_size, workers=workers)
    found.readout = with_threshold(found.readout, threshold)
    return found


def finder_named(name: str, **options: object) -> Finder:
    """A finder from what a user types: the name of a training-free method, or the path of a run."""
    if name in DISCOVERERS:
        return discoverer(name, **options)  # type: ignore[arg-type]  # the same names as there
    if not Path(name).exists():
        raise UsageError(
            f"{name!r} is neither a training-free method ({', '.join(DISCOVERERS)}) nor a run folder or checkpoint."
        )
    return trained(Path(name), **options)  # type: ignore[arg-type]


def with_threshold(readout: Readout, threshold: float | None) -> Readout:
    """The readout with the user's threshold instead of its own; raises UsageError outside 0 to 1."""
    if threshold is None:
        return readout
    if not 0 <= threshold < 1:
        raise UsageError(f"The threshold {threshold} is not a fraction of the map's range. Expected 0 to 1.")
    return replace(readout, threshold=threshold, origin="fixed by the user")


def untrained(finder: Finder, images: Dataset, *, seed: int, options: dict[str, Any]) -> Finder:
    """The control of a finder: the same read-out of the same network with random weights.

    `images` are those that the read-out of a GAN's discriminator is prepared on, as the trained one's was.
    """
    if isinstance(finder, DiscoveringFinder):
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            found: Finder = discoverer(finder.name, weights="none", **options)
    elif isinstance(finder, TrainedFinder):
        found = TrainedFinder(
            _prepared(fresh(finder.localizer, seed), images), batch_size=finder.batch_size, workers=finder.workers
        )
    else:
        raise TypeError(f"no untrained control for {type(finder).__name__}")
    found.readout = finder.readout
    return found


def _prepared(localizer: Localizer, images: Dataset) -> Localizer:
    if localizer.content["kind"] != "gan":
        return localizer
    pictures = [batch.pictures for batch in stream(images, localizer.size, Watch())]
    localizer.network.prepare(torch.from_numpy(np.concatenate(pictures)))  # type: ignore[operator]
    return localizer
