"""Which layout a folder or zip has: a published data set's or another program's, each known by files of its own."""

from pathlib import Path, PurePosixPath

from boxless.data import coco_layouts, cvat, image_folder, labelme, published_datasets, voc, yolo
from boxless.data.annotated_images import Layout
from boxless.data.annotations import text_of
from boxless.data.dataset import Dataset
from boxless.data.file_names import SPLITS, WRITTEN
from boxless.data.sources import FolderSource, Source, ZipSource, open_source

RECOGNISERS = (
    coco_layouts.recognise,
    yolo.recognise,
    voc.recognise,
    cvat.recognise,
    labelme.recognise,
    image_folder.recognise,
)
"""Each is asked with a source and the names in it; the first that knows them reads the data."""

OUR_OWN = {"boxes.csv", "boxes_train.csv", "boxes_val.csv", "boxes_test.csv", "labels.json", "image_ids.txt"}
"""Files that say what boxes there are in a way that `folder` reads; they come first."""


def recognise(path: Path) -> Layout | None:
    """The layout of a folder or zip; None for image folders, tar shards, and what is no data at all."""
    if published := published_datasets.recognise(path):
        return published
    if not path.exists() or path.suffix.lower() == ".json":
        return None
    source = open_source(path)
    if not isinstance(source, FolderSource | ZipSource):
        return None
    names = source.names()
    if any(_is_our_own(PurePosixPath(name)) for name in names):
        return None
    return next((layout for known in RECOGNISERS if (layout := known(source, names))), None)


def _is_our_own(name: PurePosixPath) -> bool:
    """Whether a file is one of OUR_OWN where it is read: at the top, or in the folder of a split."""
    return name.name in OUR_OWN and (len(name.parts) == 1 or (len(name.parts) == 2 and name.parts[0].lower() in SPLITS))


def parse_folder(path: Path, photos: Source | None = None) -> Dataset | None:
    """What a folder says of images and boxes, as it is written; None for a folder without annotations that are known.

    Of an export of boxless's the images have the names that they had in PHOTOS; `photos` serves where they are not
    beside it.
    """
    source = FolderSource(path)
    names = source.names()
    written = text_of(source, "README.txt").partition("\n")[0] if "README.txt" in names else ""
    if written == f"{WRITTEN} (voc)":
        return voc.parse_export(source, names)
    if written == f"{WRITTEN} (yolo)":
        return yolo.parse_export(source, names, photos)
    layout = recognise(path)
    return layout and layout.read(None)
