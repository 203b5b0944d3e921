"""What a tool made of the exports and what it wrote, as json: every script runs in its tool's environment, alone.

A script is called with the folder of photographs.make and a folder for what it writes; it leaves seen.json there.
"""

import json
import sys
import traceback
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

Box = tuple[str, float, float, float, float, float | None]
"""Class, half-open pixels and score."""


def image(file: str | Path, size: tuple[int, int] | None, boxes: Iterable[Box]) -> dict[str, Any]:
    return {"file": Path(file).as_posix(), "size": size, "boxes": [list(box) for box in boxes]}


def record(
    package: str,
    readers: dict[tuple[str, str], Callable[[Path], list[dict[str, Any]]]],
    writers: dict[tuple[str, str], Callable[[Path, Path], list[dict[str, Any]] | None]],
) -> None:
    """Run all; keys are the format and the call. A writer may say which boxes it wrote, if not the photographs'."""
    exports, out = Path(sys.argv[1]), Path(sys.argv[2])
    seen: dict[str, Any] = {"package": package, "version": version(package), "reads": [], "writes": []}
    for (format, call), read in readers.items():
        seen["reads"].append({"format": format, "call": call} | _tried(lambda read=read: {"images": read(exports)}))
    for number, ((format, call), write) in enumerate(writers.items()):
        folder = out / f"{number}"
        folder.mkdir(parents=True)
        entry = {"format": format, "call": call, "folder": folder.name}
        held = _tried(lambda write=write, folder=folder: {"images": write(exports, folder)})
        seen["writes"].append(entry | held)
    (out / "seen.json").write_text(json.dumps(seen, indent=1))


def _tried(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except Exception as error:  # whatever a tool says against the data is the result
        traceback.print_exc()
        said = " ".join(str(error.__cause__ or error).split())
        return {"refused": f"{type(error).__name__}: {said}"[:300]}
