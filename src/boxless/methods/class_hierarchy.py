"""Which family each class belongs to, and which order each family: from a csv file, or from the names of the classes.

It is found once, when training begins, and kept as a text of whole numbers, the families of all classes and their
orders: "0 0 1 1 / 0 0 0 0". A checkpoint then needs neither the file nor the rule again.

    derived     the last word of a name is the family, as in 001.Black_footed_Albatross; no orders are known, so that
                the families stand for them. Names that give one family, or each class its own, count as none.
    none        each class is a family of its own
    a path      csv with the columns class and parent, and root where there are orders; rows of other classes are
                passed over, so that one file serves every part of a data set
"""

import csv
import logging
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from boxless.runtime.errors import BoxlessError, UsageError

log = logging.getLogger("boxless")

_RESOLVED = re.compile(r"\d+( \d+)* / \d+( \d+)*")


class Hierarchy(NamedTuple):
    """The number of the family and of the order of each class, both counted from 0."""

    parents: tuple[int, ...]
    roots: tuple[int, ...]


def resolved(hierarchy: str, classes: Sequence[str]) -> str:
    """What the option says, for these classes -> the text of numbers (a text of numbers stays).

    Raises UsageError for numbers of other classes, BoxlessError for a file that is missing or does not fit the classes.
    """
    if _RESOLVED.fullmatch(hierarchy):
        parsed(hierarchy, len(classes))
        return hierarchy
    if hierarchy == "none":
        return _text(classes, classes)
    if hierarchy == "derived":
        families = [_last_word(name) for name in classes]
        if not 1 < len(set(families)) < len(classes):
            log.warning("The names of the classes show no families: each class is taken for one of its own.")
            families = list(classes)
        return _text(families, families)
    rows = _read(Path(hierarchy))
    parents, roots = zip(*(_row_of(name, rows, hierarchy) for name in classes), strict=True)
    _refuse_one("parent", parents, hierarchy)
    if any(parent != root for parent, root in zip(parents, roots, strict=True)):
        _refuse_one("root", roots, hierarchy)
    _refuse_divided(parents, roots, hierarchy)
    return _text(parents, roots)


def parsed(text: str, classes: int) -> Hierarchy:
    """The text of numbers -> a hierarchy of `classes` classes; what was not resolved by their names is none.

    Raises UsageError for numbers of another count of classes, and for a path: the names are not known here.
    """
    if text in ("derived", "none"):
        return Hierarchy(tuple(range(classes)), tuple(range(classes)))
    if not _RESOLVED.fullmatch(text):
        raise UsageError(
            f"hierarchy is {text!r}, which is read when training begins. Expected derived, none or numbers."
        )
    parents, roots = (tuple(map(int, part.split())) for part in text.split(" / "))
    if len(parents) != classes or len(roots) != classes:
        raise UsageError(
            f"hierarchy has {len(parents)} families and {len(roots)} orders, and there are {classes} classes."
        )
    return Hierarchy(parents, roots)


def _text(parents: Sequence[str], roots: Sequence[str]) -> str:
    return " / ".join(" ".join(map(str, _numbered(names))) for names in (parents, roots))


def _numbered(names: Sequence[str]) -> list[int]:
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return [order[name] for name in names]


def _last_word(name: str) -> str:
    words = re.split(r"[\W_]+", name.strip().lower())
    return next((word for word in reversed(words) if word), name)


def _read(path: Path) -> dict[str, tuple[str, str]]:
    """Class -> its parent and root; the parent stands for a root that the file does not have."""
    if not path.is_file():
        raise BoxlessError(f"There is no hierarchy {path}. Expected derived, none, or a csv of class, parent and root.")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BoxlessError(f"{path} is not UTF-8 text. Save it as UTF-8.") from error
    reader = csv.DictReader(lines)
    columns = reader.fieldnames or []
    if missing := [name for name in ("class", "parent") if name not in columns]:
        raise BoxlessError(
            f"{path} has no column {missing[0]!r}. Expected the header class,parent or class,parent,root."
        )
    found: dict[str, tuple[str, str]] = {}
    for number, row in enumerate(reader, 2):
        name, parent, root = (_cell(row, column) for column in ("class", "parent", "root"))
        if not name or not parent or (not root and "root" in columns):
            raise BoxlessError(
                f"{path}, line {number}: a value is missing. Expected one for each of {', '.join(columns)}."
            )
        entry = (parent, root or parent)
        if found.setdefault(name, entry) != entry:
            raise BoxlessError(
                f"{path}, line {number}: the class {name!r} stands in the file twice, with two families."
            )
    return found


def _cell(row: Mapping[str, str | None], column: str) -> str:
    return (row.get(column) or "").strip()


def _row_of(name: str, rows: Mapping[str, tuple[str, str]], path: str) -> tuple[str, str]:
    if name in rows:
        return rows[name]
    near = get_close_matches(name, rows, n=1)
    hint = f"It has {near[0]!r}." if near else "Expected a row for every class of the data set."
    raise BoxlessError(f"{path} has no row for the class {name!r}. {hint}")


def _refuse_one(column: str, names: Sequence[str], path: str) -> None:
    if len(set(names)) == 1:
        rest = "leave the column out" if column == "root" else "choose none"
        raise BoxlessError(
            f"{path}: all classes have the {column} {names[0]!r}, and to tell one thing from nothing teaches nothing. "
            f"Name two or more, or {rest}."
        )


def _refuse_divided(parents: Sequence[str], roots: Sequence[str], path: str) -> None:
    under: dict[str, str] = {}
    for parent, root in zip(parents, roots, strict=True):
        if under.setdefault(parent, root) != root:
            raise BoxlessError(f"{path}: the family {parent!r} is in two orders, {under[parent]!r} and {root!r}.")
