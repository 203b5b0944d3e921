"""The end of another process at any moment: this one ends with the sentence, or had left, and never otherwise."""

import random
import socket
import threading
import time

import pytest

from boxless.runtime import peers
from boxless.runtime.errors import BoxlessError


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """The other process's end of the connection."""
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(peers, "_connected", lambda rank, world: [ours])
    return theirs


@pytest.mark.parametrize("seed", range(60))
def test_an_end_without_a_farewell_while_this_one_leaves(seed: int, other: socket.socket) -> None:
    late = random.Random(seed).uniform(0, 3e-4)
    closing = threading.Timer(late, other.close)
    ended = ""
    closing.start()
    try:
        with peers.watched(0, 2):
            time.sleep(1e-4)
    except BoxlessError as error:
        ended = str(error)
    closing.join()
    time.sleep(0.005)  # an interrupt that came too late would be raised here, as nobody's
    assert ended in ("", peers.SENTENCE)


def test_a_fault_after_the_other_one_s_farewell_is_called_by_its_own_name(other: socket.socket) -> None:
    with pytest.raises(OSError, match="disk"), peers.watched(0, 2):
        other.sendall(peers.FAREWELL)
        other.close()
        time.sleep(0.05)
        raise OSError("the disk is full")


def test_a_fault_that_the_other_one_s_end_explains_is_called_that(other: socket.socket) -> None:
    with pytest.raises(BoxlessError, match="Another process of this task has ended"), peers.watched(0, 2):
        other.close()
        raise RuntimeError("a collective failed")
