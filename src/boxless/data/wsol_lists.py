"""The lists of wsolevaluation (Choe et al., CVPR 2020) -> samples: one folder of four text files for each split.

    image_ids.txt       name
    class_labels.txt    name,label
    image_sizes.txt     name,width,height       (optional)
    localization.txt    name,x0,y0,x1,y1        (optional; several lines for an image)

x1 and y1 mean two things there. In the lists of CUB-200-2011 they are x0 + width, which is half-open; in those of
ILSVRC they are the last pixel, counted from 0. Nothing in the files says which: images that are called ILSVRC2012_...
are taken to be the second kind, all others the first.
"""

from collections import defaultdict
from pathlib import Path, PurePosixPath

from boxless.data.annotations import (
    Size,
    annotated,
    class_number,
    numbers,
    rows_of,
    source_holding,
    whole,
)
from boxless.data.dataset import Dataset, WrittenBox
from boxless.data.file_names import SPLITS
from boxless.data.rows import AbsentImageError, Rows, present
from boxless.data.sources import FolderSource
from boxless.runtime.errors import BoxlessError, brief

IDS, LABELS, SIZES, BOXES = "image_ids.txt", "class_labels.txt", "image_sizes.txt", "localization.txt"


def read_wsol_lists(folder: Path, images: Path | None = None) -> Dataset:
    """What `parse_wsol_lists` gives, with the images: under `images`, or in one of the folders beside or above."""
    dataset = parse_wsol_lists(folder)
    places = (
        [images]
        if images
        else [part for up in (folder, *folder.absolute().parents[:3]) for part in (up, up / "images")]
    )
    names = _names(folder)
    return present(dataset, source_holding(list(names), places, f"{IDS} in {folder}"), names)


def parse_wsol_lists(folder: Path) -> Dataset:
    """The images of one split's lists, without looking for them, with labels, sizes and boxes as written.

    A class is called like the folder of its images where each has one of its own, in this split or in one beside it,
    and by its number otherwise: the labels of all splits are the same. Raises BoxlessError for a malformed line, naming
    it, and for masks (OpenImages) in the place of boxes.
    """
    lists = FolderSource(folder)
    names = _names(folder)
    labels = {
        name: class_number(values[0], where) for name, (where, values) in _by_name(lists, LABELS, 2, names).items()
    }
    unlabelled = next((name for name in names if name not in labels), None)
    if unlabelled is not None:
        raise BoxlessError(f"{names[unlabelled]} names {brief(unlabelled, 200)}, for which {LABELS} has no label.")
    rows = Rows()
    sizes, boxes = _sizes(lists, names, rows), _boxes(lists, names, rows)
    samples = [annotated(name, labels[name], boxes[name], sizes.get(name)) for name in names]
    return rows.noted_in(Dataset(lists, samples, _class_names(folder, labels)))


def _names(folder: Path) -> dict[str, str]:
    """Every image of the list, and its line."""
    names = {values[0]: where for where, values in rows_of(FolderSource(folder), IDS, 1, ",")}
    if not names:
        raise BoxlessError(f"{IDS} in {folder} is empty. Expected the name of an image in every line.")
    return names


def _by_name(lists: FolderSource, file: str, columns: int, names: dict[str, str]) -> dict[str, tuple[str, list[str]]]:
    """The line of every image in a list with one line per image: name -> (where, the values after the name)."""
    found = {values[0]: (where, values[1:]) for where, values in rows_of(lists, file, columns, ",")}
    for name, (where, _) in found.items():
        if name not in names:
            raise BoxlessError(f"{where} names the image {brief(name, 200)}, which is not in {IDS}.")
    return found


def _sizes(lists: FolderSource, names: dict[str, str], rows: Rows) -> dict[str, Size]:
    if not (lists.root / SIZES).is_file():
        return {}
    found = {}
    for name, (where, values) in _by_name(lists, SIZES, 3, names).items():
        with rows.row():
            width, height = whole(values[:2], where)
            found[name] = (width, height)
    return found


def _boxes(lists: FolderSource, names: dict[str, str], rows: Rows) -> dict[str, list[WrittenBox]]:
    boxes: dict[str, list[WrittenBox]] = defaultdict(list)
    if not (lists.root / BOXES).is_file():
        return boxes
    for where, values in rows_of(lists, BOXES, 1, ","):
        with rows.row():
            if len(values) != 5:
                raise BoxlessError(
                    f"{where}: expected name,x0,y0,x1,y1, found {brief(','.join(values))}. Masks are not read."
                )
            if values[0] not in names:
                raise AbsentImageError(where, values[0], IDS)
            x0, y0, x1, y1 = numbers(values[1:], where)
            beyond = 1 if "ILSVRC2012_" in values[0] else 0
            boxes[values[0]].append(WrittenBox((x0, y0, x1 + beyond, y1 + beyond), where))
    return boxes


def _class_names(folder: Path, labels: dict[str, int]) -> list[str]:
    count = max(labels.values()) + 1
    beside = [folder.parent / split for split in SPLITS if split != folder.name] if folder.name in SPLITS else []
    for one in (labels, *(_labels_of(other) for other in beside if (other / LABELS).is_file())):
        if len(names := _names_of_folders(one)) >= count:
            return names
    return [str(label) for label in range(count)]


def _labels_of(folder: Path) -> dict[str, int]:
    """The labels of another split; none where they cannot be read, which whoever reads that one says."""
    try:
        rows = rows_of(FolderSource(folder), LABELS, 2, ",")
        return {values[0]: class_number(values[1], where) for where, values in rows}
    except (BoxlessError, OSError):
        return {}


def _names_of_folders(labels: dict[str, int]) -> list[str]:
    """The folder of each class's images, where each class has one of its own that is not called like its number."""
    if not labels:
        return []
    folders: dict[int, set[str]] = defaultdict(set)
    for name, label in labels.items():
        folders[label].add(PurePosixPath(name).parent.name)
    own = [next(iter(folders[label])) if len(folders[label]) == 1 else "" for label in range(max(labels.values()) + 1)]
    numbers_alone = all(name == str(label) for label, name in enumerate(own))
    return own if all(own) and len(set(own)) == len(own) and not numbers_alone else []
