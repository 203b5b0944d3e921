"""Whether photographs are still those that were read: a few digits for each, of what `Source.state` says of its file.

A photograph that is replaced between a stop and a resumption would mix results of the old one with those of the new.
"""

import hashlib
import logging
from collections.abc import Sequence

from boxless.data.sources import Source

log = logging.getLogger(__name__)

DIGITS = 6
"""Of one photograph; two states of it have the same once in 16 million."""


def marks(source: Source, names: Sequence[str]) -> str:
    """DIGITS hex digits for each file, in the order of `names`."""
    return "".join(hashlib.blake2b(source.state(name).encode(), digest_size=DIGITS // 2).hexdigest() for name in names)


def changed(names: Sequence[str], before: str, now: str) -> list[str]:
    """The files whose marks differ."""
    places = (slice(place, place + DIGITS) for place in range(0, DIGITS * len(names), DIGITS))
    return [name for name, place in zip(names, places, strict=True) if before[place] != now[place]]


def warn_of_changes(names: Sequence[str], before: str, now: str) -> None:
    """Log how many photographs of a training have changed since it was stopped; without marks of then, nothing."""
    if before and (others := changed(names, before, now)):
        log.warning(
            "%d of the %d photographs were replaced since this training was stopped, such as %s. It goes on with what "
            "they are now; for one that has seen nothing else, train again into another --out.",
            *(len(others), len(names), others[0]),
        )
