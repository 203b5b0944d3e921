"""Pascal VOC's layout (http://host.robots.ox.ac.uk/pascal/VOC) -> half-open boxes: VOC counts pixels from 1.

    Annotations/a/b.xml         the image is JPEGImages/a/b.jpg, images/a/b.jpg or a/b.jpg
    ImageSets/Main/train.txt    the stems of a split's images; without these lists a split is the first folder
    train/b.xml train/b.jpg     or an xml beside each image (Roboflow, labelImg)
    labels/b.xml data/b.jpg     or as FiftyOne lays it out

An xml without a size is read, and so is one whose size is 0. Several programs write x, y, x + width, y + height as they
have them, from 0: pixels that are counted from 1 have no 0, so that one box at an edge tells it of the whole data set.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from functools import partial
from pathlib import PurePosixPath

from boxless.data.annotated_images import (
    AnnotatedImage,
    Layout,
    dataset_of,
    ordered_splits,
    split_folder,
    stated_size,
)
from boxless.data.annotations import Box, numbers, text_of
from boxless.data.dataset import Dataset, WrittenBox
from boxless.data.file_names import NO_CHARACTER, SPLITS, SUFFIXES, is_image
from boxless.data.rows import AbsentImageError, ContradictionError, Rows
from boxless.data.sources import Source, place_of, warn_once
from boxless.runtime.errors import BoxlessError

SIDES = ("xmin", "ymin", "xmax", "ymax")
PLACES = ("JPEGImages/", "images/", "data/", "")
APART = re.compile(r"(?P<base>(?:.*/|)(?=Annotations/)|(?=labels/))(?:Annotations|labels)/(?P<stem>.+)\.xml")
"""An xml in a folder of its own; labels/ is one at the top only, as it may be a folder of photographs elsewhere."""


def recognise(source: Source, names: Sequence[str]) -> Layout | None:
    """VOC's layout, if there are images and xml files in Annotations/ or beside images of the same name."""
    images = {name for name in names if is_image(name)}
    stems = {name.rpartition(".")[0] for name in images}
    texts = [name for name in names if name.endswith(".xml")]
    files = [name for name in texts if APART.fullmatch(name) or name[:-4] in stems]
    if not images or not files or _first_tag(source, files) != "annotation":
        return None
    files += _without_images(source, sorted(set(texts) - set(files)))
    rows = Rows()
    parts = _lists(source, names, files, rows)
    splits = parts if parts else {name: split_folder(name) or split_folder(_stem(name)) for name in files}
    return Layout("Pascal VOC", ordered_splits(splits.values()), partial(_read, source, images, files, splits, rows))


def _first_tag(source: Source, files: Sequence[str]) -> str:
    """What the first file that is xml is; raises BoxlessError where none is."""
    rows = Rows()
    for name in files:
        with rows.row():
            return parsed_xml(source, name).tag
    raise rows.wrong[0][1]


def _without_images(source: Source, texts: Sequence[str]) -> list[str]:
    """Those of some xml files that are annotations; what is no xml is another program's."""
    rows, found = Rows(), list[str]()
    for name in texts:
        with rows.row():
            found += [name] if parsed_xml(source, name).tag == "annotation" else []
    return found


def parse_export(source: Source, names: Sequence[str]) -> Dataset:
    """What the xml files of Annotations/ say of images that lie elsewhere, in the same folders as their xml files."""
    images, rows = [], Rows()
    for name in (name for name in names if name.startswith("Annotations/") and name.endswith(".xml")):
        with rows.row():
            tree = parsed_xml(source, name)
            image = str(PurePosixPath(_stem(name)).parent / _file_name(tree, name))
            images.append(told_by(tree, place_of(name, source), image, rows))
    return dataset_of(source, images, None, rows)


def parsed_xml(source: Source, name: str) -> ElementTree.Element:
    """The root of an xml file; raises BoxlessError that names the file and the line."""
    try:
        return ElementTree.fromstring(source.read(name))
    except ElementTree.ParseError as error:
        raise BoxlessError(f"{place_of(name, source)}, line {error.position[0]}: not xml ({error}).") from error
    except (LookupError, ValueError) as error:  # an encoding that Python does not know
        raise BoxlessError(f"{place_of(name, source)} cannot be read: {error}.") from error


def told_by(tree: ElementTree.Element, where: str, image: str, rows: Rows, split: str = "") -> AnnotatedImage:
    """The objects of an <annotation> for the image `image`; what cannot be is set aside with a place in `where`."""
    read = AnnotatedImage(image, split=split)
    with rows.row(split):
        read.size = stated_size(tree.findtext("size/width"), tree.findtext("size/height"), f"{where}, size")
    for number, thing in enumerate(tree.findall("object"), 1):
        with rows.row(split):
            place, label = f"{where}, object {number}", thing.findtext("name")
            if not label:
                raise BoxlessError(f"{place} has no <name>. Expected the class of the object.")
            corners = [thing.findtext(f"bndbox/{side}") for side in SIDES]
            read.objects.append((label, _half_open(corners, place)))
    return read


def _half_open(corners: list[str | None], where: str) -> WrittenBox:
    """The first and the last pixel, counted from 1 -> half-open."""
    xmin, ymin, xmax, ymax = numbers(corners, where)
    return WrittenBox((xmin - 1, ymin - 1, xmax, ymax), where)


def _from_zero(written: WrittenBox) -> WrittenBox:
    x0, y0, x1, y1 = written.box
    return written._replace(box=(x0 + 1, y0 + 1, x1, y1))


def _stem(name: str) -> str:
    """The path of an xml file below Annotations, without its extension."""
    apart = APART.fullmatch(name)
    return apart["stem"] if apart else name[:-4]


def _file_name(tree: ElementTree.Element, name: str) -> str:
    """The image's name; the file's own where XML could not hold it."""
    file = PurePosixPath((tree.findtext("filename") or "").replace("\\", "/"))
    if file.name and NO_CHARACTER not in file.name:
        return file.name
    stem = PurePosixPath(_stem(name)).name
    return stem if stem.endswith(file.suffix) else stem + file.suffix


def _lists(source: Source, names: Sequence[str], files: Sequence[str], rows: Rows) -> dict[str, str]:
    """The split of every xml file that is on a list."""
    there, known = set(names), set(files)
    found: dict[str, str] = {}
    for base in {apart["base"] for name in files if (apart := APART.fullmatch(name))}:
        listed = {split: f"{base}ImageSets/Main/{split}.txt" for split in SPLITS}
        listed = {split: file for split, file in listed.items() if file in there}
        if "train" not in listed and f"{base}ImageSets/Main/trainval.txt" in there:
            listed["train"] = f"{base}ImageSets/Main/trainval.txt"
        for split, file in listed.items():
            for number, line in enumerate(text_of(source, file).splitlines(), 1):
                xml = f"{base}Annotations/{line.strip()}.xml"
                with rows.row(split):
                    if line.strip() and xml not in known:
                        raise AbsentImageError(f"{place_of(file, source)}, line {number}", line.strip(), "Annotations")
                    if line.strip():
                        found.setdefault(xml, split)
    return found


def _read(
    source: Source, images: set[str], files: Sequence[str], splits: dict[str, str], listed: Rows, split: str | None
) -> Dataset:
    read, rows, told = [], Rows(), dict[str, tuple[str, AnnotatedImage]]()
    for name in (file for file in files if file in splits):
        with rows.row(splits[name]):
            tree, where = ElementTree.Element("annotation"), place_of(name, source)
            with rows.row(splits[name]):
                tree = parsed_xml(source, name)
            own = _image_of(tree, name, where, images)
            image = told_by(tree, where, own, rows, splits[name])
            if own not in told:
                told[own] = where, image
                read.append(image)
            elif _objects(image) != _objects(told[own][1]):
                first = told[own][0]
                raise ContradictionError(f"{where} and {first} say two things of the image {own}. Remove one of them.")
    if any(-1 <= side < 0 for image in read for _, written in image.objects for side in written.box[:2]):
        warn_once(f"The boxes in {source.root} count pixels from 0, as some begin there; Pascal VOC counts from 1.")
        for image in read:
            image.objects = [(label, _from_zero(written)) for label, written in image.objects]
    taken = {image.name for image in read}
    if len(splits) == len(files):  # no list says which images count: those without an xml are images all the same
        read += [AnnotatedImage(name, split=_split_of_image(name)) for name in images - taken]
    return listed.noted_in(dataset_of(source, read, split, rows))


def _objects(image: AnnotatedImage) -> list[tuple[str, Box]]:
    return sorted((label, written.box) for label, written in image.objects)


def _split_of_image(name: str) -> str:
    place = next(place for place in PLACES if name.startswith(place))
    return split_folder(name.removeprefix(place))


def _image_of(tree: ElementTree.Element, name: str, where: str, images: set[str]) -> str:
    apart = APART.fullmatch(name)
    if apart is None:
        beside = [image for suffix in _suffixes(images) if (image := f"{name[:-4]}{suffix}") in images]
        if not beside:
            raise AbsentImageError(where, _file_name(tree, name))
        return beside[0]
    folder = str(PurePosixPath(apart["stem"]).parent)
    file = _file_name(tree, name)
    own = [f"{apart['stem']}{suffix}" for suffix in _suffixes(images)]
    stated = [f"{folder}/{file}"]
    # The xml's own name is the image's id. What it states inside is older where images were renamed after they were
    # labelled, and says more where two images differ in their extension alone.
    first = [*stated, *own] if PurePosixPath(file).stem == PurePosixPath(apart["stem"]).name else [*own, *stated]
    for place in PLACES:
        for image in (*first, file):
            candidate = apart["base"] + place + image.removeprefix("./")
            if candidate in images:
                return candidate
    raise AbsentImageError(where, file)


def _suffixes(images: set[str]) -> list[str]:
    """Every extension that an image can have, as it may be spelt."""
    return sorted({*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES)})
