"""Which pictures are nearly the same: a fingerprint of 128 bits for each, and all pairs that differ in few of them.

The fingerprint says of an 8 x 8 grid whether it gets lighter to the right and downwards (difference hash, N. Krawetz,
"Kind of Like That", 2013, in both directions). Recompressed, resized and slightly brightened copies differ in a few
bits, other pictures in dozens; a copy that is cropped by a twentieth or mirrored is another picture. Small things of
one shape on an even ground differ in few bits too, and are then called alike.
"""

from collections import defaultdict
from typing import no_type_check

import cv2
import numpy as np
from jaxtyping import UInt8
from numba import njit

from boxless.runtime.union_find import find_root

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


@njit(nogil=True, cache=True)
@no_type_check
def _ones(word):
    """How many bits of 64 are set: the usual sums in parallel, which compilers know as one instruction."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit(nogil=True, cache=True)
@no_type_check
def _joined(halves, weights):
    """Prints as two halves of 64 bits, in the order of their number of ones -> the group of each.

    Every pair is compared whose numbers of ones are within NEAR, in a few nanoseconds each. An index over parts of the
    bits is faster for most pictures and hopeless for those of things on white, which share most bits.
    """
    joined = np.arange(len(halves))
    for one in range(len(halves)):
        for other in range(one + 1, len(halves)):
            if weights[other] - weights[one] > NEAR:
                break
            if _ones(halves[one, 0] ^ halves[other, 0]) + _ones(halves[one, 1] ^ halves[other, 1]) <= NEAR:
                joined[find_root(joined, one)] = find_root(joined, other)
    for index in range(len(halves)):
        joined[index] = find_root(joined, index)
    return joined


def near_duplicate_groups(prints: Prints) -> list[list[int]]:
    """The groups of two and more pictures, by index, that a chain of pairs within NEAR bits joins."""
    unique, first = np.unique(prints, axis=0, return_inverse=True)
    halves = np.ascontiguousarray(unique).view(np.uint64).reshape(-1, 2)
    weights = np.bitwise_count(halves).sum(axis=1)
    order = np.argsort(weights, kind="stable")
    roots = np.empty(len(unique), np.int64)
    roots[order] = _joined(halves[order], weights[order].astype(np.int64))
    groups = defaultdict(list)
    for index, place in enumerate(first.reshape(-1).tolist()):
        groups[int(roots[place])].append(index)
    return [group for group in groups.values() if len(group) > 1]
