"""What boxless says when it cannot go on: one sentence, and the exit code that belongs to it."""


class BoxlessError(Exception):
    """Work that cannot be done: what was found, what was expected, what to do. The command line exits with 1."""

    exit_code = 1
    reported_elsewhere = False
    """Whether another process of the same task says it, so that this one need not."""


class UsageError(BoxlessError):
    """A wrong request, seen before any work was begun. The command line exits with 2."""

    exit_code = 2


class BrokenImageError(BoxlessError):
    """One image that cannot be read; it is named, skipped and counted, and the others are done."""


def number_of(count: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 box, 2 boxes; without `many`, one with an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def brief(value: object, length: int = 60) -> str:
    """A value as an error message quotes it: escaped, and cut off where it is long."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}... ({len(text)} characters)"
