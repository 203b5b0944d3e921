"""Rows of annotation files, of which each reader sets aside what cannot be; `annotations.checked` judges them alike.

A row is whatever tells of one box or one image: a line, an element, an entry, a file that lies beside its image.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from boxless.data.dataset import Dataset
from boxless.data.file_names import is_image
from boxless.data.sources import Source
from boxless.runtime.errors import BoxlessError, brief


class ContradictionError(BoxlessError):
    """Two rows of annotations that cannot both be right."""


class AbsentImageError(BoxlessError):
    """A row about an image that is not there."""

    def __init__(self, where: str, name: object, root: Path | str = "the data") -> None:
        super().__init__(f"{where} names the image {brief(name, 200)}, which is not in {root}.")
        self.name = str(name)


class Rows:
    """What is wrong with single rows; `with rows.row(split):` is around the reading of each."""

    def __init__(self) -> None:
        self.good: Counter[str] = Counter()
        """Rows that could be read, by their split."""
        self.wrong: list[tuple[str, BoxlessError]] = []
        """The others, with their split."""

    def row(self, split: str = "") -> "Row":
        """A context whose BoxlessError is kept here, so that the next row is read; without a split for all of them."""
        return Row(self, split)

    def noted_in(self, dataset: Dataset) -> Dataset:
        """The data set with what was set aside of its split, beside what it has already.

        Raises BoxlessError where rows name images that are not there, and there is no other row.
        """
        splits = {"", dataset.split} if dataset.split else {*self.good, *(split for split, _ in self.wrong)}
        wrong = [error for split, error in self.wrong if split in splits]
        absent: dict[str, str] = {}
        for error in wrong:
            if isinstance(error, AbsentImageError):
                absent.setdefault(error.name, str(error))
        if absent and not any(self.good[split] for split in splits):
            others = f" None of the {len(absent)} images that are named is there." if len(absent) > 1 else ""
            example = next(filter(is_image, dataset.source.names()), "")
            expected = f" Expected names such as {example}." if example else ""
            raise BoxlessError(next(iter(absent.values())) + others + expected)
        faults = [str(error) for error in wrong if isinstance(error, ContradictionError)]
        bad = [str(error) for error in wrong if not isinstance(error, ContradictionError | AbsentImageError)]
        return replace(
            dataset,
            faults=(*dataset.faults, *faults),
            bad_rows=(*dataset.bad_rows, *bad),
            absent={**dataset.absent, **absent},
        )


class Row:
    """The reading of one row."""

    def __init__(self, rows: Rows, split: str) -> None:
        self._rows, self._split = rows, split

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        """Count the row, or keep its BoxlessError."""
        if error is None:
            self._rows.good[self._split] += 1
        elif isinstance(error, BoxlessError):
            self._rows.wrong.append((self._split, error.with_traceback(None)))
        return isinstance(error, BoxlessError)


def present(dataset: Dataset, source: Source, where: str | Mapping[str, str]) -> Dataset:
    """The images of annotations that the source has, in it; the others are told of as absent.

    `where` is the place that names them all, or that of each. Raises BoxlessError where the source has none of them.
    """
    there, rows, kept = set(source.names()), Rows(), []
    for sample in dataset.samples:
        with rows.row():
            if sample.name not in there:
                place = where if isinstance(where, str) else where[sample.name]
                raise AbsentImageError(place, sample.name, source.root)
            kept.append(sample)
    return rows.noted_in(replace(dataset, samples=kept, source=source))
