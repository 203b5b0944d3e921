"""Several data sets -> one: the splits of one, each with lists of its own, or parts that were given by themselves."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from boxless.data.dataset import Dataset, Sample
from boxless.data.sources import FolderSource, Source
from boxless.runtime.errors import BoxlessError


def union(parts: Sequence[Dataset]) -> tuple[list[str], list[Sample]]:
    """The samples of all parts under one list of classes: that of the parts if it is one, else all names, sorted."""
    lists = [part.classes for part in parts if part.classes]
    same = all(one == lists[0] for one in lists)
    classes = list(lists[0]) if lists and same else sorted({name for one in lists for name in one})
    position = {name: label for label, name in enumerate(classes)}
    return classes, [
        replace(sample, label=None if sample.label is None else position[part.classes[sample.label]])
        for part in parts
        for sample in part.samples
    ]


def together(parts: Sequence[Dataset], root: Path) -> Dataset:
    """All splits of a data set, with what is said of each; an image of several splits counts once, as in the first.

    The names are those in the folder of images, if it is one, else those below `root`, or below the folder that holds
    all of them. Raises BoxlessError for images in several archives.
    """
    source, parts = _one_source(parts, root)
    classes, samples = union(parts)
    once = {sample.name: sample for sample in reversed(samples)}
    return Dataset(
        source,
        sorted(once.values(), key=lambda sample: sample.name),
        classes,
        bad_rows=tuple(dict.fromkeys(row for part in parts for row in part.bad_rows)),  # of a file that all splits read
        faults=tuple(dict.fromkeys(fault for part in parts for fault in part.faults)),
        absent={name: sentence for part in parts for name, sentence in part.absent.items()},
        unread=tuple(dict.fromkeys(name for part in parts for name in part.unread)),
    )


def only_used(dataset: Dataset) -> Dataset:
    """The data set without classes that none of its images has."""
    used = sorted({sample.label for sample in dataset.samples if sample.label is not None})
    place = {label: number for number, label in enumerate(used)}
    samples = [
        replace(sample, label=None if sample.label is None else place[sample.label]) for sample in dataset.samples
    ]
    return replace(dataset, samples=samples, classes=[dataset.classes[label] for label in used])


def below(dataset: Dataset, folder: Path) -> bool:
    """Whether the images lie in `folder`, or in one below it that is no link to elsewhere."""
    root, folder = dataset.source.root.resolve(), folder.resolve()
    return isinstance(dataset.source, FolderSource) and folder in (root, *root.parents)


def named_below(base: Path, dataset: Dataset) -> Dataset:
    """The images of a folder below `base` under their names there."""
    place = dataset.source.root.resolve().relative_to(base.resolve())
    samples = [replace(one, name=(place / one.name).as_posix()) for one in dataset.samples]
    return replace(dataset, source=FolderSource(base), samples=samples)


def _one_source(parts: Sequence[Dataset], root: Path) -> tuple[Source, list[Dataset]]:
    """A source that has the images of all parts, and the parts under their names there."""
    roots = {part.source.root.resolve() for part in parts}
    if len(roots) == 1:
        return parts[0].source, list(parts)
    if any(not isinstance(part.source, FolderSource) for part in parts):
        named = ", ".join(sorted(map(str, roots)))
        raise BoxlessError(f"The images of the splits are in several places ({named}). Expected one, or name a split.")
    base = root if all(below(part, root) for part in parts) else Path(os.path.commonpath(roots))
    return FolderSource(base), [named_below(base, part) for part in parts]
