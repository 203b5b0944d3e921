"""The data sets of the field as their authors distribute them, and the named groups of classes that papers use.

A layout is recognised by a file that only it has. Its reader gives half-open boxes, whatever the authors wrote:
CUB-200-2011 has x y width height, counted from 0 (its smallest x is 0, its largest x + width the picture's width);
ILSVRC has the first and the last pixel counted from 0 (500 pixels are 0..499); so has Tiny ImageNet (0..63).
"""

import csv
import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from boxless.data.annotated_images import Layout, stated_size
from boxless.data.annotations import annotated, numbers, rows_of, text_of
from boxless.data.dataset import Dataset, Sample, WrittenBox
from boxless.data.file_names import is_image
from boxless.data.joining import together
from boxless.data.rows import Rows, present
from boxless.data.sources import FolderSource, place_of
from boxless.data.voc import parsed_xml
from boxless.runtime.errors import BoxlessError, BrokenImageError, brief

GROUPS = {
    "artiodactyla": ("n02410509", "n02403003", "n02415577", "n02423022", "n02437312"),
    "bottle": ("n03983396", "n02823428"),
    "bird": ("n02058221", "n02002724", "n01855672"),
    "cat": ("n02123045", "n02123394", "n02124075", "n02125311"),
    "dog": ("n02113799", "n02094433", "n02099601", "n02099712", "n02106662", "n02085620"),
    "vehicle": (
        *("n03100240", "n04146614", "n04487081", "n04285008"),
        *("n03977966", "n03796401", "n03670208", "n02814533"),
    ),
}
"""The co-localization groups of Choe, Park and Shim (arXiv 1806.00236, Table 2) on Tiny ImageNet: 500 images of each
class for training, 50 for testing."""


class Distribution(NamedTuple):
    """A data set as its authors lay it out: what it is recognised by, its splits, and what reads one of them."""

    name: str
    mark: str
    splits: tuple[str, ...]
    read: Callable[[Path, str], Dataset]


def recognise(path: Path) -> Layout | None:
    """The layout of the folder `path`, None if it is none of DISTRIBUTIONS."""
    found = next((one for one in DISTRIBUTIONS if (path / one.mark).exists()), None)
    return found and Layout(found.name, found.splits, partial(_read, found, path))


def _read(distribution: Distribution, path: Path, split: str | None) -> Dataset:
    if split:
        return distribution.read(path, split)
    return together([distribution.read(path, part) for part in distribution.splits], path)


def read_cub(root: Path, split: str) -> Dataset:
    """CUB-200-2011 (Wah et al. 2011): 200 species, 5,994 training and 5,794 test images with one box each.

    NABirds (Van Horn et al. 2015) has the same lists, with 555 species.
    """
    lists = FolderSource(root)
    names = dict(_pairs(lists, "images.txt"))
    classes = dict(_pairs(lists, "classes.txt"))
    class_of = dict(_pairs(lists, "image_class_labels.txt"))
    if stranger := next((key for key in class_of.values() if key not in classes), None):
        raise BoxlessError(f"image_class_labels.txt in {root}: the class {brief(stranger)} is not in classes.txt.")
    used = set(class_of.values())  # NABirds lists orders and families, too
    label_of = {key: label for label, key in enumerate(key for key in classes if key in used)}
    rows = Rows()
    boxes = dict[str, WrittenBox]()
    for where, values in rows_of(lists, "bounding_boxes.txt", 5, aside=rows):
        with rows.row():
            boxes[values[0]] = _corner_and_extent(values, where)
    wanted = {"train": "1", "test": "0"}[split]
    flags = _pairs(lists, "train_test_split.txt")
    if odd := next((flag for _, flag in flags if flag not in ("0", "1")), None):
        raise BoxlessError(
            f"train_test_split.txt in {root}: expected 1 for training or 0 for test, found {brief(odd)}."
        )
    chosen = [image for image, flag in flags if flag == wanted]
    for file, there in (("images.txt", names), ("image_class_labels.txt", class_of)):
        if unknown := next((image for image in chosen if image not in there), None):
            raise BoxlessError(f"{file} in {root} lacks the image {brief(unknown)} of train_test_split.txt.")
    samples = [
        annotated(f"images/{names[key]}", label_of[class_of[key]], [boxes[key]] if key in boxes else [])
        for key in chosen
    ]
    parsed = rows.noted_in(Dataset(lists, samples, [classes[key] for key in label_of], split))
    return present(parsed, lists, place_of("images.txt", lists))


def read_ilsvrc(root: Path, split: str) -> Dataset:
    """ILSVRC 2012 classification and localization (Russakovsky et al. 2015): 1,000 synsets in the order of their ids.

    Boxes are read for val alone: from the xml annotations where they are there, else from LOC_val_solution.csv.
    """
    source = FolderSource(root / "ILSVRC" / "Data" / "CLS-LOC")
    if split == "train":
        below = FolderSource(source.root / "train").names()
        names = [f"train/{name}" for name in below if "/" in name and is_image(name)]
        classes = sorted({name.split("/")[1] for name in names})
        label_of = {wnid: label for label, wnid in enumerate(classes)}
        return Dataset(source, [Sample(name, label_of[name.split("/")[1]]) for name in names], classes, split)
    places = _by_stem(source, "val/")
    annotations = root / "ILSVRC" / "Annotations" / "CLS-LOC" / "val"
    truth, rows = dict[str, ImageTruth](), Rows()
    if annotations.is_dir():
        truth = _from_xml(annotations, rows)
    elif (root / "LOC_val_solution.csv").is_file():
        truth = _from_solution(root, rows)
    else:  # then a synset is known of images in folders alone
        truth = {stem: (name.split("/")[1] if name.count("/") > 1 else "", None, []) for stem, name in places.items()}
    classes = _synsets(root) or sorted({wnid for wnid, *_ in truth.values()} - {""})
    label_of = {wnid: label for label, wnid in enumerate(classes)}
    stranger = next((name for name, (wnid, *_) in truth.items() if wnid and wnid not in label_of), None)
    if stranger is not None:
        raise BoxlessError(
            f"{stranger} in {root} is of the synset {brief(truth[stranger][0])}, which is not a class there."
        )
    samples = [
        annotated(places.get(stem, f"val/{stem}.JPEG"), label_of.get(wnid), boxes, size)
        for stem, (wnid, size, boxes) in truth.items()
    ]
    return present(rows.noted_in(Dataset(source, samples, classes, split)), source, "The list of val images")


def read_tiny_imagenet(root: Path, split: str) -> Dataset:
    """Tiny ImageNet: 200 classes of 500 training and 50 validation images, 64 x 64 pixels, with one box each."""
    source = FolderSource(root)
    classes = sorted(values[0] for _, values in rows_of(source, "wnids.txt", 1))
    samples, wanted, rows = list[Sample](), dict[str, str](), Rows()
    if split == "val":
        places = _by_stem(source, "val/")  # they may have been sorted into a folder for each synset
        if not (root / "val" / "val_annotations.txt").is_file():
            label_of = {wnid: label for label, wnid in enumerate(classes)}
            samples = [Sample(name, label_of.get(name.split("/")[1])) for name in sorted(places.values())]
            return Dataset(source, samples, classes, split)
        for where, (name, wnid, *sides) in rows_of(source, "val/val_annotations.txt", 6, aside=rows):
            with rows.row():
                if wnid not in classes:
                    raise BoxlessError(f"{where}: {brief(wnid)} is not in wnids.txt.")
                place = places.get(PurePosixPath(name).stem, f"val/images/{name}")
                samples.append(_tiny(place, classes.index(wnid), sides, where))
                wanted[samples[-1].name] = where
    else:
        for label, wnid in enumerate(classes):
            try:
                lines = rows_of(source, f"train/{wnid}/{wnid}_boxes.txt", 5, aside=rows)
            except BrokenImageError as error:
                raise BoxlessError(
                    f"wnids.txt in {root} names {brief(wnid)}, whose boxes are missing: {error}"
                ) from error
            for where, (name, *sides) in lines:
                with rows.row():
                    samples.append(_tiny(f"train/{wnid}/images/{name}", label, sides, where))
                    wanted[samples[-1].name] = where
    parsed = rows.noted_in(Dataset(source, sorted(samples, key=lambda sample: sample.name), classes, split))
    return present(parsed, source, wanted)


DISTRIBUTIONS = (
    Distribution("CUB-200-2011", "train_test_split.txt", ("train", "test"), read_cub),
    Distribution("ILSVRC", "ILSVRC/Data/CLS-LOC", ("train", "val"), read_ilsvrc),
    Distribution("Tiny ImageNet", "wnids.txt", ("train", "val"), read_tiny_imagenet),
)
"""The distributions that are recognised."""

SIDES = ("xmin", "ymin", "xmax", "ymax")

ImageTruth = tuple[str, tuple[int, int] | None, list[WrittenBox]]


def _pairs(lists: FolderSource, name: str) -> list[tuple[str, str]]:
    return [(values[0], values[1]) for _, values in rows_of(lists, name, 2, most=2)]  # there are spaces in names


def _corner_and_extent(values: list[str], where: str) -> WrittenBox:
    x, y, width, height = numbers(values[1:5], where)
    return WrittenBox((x, y, x + width, y + height), where)


def _tiny(name: str, label: int, sides: list[str], where: str) -> Sample:
    return annotated(name, label, [_inclusive(sides, where)], (64, 64))


def _inclusive(sides: Sequence[str | None], where: str) -> WrittenBox:
    """First and last pixel, counted from 0 -> half-open."""
    x0, y0, x1, y1 = numbers(sides[:4], where)
    return WrittenBox((x0, y0, x1 + 1, y1 + 1), where)


def _by_stem(source: FolderSource, below: str) -> dict[str, str]:
    """The images under a folder of the source by their names without folder and extension."""
    names = (below + name for name in FolderSource(source.root / below).names() if is_image(name))
    return {PurePosixPath(name).stem: name for name in names}


def _synsets(root: Path) -> list[str]:
    """The synset of every class, from LOC_synset_mapping.txt or the names of the training folders; may be empty."""
    if (root / "LOC_synset_mapping.txt").is_file():
        return sorted(values[0] for _, values in rows_of(FolderSource(root), "LOC_synset_mapping.txt", 1))
    train = root / "ILSVRC" / "Data" / "CLS-LOC" / "train"
    return sorted(folder.name for folder in train.iterdir() if folder.is_dir()) if train.is_dir() else []


def _from_xml(annotations: Path, rows: Rows) -> dict[str, ImageTruth]:
    """The synset, size and boxes of every image that has an xml file."""
    found: dict[str, ImageTruth] = {}
    source = FolderSource(annotations)
    for file in (file for file in source.names() if file.endswith(".xml")):
        with rows.row():
            tree, where = parsed_xml(source, file), place_of(file, source)
            size = stated_size(tree.findtext("size/width"), tree.findtext("size/height"), where)
            corners = [[thing.findtext(f"bndbox/{side}") for side in SIDES] for thing in tree.iter("object")]
            boxes = [_inclusive(corner, where) for corner in corners]
            name = tree.findtext("object/name")
            if not name:
                raise BoxlessError(f"{where} has no <object> with a <name>. Expected the synset of the image.")
            found[PurePosixPath(file).stem] = (name, size, boxes)
    return found


def _from_solution(root: Path, rows: Rows) -> dict[str, ImageTruth]:
    """The synset and boxes of every line of LOC_val_solution.csv: ImageId,"synset x0 y0 x1 y1 synset x0 ..."."""
    found: dict[str, ImageTruth] = {}
    file = "LOC_val_solution.csv"
    for row in csv.DictReader(io.StringIO(text_of(FolderSource(root), file))):
        words = (row.get("PredictionString") or "").split()
        where = f"{file} in {root}, image {row.get('ImageId')}"
        with rows.row():
            if not words or len(words) % 5:
                raise BoxlessError(f"{where}: expected groups of synset x0 y0 x1 y1, found {brief(' '.join(words))}.")
            boxes = [_inclusive(words[start + 1 : start + 5], where) for start in range(0, len(words), 5)]
            found[str(row["ImageId"])] = (words[0], None, boxes)
    return found
