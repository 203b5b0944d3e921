"""Disjoint sets as links from each member towards one that stands for its set; compiled, for use in compiled code."""

from typing import no_type_check

from numba import njit


@njit(nogil=True, cache=True)
@no_type_check
def find_root(link, member):
    """The member that stands for the set of `member`; halves the way there for the next call (Tarjan and van Leeuwen).

    `link` holds for each member the next on the way, and itself at the end. Two sets become one when one root is linked
    to the other.
    """
    while link[member] != member:
        link[member] = link[link[member]]
        member = link[member]
    return member
