"""A grid of trials, run one after the other in the order given, within given minutes, and the page of their results.

A finished trial leaves NAME.json in the results folder and is never run again; a trial that the end of the minutes or a
kill stopped leaves none and is taken up again by the next call. What a trial has done so far is its own affair (its run
folder).
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from boxless.runtime.device_options import current_names
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.files import write_json, write_text_atomic
from boxless.runtime.provenance import provenance


@runtime_checkable
class Named(Protocol):
    """Whatever a grid is made of; the name is that of its file."""

    @property
    def name(self) -> str:
        """Unique in the grid, and fit for a file name."""
        ...


AnyTrial = TypeVar("AnyTrial", bound=Named)
Result = dict[str, Any]


class TimeBudget:
    """How many of the given minutes are left."""

    def __init__(self, minutes: float | None = None) -> None:
        if minutes is not None and minutes <= 0:
            raise UsageError(f"The minutes are {minutes}; expected more than 0, or none for no limit.")
        self.end = None if minutes is None else time.monotonic() + 60 * minutes

    @property
    def left(self) -> float | None:
        """Minutes until the end, above 0 until it has come; None without a limit."""
        return None if self.end is None else (self.end - time.monotonic()) / 60

    @property
    def over(self) -> bool:
        """Whether the minutes are used."""
        return self.left is not None and self.left <= 0


def run_grid(
    trials: Sequence[AnyTrial],
    run: Callable[[AnyTrial, TimeBudget], Result | None],
    folder: Path,
    settings: Mapping[str, Any],
    budget: TimeBudget,
    page: Callable[[dict[str, Result]], str],
    path: Path,
    *,
    complete: Callable[[Result], bool] = lambda result: True,
) -> str:
    """Run every trial that has no result in `folder` yet, while minutes are left -> the page of all results.

    `run` returns None when the minutes ended. A result that is not `complete` does not count, and is made anew. A trial
    that cannot be run (BoxlessError) leaves the reason as its result. The page is also written to `path`, after Ctrl-C
    too. Raises UsageError when the folder holds results of other `settings`, BoxlessError when no file can be written.
    """

    def there() -> dict[str, Result]:
        return {name: one for name, one in results(trials, folder, settings).items() if complete(one)}

    done = there()
    try:
        for trial in trials:
            if budget.over:
                break
            if trial.name in done:
                continue
            try:
                result = run(trial, budget)
            except UsageError:
                raise
            except BoxlessError as error:
                result = {"failed": str(error)}
            if result is not None:
                content = {"cell": trial.name, "settings": dict(settings), **provenance(), "result": result}
                write_json(folder / f"{trial.name}.json", content)
    finally:
        text = page(there())
        write_text_atomic(path, [text], "the page")
    return text


def results(trials: Sequence[Named], folder: Path, settings: Mapping[str, Any]) -> dict[str, Result]:
    """The results that the folder holds, by the trials' names; raises as `run_grid` does."""
    found: dict[str, Result] = {}
    for trial in trials:
        path = folder / f"{trial.name}.json"
        if not path.exists():
            continue
        content = stored(path)
        if differs := _difference(content["settings"], settings):
            raise UsageError(f"{path} was made with other settings ({differs}). Use those, or choose another --out.")
        found[trial.name] = content["result"]
    return found


def failures(results: Mapping[str, Result]) -> list[str]:
    """A line for each trial that could not be run."""
    return [f"Failed: {name}: {result['failed']}" for name, result in results.items() if "failed" in result]


def stored(path: Path) -> dict[str, Any]:
    """What a trial's json holds: name, settings, provenance and result; raises BoxlessError for another file."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        content["settings"], content["result"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BoxlessError(f"{path} is no result of a trial ({error!r}). Delete it to run the trial again.") from error
    return content


def _difference(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """The settings that differ, in words; what another version does not say cannot be compared."""
    theirs, ours = (current_names({**settings, **settings.get("training", {})}) for settings in (stored, asked))
    names = sorted((theirs.keys() & ours.keys()) - {"training"})
    return ", ".join(f"{name} {theirs[name]}, now {ours[name]}" for name in names if theirs[name] != ours[name])
