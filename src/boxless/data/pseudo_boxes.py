"""Boxes that a method found, as what another one learns from; true boxes that come with the images are never read."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from boxless.data.annotation_files import read_truth
from boxless.data.dataset import Dataset
from boxless.runtime.errors import BoxlessError


def with_found(dataset: Dataset, path: Path, *, several: bool = False, fewest: int = 1) -> Dataset:
    """The images that `path` (what `read_truth` reads) has a box for, each with that box alone.

    Of several boxes of an image the largest is taken, or, for `several`, all: those whose score is below the median of
    the file are too often wrong to be learnt, and become the image's crowds. Raises BoxlessError for a file without
    boxes, and when fewer than `fewest` images are left.
    """
    found = read_truth(path, dataset.source)
    usual = np.median([np.inf if score is None else score for scores in found.scores for score in scores] or [0])
    known = {
        name: (size, boxes, np.array([score is None or score >= usual for score in scores]))
        for name, size, boxes, scores in zip(found.names, found.sizes, found.boxes, found.scores, strict=True)
        if boxes is not None
    }
    if not known:
        raise BoxlessError(f"{path} has no boxes. Expected those that `boxless find` or `boxless predict` wrote.")
    samples = []
    for sample in dataset.samples:
        if sample.name in known:
            size, boxes, sure = known[sample.name]
            if several:
                samples.append(replace(sample, size=size, boxes=boxes[sure], crowds=boxes[~sure]))
            else:
                largest = int((boxes[:, 2:] - boxes[:, :2]).prod(axis=1).argmax())
                samples.append(replace(sample, size=size, boxes=boxes[largest : largest + 1]))
    if not samples:
        raise BoxlessError(f"{path} has no box for any of the {len(dataset)} training images of {dataset.source.root}.")
    if len(samples) < fewest:
        raise BoxlessError(
            f"{path} has boxes for {len(samples)} of the {len(dataset)} training images. Expected boxes for {fewest} "
            "or more: search more photographs first."
        )
    return replace(dataset, samples=samples)


def digest(dataset: Dataset) -> str:
    """A hash of names and boxes: whether two runs learn from the same."""
    whole = sha256()
    for sample in dataset.samples:
        whole.update(sample.name.encode("utf-8", "surrogateescape") + b"\0")
        whole.update(b"" if sample.boxes is None else sample.boxes.tobytes())
    return whole.hexdigest()
