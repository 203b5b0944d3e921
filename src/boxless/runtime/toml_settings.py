"""Typed settings as TOML: written with every value, read back with unknown keys and wrong types refused."""

import json
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from boxless.runtime.errors import BoxlessError, UsageError

LARGEST_SIDE = 4096
"""Pixels beyond which the features of one image fit no machine's memory."""


def to_toml(values: Mapping[str, Any]) -> str:
    """Flat plain values as TOML lines; None is left out."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items() if value is not None)


def toml_comment(text: str) -> str:
    """A line of comment; what TOML could not hold there, such as a line break in the name of a folder, is escaped."""
    return "# " + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text) + "\n"


def read_toml(path: Path) -> dict[str, Any]:
    """What a file of settings holds; raises BoxlessError where it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BoxlessError(f"The settings {path} cannot be read: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BoxlessError(f"The settings {path} are not TOML: {error}.") from error


def read_values(path: Path, types: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a flat file, checked; raises BoxlessError or UsageError as the two do."""
    values = read_toml(path)
    check_values(values, types, str(path))
    return values


def check_values(values: Mapping[str, Any], types: Mapping[str, Any], origin: str) -> None:
    """Raise UsageError for a key that is not in `types`, or a value that is not of its type, naming the file."""
    refuse_unknown(values, list(types), origin)
    for name, value in values.items():
        if not _fits(value, types[name]):
            raise UsageError(f"{origin}: {name} is {value!r}; expected {_named(types[name])}.")


def refuse_unknown(values: Mapping[str, Any], known: list[str], origin: str) -> None:
    """Raise UsageError for a key that is not known, with the one that was meant where it is near."""
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Expected some of: {', '.join(known) or 'none'}."
            raise UsageError(f"{origin}: there is no setting {name!r}. {hint}")


def require_positive(**values: float | None) -> None:
    """Raise UsageError for a value that is 0 or less; None is no value."""
    for name, value in values.items():
        if value is not None and value <= 0:
            raise UsageError(f"{name} is {value}; expected more than 0.")


def require_side(**sides: int | None) -> None:
    """Raise UsageError for a side of images in pixels that is 0 or less, or too large for any network; None is none."""
    require_positive(**sides)
    for name, side in sides.items():
        if side is not None and side > LARGEST_SIDE:
            raise UsageError(f"{name} is {side}; expected {LARGEST_SIDE} pixels at most.")


def _fits(value: Any, wanted: Any) -> bool:
    if wanted == tuple[int, ...]:
        return isinstance(value, list | tuple) and all(type(entry) is int for entry in value)
    if get_origin(wanted) is Literal:
        return value in get_args(wanted)
    if choices := get_args(wanted):  # int | None
        return any(_fits(value, choice) for choice in choices)
    return type(value) is wanted or (wanted is float and type(value) is int)


def _named(wanted: Any) -> str:
    if wanted == tuple[int, ...]:
        return "a list of whole numbers"
    if get_origin(wanted) is Literal:
        return f"one of {', '.join(map(str, get_args(wanted)))}"
    if choices := get_args(wanted):
        return " or ".join(_named(choice) for choice in choices if choice is not NoneType)
    return str(getattr(wanted, "__name__", wanted))
