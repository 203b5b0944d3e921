"""`boxless check`: what a data set holds, before any work is done on it."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from boxless.cli import console


def check(
    data: Path,
    *,
    workers: Annotated[int, Parameter(alias="-j")] = 4,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Say in a page what a folder holds: images, classes, sizes, boxes, what is wrong with them, and what to do next.

    Broken files, duplicates and near duplicates, splits that share images, boxes that are none, classes too small for
    pairs. Every image is read once; nothing is changed. --json names every image; the page names the first few.

    Example: boxless check photos

    Parameters
    ----------
    data
        Folder or zip of images, COCO json, wsolevaluation lists, tar shards: whatever the other commands read.
    workers
        Threads that read images.
    json
        Print everything that was found as JSON.

    """
    from boxless.check_page import print_findings
    from boxless.checking import check as look
    from boxless.checking import plain

    findings = look(data, workers=workers)
    if json:
        console.result(plain(findings))
    else:
        print_findings(findings, console.out)
    return 0
