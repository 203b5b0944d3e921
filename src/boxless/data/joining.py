"""A data set that came in several parts, such as two zips with half of the classes each, as one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from boxless.data.sample import Dataset
from boxless.data.source import Source
from boxless.errors import BrokenImageError, UsageError


class JoinedSource:
    """Several sources under the names that their files have; it stands for the folder they would be unpacked into."""

    def __init__(self, parts: Sequence[tuple[Source, Sequence[str]]]) -> None:
        """The sources, each with the names it answers for."""
        self.root = Path("+".join(source.root.stem for source, _ in parts))
        self._holder = {name: source for source, names in parts for name in names}

    def names(self) -> list[str]:
        """The names of all parts, sorted."""
        return sorted(self._holder)

    def read(self, name: str) -> bytes:
        """The content of one file; raises BrokenImageError when no part has it or it cannot be read."""
        if name not in self._holder:
            raise BrokenImageError(f"{name} is not in {self.root}.")
        return self._holder[name].read(name)


def joined(parts: Sequence[Dataset]) -> Dataset:
    """The samples of all parts, sorted by name, under the union of their classes; one part is returned as it is.

    Raises UsageError for parts that have an image of the same name.
    """
    if len(parts) == 1:
        return parts[0]
    classes = sorted({name for part in parts for name in part.classes})
    position = {name: label for label, name in enumerate(classes)}
    samples = [
        replace(sample, label=None if sample.label is None else position[part.classes[sample.label]])
        for part in parts
        for sample in part.samples
    ]
    seen: set[str] = set()
    for sample in samples:
        if sample.name in seen:
            roots = ", ".join(str(part.source.root) for part in parts)
            raise UsageError(f"Two of {roots} have an image {sample.name}. Expected parts without common images.")
        seen.add(sample.name)
    source = JoinedSource([(part.source, [sample.name for sample in part.samples]) for part in parts])
    return Dataset(source, sorted(samples, key=lambda sample: sample.name), classes, parts[0].split)
