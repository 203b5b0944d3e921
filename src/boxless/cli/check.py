"""`boxless check`: what a data set holds, before any work is done on it."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from boxless.cli import console
from boxless.data.annotations import first_of
from boxless.data.check import PAIR, PLACES, DuplicateGroup, Findings
from boxless.data.dataset import NO_CLASS
from boxless.data.file_names import hint_at_json
from boxless.data.near_duplicates import NEAR
from boxless.runtime.errors import number_of

if TYPE_CHECKING:
    from boxless.inference.preview import Preview
from boxless.runtime.toml_settings import require_positive


def check(
    data: Path,
    *,
    workers: Annotated[int, Parameter(alias="-j")] = 4,
    quick: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Say in a page what a folder holds: images, classes, sizes, boxes, what is wrong with them, and what to do next.

    First, by 64 images of each of the three largest categories: whether they look like what ImageNet knows, and what
    find would choose. Then broken files, duplicates and near duplicates, splits that share images, boxes that are none,
    classes too small for pairs. Every image is read once; nothing is changed. --json names every image; the page names
    the first few.

    Example: boxless check photos

    Parameters
    ----------
    data
        Folder or zip of images, COCO json, YOLO, Pascal VOC, tar shards ...: whatever the other commands read.
    workers
        Threads that read images.
    quick
        Do not look at the images with a network: read files alone.
    json
        Print everything that was found as JSON.

    """
    from boxless.data.check import check as look
    from boxless.data.check import plain

    require_positive(workers=workers)
    findings = look(data, workers=workers)
    seen = [] if quick or findings.unreadable or not findings.readable else _previews(data)
    if json:
        console.result(plain(findings) | {"seen by the network": [one.to_dict() for one in seen]})
        return 0
    print_findings(findings, console.out, seen)
    return 0


def _previews(path: Path) -> "list[Preview]":
    from boxless.data.folder import parse_data
    from boxless.inference.preview import CATEGORIES, SAMPLE, preview

    data = parse_data(path, "all")  # boxes that are wrong were reported, and are not looked at
    with console.counting("looking", min(len(data), CATEGORIES * SAMPLE)) as progress:
        return list(preview(data, progress))


ROWS = 30
"""Classes in the table; of more, the smallest are shown."""


def print_findings(findings: Findings, console: Console, seen: "Sequence[Preview]" = ()) -> None:
    """The page, and what the network saw."""
    for one in seen:
        for line in one.words():
            console.print(line, markup=False, highlight=False)
    for line in there_is(findings):
        console.print(line, markup=False, highlight=False)
    if findings.classes:
        console.print(_classes(findings))
    problems = list(to_look_at(findings))
    console.print("\nTo look at" if problems else "\nNothing seems wrong.", markup=False)
    for line in problems:
        console.print(f"- {line}", markup=False, highlight=False)
    console.print("\nNext", markup=False)
    chosen, closer = {one.notes.chosen for one in seen}, any(one.closer for one in seen)
    for line in next_steps(findings, chosen, closer=closer):
        console.print(f"  {line}", markup=False, highlight=False)


def there_is(findings: Findings) -> Iterator[str]:
    """Images, classes, sizes and boxes, a sentence each."""
    splits = ", ".join(f"{name} {count}" for name, count in findings.splits.items() if name)
    classes = f" in {number_of(len(findings.classes), 'class', 'classes')}" if findings.classes else ", no classes"
    yield f"{findings.path}: {number_of(findings.images, 'image')}{classes}{f'; splits: {splits}' if splits else ''}."
    if findings.layout:
        yield f"Layout: {findings.layout}."
    if findings.sizes:
        sizes = ", ".join(f"{name} {width} x {height}" for name, (width, height) in findings.sizes.items())
        yield f"Sizes in pixels: {sizes}."
    if findings.depth:
        yield findings.depth
    on = f"{findings.boxes}, on {number_of(findings.boxed, 'image')}" if findings.boxes else "none, and none are needed"
    yield f"Boxes: {on}."


def to_look_at(findings: Findings) -> Iterator[str]:
    """What is wrong or might be, with what to do about it."""
    for sentence in dict.fromkeys(findings.unreadable):
        yield f"The annotations were not read: {sentence}"
    if bad := findings.bad_rows:
        yield f"{number_of(len(bad), 'box', 'boxes')} that cannot be{LEFT_OUT}. {first_of(bad)}"
    if absent := list(findings.absent.values()):
        yield f"{number_of(len(absent), 'image')} named by annotations and not there. {first_of(absent)}"
    if twice := findings.repeated:
        yield f"{number_of(len(twice), 'box', 'boxes')} that an image has twice; each counts once. {first_of(twice)}"
    if findings.broken:
        reasons = [reason.rstrip(".") for reason in findings.broken.values()]
        yield f"{number_of(len(reasons), 'image')} cannot be read, and will be skipped: {_some(reasons, '; ')}."
    for empty, words in ((findings.flat, "one flat colour"), (findings.small, f"less than {PLACES} pixels a side")):
        if empty:
            yield f"{number_of(len(empty), 'image')} of {words}, in which there is nothing to find: {_some(empty)}."
    for kind, words in WRONG.items():
        if names := findings.wrong_boxes.get(kind):
            yield f"{number_of(len(names), 'image')} with {words}: {_some(names)}."
    yield from _alike(findings)
    if findings.unlabelled and findings.classes:
        count = number_of(findings.unlabelled, "image")
        yield f"{count} without a class beside others with one; train refuses such data, find calls them {NO_CLASS}."
    if findings.small_classes and findings.classes:
        few = findings.small_classes
        counted = number_of(len(few), "class", "classes")
        yield f"{counted} with less than {PAIR} training images, which give i2c no pair: {_some(few)}."
    if findings.unlisted:
        yield f"{number_of(findings.unlisted, 'image')} that no list of the data names, and that are not used."
    if strange := findings.strange_annotations:
        yield (
            f"{number_of(len(strange), 'file')} that {'looks' if len(strange) == 1 else 'look'} like annotations in a "
            f"layout that boxless does not know: {_some(strange)}. Boxes in them are not read; what is read: "
            f"docs/formats.md.{hint_at_json(strange, str(findings.path))}"
        )
    if findings.others:
        kinds = [f"{count} {kind}" for kind, count in findings.others.items()]
        yield f"Other files, which are ignored: {_some(kinds)}."


LEFT_OUT = ", left out and named where one in ten or fewer are so, else refused"
WRONG = {
    "empty": f"a box whose corners are swapped or equal{LEFT_OUT}; x0 < x1 and y0 < y1 are expected",
    "outside": f"a box wholly outside of the picture{LEFT_OUT}",
    "reaching out": "a box that reaches out of the picture; it is cut off at the edge",
    "stated for another size": "another size than the annotation states (turned by EXIF, or resized since?)",
    "tiny": f"a box thinner than a {PLACES}th of the picture, which is less than one place of a heat map",
}
"""Kinds of wrong boxes, the worst first, in words."""


def _alike(findings: Findings) -> Iterator[str]:
    rest = [group for group in findings.duplicates if len(group.splits) == 1 and len(group.classes) < 2]
    places = (
        (findings.overlaps, "in two splits, so that scores on one of them flatter"),
        (findings.contradictions, "in two classes"),
        (rest, "more than once"),
    )
    for exact, words in ((True, "the same file"), (False, f"nearly the same picture (within {NEAR} of 128 bits)")):
        for groups, where in places:
            if chosen := [group for group in groups if group.exact == exact]:
                shown = _some([_shown(group) for group in chosen], "; ")
                yield f"{number_of(len(chosen), 'group')} of {words} {where}: {shown}."


def next_steps(findings: Findings, chosen: Collection[str] = (), *, closer: bool = False) -> Iterator[str]:
    """The commands that make sense for this data; no method that our own tables do not put above plainer ones.

    `chosen` is what find would choose, and `closer` whether a closer look can make its boxes tighter.
    """
    path = quote(findings.path)
    if not findings.readable:
        yield "Nothing can be done before some images can be read."
        return
    yield f"boxless find {path} --out found --report"
    if closer:
        yield f"boxless find {path} --closer --out closer --report"
    trainable = [name for name, counts in findings.classes.items() if counts]
    if len(trainable) > 1 and not findings.unlabelled:
        yield f"boxless train cam {path} --out runs/cam"
    if {*chosen} != {"contrast"}:
        yield f"boxless find {path} --method contrast --out plain --report"
    if findings.boxes and not findings.unreadable and not {"empty", "outside"} & findings.wrong_boxes.keys():
        yield f"boxless evaluate auto {path}"


def _classes(findings: Findings) -> Table:
    splits = list(findings.splits)
    counts = sorted(findings.classes.items(), key=lambda item: sum(item[1].values()))
    shown = counts[:ROWS]
    title = None if len(counts) <= ROWS else f"The {ROWS} smallest of {len(counts)} classes"
    table = Table("class", *[split or "images" for split in splits], box=None, title=title)
    for name, by_split in shown if title else sorted(shown):
        table.add_row(name.replace("[", r"\["), *[str(by_split.get(split, 0)) for split in splits])
    return table


def _shown(group: DuplicateGroup) -> str:
    more = f" and {len(group.names) - 3} more" if len(group.names) > 3 else ""
    return " = ".join(group.names[:3]) + more


def _some(words: Sequence[str], between: str = ", ") -> str:
    return between.join(words[:3]) + (f"{between}and {len(words) - 3} more" if len(words) > 3 else "")
