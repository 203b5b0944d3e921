"""A case of the corpus of malformed data: some files, the path that a user would name, and the file at fault."""

from collections.abc import Callable
from dataclasses import dataclass, field

Bytes = bytes | Callable[[], bytes]
"""The content of a file, or what makes it: a bomb is only made when it is its turn."""


@dataclass(frozen=True, slots=True)
class Case:
    """One malformed image or annotation file, among files that are fine."""

    name: str
    culprit: str
    """The file that a message has to name."""
    files: dict[str, Bytes] = field(repr=False)
    data: str = ""
    """What of it is given to boxless: nothing for the folder itself, or one file in it."""
    reader: str = "data"
    """data: images with their annotations; whole: the same at full size; truth: annotations alone; maps: heat maps."""
    refuse: bool = False
    """Whether it must be refused or skipped; otherwise it may also be read, since not all damage makes a file wrong."""
    heavy: bool = False
    """Whether it takes seconds to make or to read; left out of the test suite."""
