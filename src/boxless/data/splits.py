"""Which images a measurement is about: the split that is scored, and the other one that may choose thresholds."""

from dataclasses import replace
from pathlib import Path

from boxless.data.catalogue import GROUPS
from boxless.data.folder import read_data, select, splits
from boxless.data.sample import Dataset
from boxless.errors import UsageError


def splits_for(
    data: Path,
    *,
    split: str | None = None,
    fit: str | None = None,
    classes: str | None = None,
    one_category: bool = False,
) -> tuple[Dataset, Dataset | None]:
    """The split to score (default: test, else val, else all there is) and the one to fit on (default: train, if any).

    Raises UsageError for a split that does not exist, or when both would be the same images.
    """
    there = splits(data)
    test = split or split_named(there, "test", "val", "valid", "validation")
    if there and test is None:
        raise UsageError(f"{data} has the splits {', '.join(there)}, neither test nor val. Choose one with --split.")
    other = None if fit == "none" else fit or (train if (train := split_named(there, "train")) != test else None)
    if other is not None and other == test:
        raise UsageError(f"The split {test} cannot be scored with a threshold fitted on itself. Choose another --fit.")
    scored = restricted(read_data(data, test), classes, one_category=one_category)
    return scored, None if other is None else restricted(read_data(data, other), classes, one_category=one_category)


def split_named(there: list[str], *names: str) -> str | None:
    """The first of `names` that is among the splits, as it is written there; None if none is."""
    return next((split for name in names for split in there if split.lower() == name), None)


def restricted(dataset: Dataset, classes: str | None, *, one_category: bool = False) -> Dataset:
    """Only the named classes (or a group of the catalogue), and all of them as one category if asked for."""
    if classes:
        named = [name.strip() for name in classes.split(",")]
        # CIFAR-10 has a class called bird, which is no group of others.
        group = GROUPS.get(classes, ()) if classes not in dataset.classes else ()
        dataset = select(dataset, list(group) or named)
    if not one_category:
        return dataset
    name = classes if classes in GROUPS else "object"
    return replace(dataset, samples=[replace(sample, label=0) for sample in dataset.samples], classes=[str(name)])
