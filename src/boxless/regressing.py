"""The second stage: a network learns the boxes that any first method found, with no label and no true box."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from boxless.data.found import digest, with_found
from boxless.data.sample import Dataset
from boxless.errors import UsageError
from boxless.methods import REGRESSORS
from boxless.progress import Progress
from boxless.settings import Training
from boxless.training import train_network

log = logging.getLogger("boxless")


def train_regressor(
    method: str,
    options: Mapping[str, Any],
    train: Dataset,
    boxes: Path,
    settings: Training,
    out: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Train `method` of REGRESSORS on images and the boxes that were found in them -> the run folder `out`.

    `boxes` is a file as `with_found` reads it; the boxes and labels that `train` came with are not looked at. Raises
    what `train_classifier` raises, and BoxlessError for boxes that do not belong to the images.
    """
    if method not in REGRESSORS:
        raise UsageError(f"{method!r} does not learn from boxes. Choose from: {', '.join(REGRESSORS)}.")
    found = replace(with_found(train, boxes), classes=[])
    if left := len(train) - len(found):
        log.warning("%d of the %d training images have no box in %s and are left out", left, len(train), boxes)
    told = {"kind": "regressor", "boxes": {"images": len(found), "sha256": digest(found)}}
    return train_network(method, options, found, None, settings, out, told, resume=resume, progress=progress)
