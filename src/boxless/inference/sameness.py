"""Whether the images of a category are one picture again and again, in which a method finds nothing that they share."""

import numpy as np
from jaxtyping import UInt8

NOISE = 2.0
"""Mean difference, in 256 levels, up to which two pictures are the same one: what saving a JPEG again leaves."""


class Sameness:
    """The pictures of a category so far, of which the first is kept."""

    def __init__(self) -> None:
        self.count, self.same = 0, True

    def add(self, pictures: UInt8[np.ndarray, "batch h w 3"]) -> None:
        """Take in a batch; once two pictures differ, no other is looked at."""
        if not self.count:
            self.first = pictures[0].astype(np.int16)
        self.count += len(pictures)
        if self.same:
            self.same = all(float(np.abs(one - self.first).mean()) <= NOISE for one in pictures)

    def words(self) -> str:
        """That all are the same, in a sentence without its full stop; empty where they are not."""
        if not self.same or self.count < 2:
            return ""
        return (
            f"its {self.count} images are all the same picture, and nothing tells what they share from the rest; give "
            "different photographs"
        )
