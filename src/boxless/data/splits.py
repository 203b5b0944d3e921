"""Which images a measurement is about: the split that is scored, and the other one that may choose thresholds."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from boxless.data.dataset import NO_CLASS, Dataset
from boxless.data.folder import EVERYTHING, read_data, select, splits
from boxless.data.joining import union
from boxless.data.published_datasets import GROUPS
from boxless.data.sources import JoinedSource
from boxless.runtime.errors import BoxlessError, UsageError


def splits_for(
    data: Path,
    *,
    split: str | None = None,
    fit: str | None = None,
    classes: str | None = None,
    one_category: bool = False,
    strict: bool = False,
) -> tuple[Dataset, Dataset | None]:
    """The split to score (default: test, else val, else all there is) and the one to fit on (default: train, if any).

    `strict` is as for `read_data`. Nothing is fitted where all images are scored. Raises UsageError for a split that
    does not exist, or when both would have images in common.
    """
    there = splits(data)
    test = split or split_named(there, "test", "val", "valid", "validation")
    if there and test is None:
        raise UsageError(f"{data} has the splits {', '.join(there)}, neither test nor val. Choose one with --split.")
    scored = (test or "").lower()
    train = split_named(there, "train") if scored not in ("train", EVERYTHING) else None
    other = None if fit == "none" else fit or train
    if other is not None and (other.lower() in (scored, EVERYTHING) or scored == EVERYTHING):
        raise UsageError(
            f"{test or 'All images'} cannot be scored with a threshold fitted on {other}: they have images in common. "
            "Choose another --fit, or none."
        )

    def chosen(name: str | None) -> Dataset:
        return restricted(read_data(data, name, strict=strict), classes, one_category=one_category)

    return chosen(test), None if other is None else chosen(other)


def split_named(there: list[str], *names: str) -> str | None:
    """The first of `names` that is among the splits, as it is written there; None if none is."""
    return next((split for name in names for split in there if split.lower() == name), None)


def restricted(dataset: Dataset, classes: str | None, *, one_category: bool = False) -> Dataset:
    """Only the named classes, and all of them as one category if asked for.

    `classes` are names separated by commas, in double quotes where a name has a comma, or a group of the catalogue.
    """
    if classes:
        (named,) = csv.reader([classes], skipinitialspace=True)
        # CIFAR-10 has a class called bird, which is no group of others; who has no class of a group meant a name.
        there = set(dataset.classes)
        group = GROUPS.get(classes, ()) if classes not in there and there & {*GROUPS.get(classes, ())} else ()
        dataset = select(dataset, list(group) or [name.strip() for name in named])
    if not one_category:
        return dataset
    alone = dataset.classes[0] if len(dataset.classes) == 1 else NO_CLASS
    name = classes if classes and classes in GROUPS else alone
    return replace(dataset, samples=[replace(sample, label=0) for sample in dataset.samples], classes=[name])


def check_labels(method: str, train: Dataset, validation: Dataset | None) -> None:
    """Raise BoxlessError for labels that `method` cannot learn from: missing, out of range, of one class only."""
    for dataset in (train,) if validation is None else (train, validation):
        _check_range(method, dataset)
    if len(train.classes) < 2:
        raise BoxlessError(
            f"{method} learns to tell classes apart, and {train.source.root} has one class. Expected two or more; "
            "for images of one category there are `boxless find` and the GANs."
        )
    seen = {sample.label for sample in train.samples}
    if empty := [name for label, name in enumerate(train.classes) if label not in seen]:
        raise BoxlessError(f"There are no training images of the class {empty[0]!r}. Add some, or remove the class.")
    if validation is not None and validation.classes != train.classes:
        other = sorted(set(validation.classes) ^ set(train.classes)) or validation.classes
        raise BoxlessError(
            f"The training and the validation images have different classes ({other[0]!r} is one of them). "
            "Expected the same class names in both."
        )


def _check_range(method: str, dataset: Dataset) -> None:
    where = f"{dataset.source.root}{f', split {dataset.split}' if dataset.split else ''}"
    labels = [sample.label for sample in dataset.samples]
    if not labels:
        raise BoxlessError(f"There are no images in {where}. Expected one folder of images for each class.")
    if without := sum(label is None for label in labels):
        raise BoxlessError(
            f"{method} learns from class labels, and {without} of the {len(labels)} images in {where} have none. "
            "Put them into one folder per class, or use `boxless find`, which needs no labels."
        )
    if wrong := [label for label in labels if label is not None and not 0 <= label < len(dataset.classes)]:
        raise BoxlessError(
            f"An image in {where} has the label {wrong[0]}, and there are {len(dataset.classes)} class names. "
            "Expected labels that count them from 0."
        )


def joined(parts: Sequence[Dataset]) -> Dataset:
    """The samples of all parts, sorted by name, under the union of their classes; one part is returned as it is.

    Raises UsageError for parts that have an image of the same name.
    """
    if len(parts) == 1:
        return parts[0]
    classes, samples = union(parts)
    seen: set[str] = set()
    for sample in samples:
        if sample.name in seen:
            roots = ", ".join(str(part.source.root) for part in parts)
            raise UsageError(f"Two of {roots} have an image {sample.name}. Expected parts without common images.")
        seen.add(sample.name)
    source = JoinedSource([(part.source, [sample.name for sample in part.samples]) for part in parts])
    depths = dict.fromkeys((part.depth, part.value_range) for part in parts)
    depth, value_range = (" ".join(filter(None, words)) for words in zip(*depths, strict=True))
    ordered = sorted(samples, key=lambda sample: sample.name)
    return Dataset(source, ordered, classes, parts[0].split, depth=depth, value_range=value_range)
