"""What a method without labels noticed about a category, as plain values: how it chose, and by which signs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sign:
    """A number that the images of a category gave, and the limit beyond which it speaks against ddt."""

    name: str
    value: float
    limit: float
    above: bool
    """Whether it speaks against ddt above the limit, or below."""
    low: float = 0.0
    high: float = 1.0
    """The range that is worth drawing."""

    @property
    def against(self) -> bool:
        """Whether it speaks against ddt."""
        return self.value >= self.limit if self.above else self.value < self.limit


@dataclass(frozen=True, slots=True)
class Notes:
    """Of one category."""

    choice: str = ""
    """What was chosen and why, in words; empty where nothing is chosen."""
    chosen: str = ""
    runner_up: str = ""
    signs: tuple[Sign, ...] = ()
    mixture: str = ""
    """That the images look like two kinds of thing, in words; empty where they do not."""
    tiles: str = ""
    """How its photographs were cut into tiles, or why they were not, and the cost; empty where nothing was asked."""
    size: str = ""
    """Why its images were looked at larger than the method does by itself, and the cost; empty where they were not."""
    closer: str = ""
    """That its images were looked at closer where they have pixels, or why not; empty where nothing was asked."""
    alike: str = ""
    """That they are one picture again and again, in words; empty where they are not."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for json; none for nothing noticed."""
        return asdict(self) if self != NOTHING else {}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Notes":
        """The same back."""
        return cls(**{**content, "signs": tuple(Sign(**sign) for sign in content.get("signs", ()))})


NOTHING = Notes()
"""Of a category about which nothing was noticed."""
