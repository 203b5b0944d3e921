"""supervision's DetectionDataset. It looks for images in one folder, so that YOLO and VOC are read folder by folder."""

from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from record import Box, image, record
from supervision import DetectionDataset


def images(dataset: DetectionDataset) -> list[dict[str, Any]]:
    return [image(path, None, boxes(dataset, found)) for path, found in dataset.annotations.items()]


def boxes(dataset: DetectionDataset, found: Any) -> list[Box]:
    scores = [None] * len(found) if found.confidence is None else found.confidence.tolist()
    return [
        (dataset.classes[label], *box, score)
        for label, box, score in zip(found.class_id, found.xyxy.tolist(), scores, strict=True)
    ]


def coco(exports: Path) -> DetectionDataset:
    return DetectionDataset.from_coco(str(exports / "photos"), str(exports / "coco/boxes.json"))


def yolo(exports: Path, below: str = "") -> DetectionDataset:
    places = [str(exports / "yolo" / kind / below) for kind in ("images", "labels")]
    return DetectionDataset.from_yolo(*places, str(exports / "yolo/data.yaml"))


def voc(exports: Path, below: str = "") -> DetectionDataset:
    return DetectionDataset.from_pascal_voc(str(exports / "photos" / below), str(exports / "voc/Annotations" / below))


def one_of_each_name(exports: Path) -> DetectionDataset:
    """It refuses to write two images of one name."""
    dataset = coco(exports)
    kept = {path: found for path, found in dataset.annotations.items() if not path.endswith("dog/same name.jpg")}
    return DetectionDataset(dataset.classes, list(kept), kept)


def each_folder(read: Any, exports: Path) -> list[dict[str, Any]]:
    return [one for below in ("dog", "red cat") for one in images(read(exports, below))]


def written(exports: Path) -> tuple[DetectionDataset, list[dict[str, Any]]]:
    dataset = one_of_each_name(exports)
    sizes = {path: ImageOps.exif_transpose(Image.open(path)).size for path in dataset.annotations}
    return dataset, [image(path, sizes[path], boxes(dataset, found)) for path, found in dataset.annotations.items()]


def as_coco(exports: Path, out: Path) -> list[dict[str, Any]]:
    dataset, held = written(exports)
    dataset.as_coco(str(out / "images"), str(out / "annotations/instances_default.json"))
    return held


def as_yolo(exports: Path, out: Path) -> list[dict[str, Any]]:
    dataset, held = written(exports)
    dataset.as_yolo(str(out / "images"), str(out / "labels"), str(out / "data.yaml"))
    return held


def as_voc(exports: Path, out: Path) -> list[dict[str, Any]]:
    dataset, held = written(exports)
    dataset.as_pascal_voc(str(out / "images"), str(out / "Annotations"))
    return held


def as_labelme(exports: Path, out: Path) -> list[dict[str, Any]]:
    dataset, held = written(exports)
    dataset.as_labelme(images_directory_path=str(out), annotations_directory_path=str(out))
    return held


record(
    "supervision",
    {
        ("coco", "DetectionDataset.from_coco"): lambda exports: images(coco(exports)),
        ("yolo", "DetectionDataset.from_yolo"): lambda exports: images(yolo(exports)),
        ("yolo", "from_yolo, each sub-folder"): lambda exports: each_folder(yolo, exports),
        ("voc", "DetectionDataset.from_pascal_voc"): lambda exports: images(voc(exports)),
        ("voc", "from_pascal_voc, each sub-folder"): lambda exports: each_folder(voc, exports),
    },
    {
        ("coco", "as_coco, without one of two images of one name"): as_coco,
        ("yolo", "as_yolo"): as_yolo,
        ("voc", "as_pascal_voc"): as_voc,
        ("labelme", "as_labelme"): as_labelme,
    },
)
