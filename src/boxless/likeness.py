"""Which pictures are nearly the same: a fingerprint of 128 bits for each, and all pairs that differ in few of them.

The fingerprint says of an 8 x 8 grid whether it gets lighter to the right and downwards (difference hash, N. Krawetz,
"Kind of Like That", 2013, in both directions). Recompressed, resized and slightly brightened copies differ in a few
bits, other pictures in dozens; a copy that is cropped by a twentieth or mirrored is another picture.
"""

from collections import defaultdict
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Int, UInt8

NEAR = 7
"""Bits of the 128 in which two pictures may differ and still be nearly the same."""
BYTES = 16
FLAT = 3.0
"""Standard deviation of the grey values below which a picture shows nothing that could be compared."""

Prints = UInt8[np.ndarray, "n 16"]


def fingerprint(picture: UInt8[np.ndarray, "h w 3"]) -> bytes | None:
    """RGB picture -> its 16 bytes, None for one that is flat."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if grey.std() < FLAT:
        return None
    across = np.asarray(cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA))
    down = np.asarray(cv2.resize(grey, (8, 9), interpolation=cv2.INTER_AREA))
    bits = np.concatenate([np.diff(across, axis=1).ravel() > 0, np.diff(down, axis=0).ravel() > 0])
    return np.packbits(bits).tobytes()


def alike(prints: Prints) -> list[list[int]]:
    """The groups of two and more pictures, by index, that a chain of pairs within NEAR bits joins."""
    unique, first = np.unique(prints, axis=0, return_inverse=True)
    joined = list(range(len(unique)))

    def root(index: int) -> int:
        while joined[index] != index:
            joined[index] = joined[joined[index]]
            index = joined[index]
        return index

    for pairs in _near(unique):
        for one, other in pairs.tolist():
            joined[root(one)] = root(other)
    groups = defaultdict(list)
    for index, place in enumerate(first.reshape(-1).tolist()):
        groups[root(place)].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _near(unique: Prints) -> Iterator[Int[np.ndarray, "pair 2"]]:
    """All pairs within NEAR = 7 bits: of eight words of 16 bits at least one is equal, so only those are compared."""
    halves = np.ascontiguousarray(unique).view(np.uint64)
    for word in np.ascontiguousarray(unique).view(np.uint16).T:
        order = np.argsort(word, kind="stable")
        sorted_words, ahead = word[order], 1
        while len(rows := np.flatnonzero(sorted_words[ahead:] == sorted_words[:-ahead])):
            one, other = order[rows], order[rows + ahead]
            apart = np.bitwise_count(halves[one] ^ halves[other]).sum(axis=1)
            yield np.stack([one, other], axis=1)[apart <= NEAR]
            ahead += 1
