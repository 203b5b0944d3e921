"""The options of a method: the keyword-only arguments of its constructor, read from its source without torch."""

from collections.abc import Mapping
from typing import Any

from boxless.methods import TRAINED
from boxless.runtime.class_source import Option, class_options
from boxless.runtime.errors import UsageError


def method_options(name: str) -> tuple[Option, ...]:
    """The options of the method called `name`, in the order of its constructor; raises KeyError for unknown names."""
    return class_options(TRAINED[name])


def resolve_options(name: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of a method: the chosen values, and the defaults of the others.

    Raises UsageError for an option that the method does not have, or for a method that does not exist.
    """
    if name not in TRAINED:
        raise UsageError(f"There is no method {name!r}. Choose from: {', '.join(TRAINED)}.")
    known = {option.name: option.default for option in method_options(name)}
    for option in chosen:
        if option not in known:
            raise UsageError(f"{name} has no option {option!r}. It has: {', '.join(known) or 'none'}.")
    return known | dict(chosen)
