"""Whether a data set can train a classifier, said in one sentence where it cannot."""

from boxless.data.sample import Dataset
from boxless.errors import BoxlessError


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
