"""boxless commands in processes of their own, forked from one that has loaded everything: they begin at once."""

import os
import signal
import sys
import time
import traceback
from pathlib import Path

import torch

from boxless.cli import app

torch.set_num_threads(1)


def begin(arguments: list[str], log: Path) -> int:
    """Start `boxless ARGUMENTS` with its output added to `log`; returns the process."""
    child = os.fork()
    if child:
        return child
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    out = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    code = 1
    try:
        app.meta([*map(str, arguments)])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def end(child: int, after: float | None = None, number: int = signal.SIGKILL) -> int:
    """The exit code of a child, sent the signal `number` when it is not done `after` so many seconds; -9 if killed."""
    waited = time.monotonic()
    while after is not None:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - waited >= after:
            os.kill(child, number)
            break
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
