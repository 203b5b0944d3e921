"""Whether the other processes of a task still live: when one is killed, all end with a sentence, and within seconds.

A process may work for an hour before it next needs the others, and would wait for them for days. So the first process
has a connection to each of the others over which nothing is said but a farewell; the kernel closes it with its process.
"""

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from torch import distributed

from boxless.runtime.errors import BoxlessError

log = logging.getLogger(__name__)

FAREWELL = b"."
CONNECTING = 20.0
"""Seconds for which the processes wait for each other's connections; without them each goes on unwatched."""
PATIENCE = 15.0
"""Seconds that the main thread has to end by itself; it may be inside a call that no signal interrupts."""
SENTENCE = (
    "Another process of this task has ended, killed or by a fault that it names itself, and this one ends with it. "
    "What was saved stays: go on with --resume."
)


@contextmanager
def watched(rank: int, world: int) -> Iterator[None]:
    """Inside, the end of another process ends this one: raises BoxlessError, or exits where that takes too long."""
    if world == 1:
        yield
        return
    connections = _connected(rank, world)
    watch = _Watch()
    for thread in threading.enumerate():
        if thread.name == "child-process-observer":  # Fabric's, which would kill this process without a word
            vars(thread)["_child_processes"] = []
    try:
        for connection in connections:
            threading.Thread(target=watch.wait, args=(connection,), daemon=True).start()
        yield
        _part(connections)
        watch.leave()  # in here, so that an interrupt which was on its way is caught below
    except BoxlessError:  # which all of them raise
        with suppress(KeyboardInterrupt):
            _part(connections)
            watch.leave()
        raise
    except KeyboardInterrupt as error:
        if watch.killed.is_set():
            raise BoxlessError(SENTENCE) from error
        _part(connections)  # Ctrl-C goes to all of them, and the first one may be saving
        raise
    except Exception as error:
        if watch.explains():
            raise BoxlessError(SENTENCE) from error
        raise
    finally:
        watch.left.set()
        for connection in connections:
            connection.close()


class _Watch:
    """What is known of the others, and whether this one still works with them."""

    def __init__(self) -> None:
        self.killed, self.left = threading.Event(), threading.Event()
        self._deciding = threading.Lock()

    def leave(self) -> None:
        """From now on nobody's end is of interest; whoever ended before has interrupted the main thread."""
        with self._deciding:
            self.left.set()

    def explains(self) -> bool:
        """Whether another one has ended: a collective fails as soon as one has, perhaps before its thread knows why."""
        with suppress(KeyboardInterrupt):
            self.killed.wait(1)
            self.leave()
        return self.killed.is_set()

    def wait(self, connection: socket.socket) -> None:
        """Until the process at the other end is gone, or this one has left; one without a farewell ends this one."""
        try:
            parted = connection.recv(1) == FAREWELL
        except OSError:
            parted = False
        if parted:
            return
        with self._deciding:
            if self.left.is_set():
                return
            self.killed.set()
            main = threading.main_thread().ident
            if main is not None:
                signal.pthread_kill(main, signal.SIGINT)
        if not self.left.wait(PATIENCE):
            log.error("boxless: %s", SENTENCE)
            os._exit(1)


def _connected(rank: int, world: int) -> list[socket.socket]:
    """The connections of the first process to all others, or of another one to the first."""
    connections: list[socket.socket] = []
    with suppress(OSError):
        if rank:
            port, token = _broadcast(None)
            one = socket.create_connection((os.environ["MASTER_ADDR"], port), CONNECTING)
            one.sendall(token)
            return [_patient(one)]
        with socket.socket() as listening:
            listening.bind(("", 0))
            listening.listen(world)
            listening.settimeout(CONNECTING)
            token = secrets.token_bytes(16)
            _broadcast((listening.getsockname()[1], token))
            while len(connections) < world - 1:
                one, _ = listening.accept()
                one.settimeout(CONNECTING)
                if one.recv(len(token), socket.MSG_WAITALL) == token:
                    connections.append(_patient(one))
    return connections


def _broadcast(said: tuple[int, bytes] | None) -> tuple[int, bytes]:
    """What the first process says, in all of them."""
    content = [said]
    distributed.broadcast_object_list(content, src=0)
    assert content[0] is not None
    return content[0]


def _patient(connection: socket.socket) -> socket.socket:
    """A connection that may be silent for days, and that notices a machine that is gone."""
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


def _part(connections: list[socket.socket]) -> None:
    for connection in connections:
        with suppress(OSError):
            connection.sendall(FAREWELL)
