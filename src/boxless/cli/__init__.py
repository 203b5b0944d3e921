"""The command line: parse, call, print. No verb imports torch before its work begins, so that help is instant."""

import atexit
import errno
import gc
import io
import json
import logging
import os
import signal
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter

from boxless import __version__
from boxless.cli.former_flags import current_spelling
from boxless.cli.help import WrappedHelp
from boxless.runtime.errors import BoxlessError
from boxless.runtime.progress import Progress, reporting_to

app = App(
    name="boxless",
    version=__version__,
    help="Find objects in images without box annotations, and measure honestly how well.",
    help_format="plaintext",
    help_formatter=WrappedHelp(),
    suppress_keyboard_interrupt=False,
    help_epilogue="Start with `boxless demo`, or with your own photos: `boxless find PHOTOS --out found --report`.",
)

VERBS = {
    "check": ("boxless.cli.check:check", "Say what a folder holds, what is wrong with it, and what to do next."),
    "find": ("boxless.cli.find:find", "Find boxes in photos, without training and without labels."),
    "calibrate": ("boxless.cli.calibrate:calibrate", "Choose method and threshold by ten boxed photos."),
    "train": ("boxless.cli.train:app", "Train a method: CAM on labels, or a GAN on one category."),
    "predict": ("boxless.cli.predict:predict", "Find boxes in photos with a trained run."),
    "evaluate": (
        "boxless.cli.evaluate:evaluate",
        "Measure a run or a method on images with known boxes, beside controls.",
    ),
    "review": ("boxless.cli.review:review", "Accept, reject or correct boxes in the browser."),
    "score": ("boxless.cli.score:score", "Score heat maps that any program made, under published protocols."),
    "reproduce": ("boxless.cli.reproduce:app", "Rebuild a paper's table, resumably, beside controls."),
    "methods": ("boxless.cli.methods:methods", "List every method and backbone."),
    "demo": ("boxless.cli.demo:demo", "Run everything on made photographs, offline, in a few minutes."),
}
DISK = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "Free space, or choose another place."),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "Choose a place that you may write to."),
}
"""What a disk may refuse while something is written, wherever that was, and what to do."""

for _name, (_path, _help) in VERBS.items():
    app.command(_path, name=_name, help=_help)
app.register_install_completion_command(
    help="Complete commands and options with the tab key: bash, zsh or fish. Adds a line to its start-up file."
)


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run one verb.

    Parameters
    ----------
    tokens
        The verb and its arguments.
    debug
        Show the traceback of an error.
    quiet
        No progress and no notes; results and errors only.

    """
    os.environ["BOXLESS_QUIET"] = "1" if quiet else ""
    logging.basicConfig(level=logging.ERROR if quiet else logging.WARNING, format="%(message)s", stream=sys.stderr)
    words, changed = current_spelling(tokens)
    for change in [] if quiet else changed:
        print(change, file=sys.stderr)  # noqa: T201
    try:
        with reporting_to(_counting):
            result = app(words, exit_on_error=False, print_error=True, error_formatter=_panel)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has read enough, as in `boxless ... | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (Exception, KeyboardInterrupt) as error:
        if debug and not isinstance(error, CycloptsError):
            raise
        sentence, code = _verdict(error)
        if not isinstance(error, CycloptsError) and not getattr(error, "reported_elsewhere", False):
            print(f"boxless: {sentence}", file=sys.stderr)  # noqa: T201
        if "--json" in words and not getattr(error, "reported_elsewhere", False):
            print(json.dumps({"error": sentence}))  # noqa: T201
        return code
    return result if isinstance(result, int) else 0


def _verdict(error: BaseException) -> tuple[str, int]:
    """What is said of an error, in a sentence, and the exit code."""
    if isinstance(error, CycloptsError):
        return _usage_sentence(error), 2
    if isinstance(error, BoxlessError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; what was saved stays.", 130
    if isinstance(error, OSError) and error.errno in DISK:
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{place}. {DISK[error.errno]}", 1
    return (
        f"unexpected {type(error).__name__}: {error}. This is a mistake in boxless: run the command again with --debug "
        "and report the traceback.",
        1,
    )


def _usage_sentence(error: CycloptsError) -> str:
    """What cyclopts says; a missing argument is called as usage has it, and not like a flag."""
    argument = error.argument
    if not isinstance(error, MissingArgumentError) or argument is None or error.keyword or argument.tokens:
        return str(error)
    command = " ".join(["boxless", *(error.command_chain or ())])
    name = argument.name if argument.index is None else argument.name.removeprefix("--").replace("-", "_").upper()
    return f"{command} needs {name}. `{command} --help` says what it is."


def _panel(error: CycloptsError) -> object:
    from cyclopts import CycloptsPanel

    return CycloptsPanel(_usage_sentence(error))


def _counting(title: str) -> AbstractContextManager[Progress]:
    from boxless.cli import console

    return console.counting(title)


def main() -> None:
    """The console script."""
    # Threads that wait for each other should sleep, not spin: two training runs on two cores take 1.5 times as long as
    # one instead of 10 times, for 8 % on an idle machine. It must be set before torch starts its threads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What torch and its friends import, half a million objects, stays to the end. Looking through it for garbage again
    # and again, and once more before leaving, takes a quarter of a short command.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    if sys.stdout is None:  # closed by whoever called, as in `boxless ... >&-`
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is: a name may hold what the terminal cannot show
    sys.exit(app.meta())
