"""One annotation file per picture, in the picture's sub-folder and under its name: what VOC and YOLO share."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path, PurePosixPath


def create(folder: Path, name: str, suffix: str, content: str) -> PurePosixPath:
    """Write `content` for the picture `name` and return the new file's path under `folder`, without `suffix`.

    a.jpg becomes a.xml; where that is taken, because a.png came before, it becomes a.jpg.xml. `folder` starts empty.
    """
    for stem in _stems(PurePosixPath(name)):
        path = folder / f"{stem}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(content)
        except FileExistsError:
            continue
        return stem
    raise AssertionError("the stems do not end")


def _stems(picture: PurePosixPath) -> Iterator[PurePosixPath]:
    yield picture.with_suffix("")
    yield picture
    for number in count(2):
        yield picture.with_name(f"{picture.name}-{number}")
