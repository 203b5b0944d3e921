"""datumaro's importers and exporters, which CVAT's COCO, VOC and YOLO formats descend from.

COCO and VOC are only found where the development kits put them, so that the exports are laid out like that first.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datumaro import Dataset
from record import Box, image, record

CLASSES = ("dog", "red cat")


def images(dataset: Dataset) -> list[dict[str, Any]]:
    names = [label.name for label in dataset.categories()[next(iter(dataset.categories()))]]
    return [image(item.media.path, item.media.size[::-1], boxes(item, names)) for item in dataset]


def boxes(item: Any, names: list[str]) -> list[Box]:
    found = [one for one in item.annotations if one.type.name == "bbox"]
    return [(names[one.label], *one.points, one.attributes.get("score")) for one in found]


def as_it_is(format: str) -> Callable[[Path], list[dict[str, Any]]]:
    return lambda exports: images(Dataset.import_from(str(exports / format), format))


def coco(exports: Path) -> Dataset:
    folder = exports.parent / "coco"
    shutil.copytree(exports / "photos", folder / "images", dirs_exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    shutil.copy(exports / "coco/boxes.json", folder / "annotations/instances_default.json")
    return Dataset.import_from(str(folder), "coco")


def voc(mode: str) -> Callable[[Path], list[dict[str, Any]]]:
    def read(exports: Path) -> list[dict[str, Any]]:
        folder = exports.parent / "voc"
        shutil.copytree(exports / "photos", folder / "JPEGImages", dirs_exist_ok=True)
        shutil.copytree(exports / "voc/Annotations", folder / "Annotations", dirs_exist_ok=True)
        stems = [path.relative_to(folder / "Annotations").with_suffix("") for path in folder.rglob("*.xml")]
        (folder / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets/Main/default.txt").write_text("".join(f"{stem}\n" for stem in stems))
        (folder / "labelmap.txt").write_text("".join(f"{name}:::\n" for name in ("background", *CLASSES)))
        return images(Dataset.import_from(str(folder), "voc", coordinate_mode=mode))

    return read


def export(format: str, **options: Any) -> Callable[[Path, Path], None]:
    def write(exports: Path, out: Path) -> None:
        dataset = coco(exports)
        if format == "yolo_ultralytics":  # it wants these two subsets
            dataset = dataset.transform("random_split", splits=[("train", 0.6), ("val", 0.4)])
        dataset.export(str(out), format, save_media=True, **options)

    return write


SHAPES = (
    '<box label="red cat" xtl="20" ytl="40" xbr="60" ybr="60" rotation="90"/>',
    '<polygon label="red cat" points="11,22;59.5,24;35,90"/>',
)
CVAT_XML = """<annotations><version>1.1</version><meta><task><labels><label><name>red cat</name></label></labels></task>
</meta><image id="0" name="red cat/same name.jpg" width="150" height="110">{}</image></annotations>"""


def cvat_shapes(exports: Path, out: Path) -> list[dict[str, Any]]:
    """CVAT's xml with a turned box and a polygon, and the boxes around them as datumaro's reader of it has them."""
    place = out / "images/red cat/same name.jpg"
    place.parent.mkdir(parents=True)
    shutil.copy(exports / "photos/red cat/same name.jpg", place)
    (out / "annotations.xml").write_text(CVAT_XML.format("".join(SHAPES)))
    (item,) = Dataset.import_from(str(out), "cvat")
    around = [one.get_bbox() for one in item.annotations]
    found: list[Box] = [("red cat", x, y, x + width, y + height, None) for x, y, width, height in around]
    assert len(found) == len(SHAPES)
    return [image(place, item.media.size[::-1], found)]


PREPARED_COCO = "coco, put into annotations/instances_default.json and images/"
PREPARED_VOC = "voc, with ImageSets/Main, JPEGImages and labelmap.txt"
record(
    "datumaro",
    {
        ("coco", "coco"): as_it_is("coco"),
        ("coco", PREPARED_COCO): lambda exports: images(coco(exports)),
        ("voc", "voc"): as_it_is("voc"),
        ("voc", f"{PREPARED_VOC}"): voc("dm-zero-based"),
        ("voc", f"{PREPARED_VOC}, coordinate_mode voc-one-based"): voc("voc-one-based"),
        ("yolo", "yolo; the sub-folders become subsets"): as_it_is("yolo"),
    },
    {
        ("coco", "coco"): export("coco"),
        ("voc", "voc"): export("voc"),
        ("voc", "voc, coordinate_mode voc-one-based"): export("voc", coordinate_mode="voc-one-based"),
        ("yolo", "yolo (obj.data, as CVAT's YOLO 1.1)"): export("yolo"),
        ("yolo", "yolo_ultralytics"): export("yolo_ultralytics"),
        ("cvat", "cvat (xml)"): export("cvat"),
        ("cvat", "cvat (xml) with a turned box and a polygon, as its own reader has them"): cvat_shapes,
    },
)
