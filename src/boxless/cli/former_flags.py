"""Command lines of the version before: read for one more version, with a note."""

from collections.abc import Sequence

from boxless.runtime.device_options import FORMER_NAMES, FORMER_VALUES


def current_spelling(tokens: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a command line, flags as they are called today, and a note for each that was called otherwise."""
    words: list[str] = []
    for token in tokens:
        name, equals, value = token.partition("=")
        before = words[-1] if words else ""
        if name.startswith("--"):
            name = f"--{FORMER_NAMES.get(name[2:], name[2:])}"
            words.append(name + equals + FORMER_VALUES.get(name[2:], {}).get(value, value))
        else:
            words.append(FORMER_VALUES.get(before.removeprefix("--"), {}).get(token, token))
    changed = [(old, new) for old, new in zip(tokens, words, strict=True) if old != new]
    return words, [f"{old} is now {new}; the old word will not be known to the next version." for old, new in changed]
