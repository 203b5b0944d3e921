"""FiftyOne's importers and exporters, sample by sample; its data base is not started."""

from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.utils.coco as coco
import fiftyone.utils.voc as voc
import fiftyone.utils.yolo as yolo
from record import image, record

CLASSES = ["dog", "red cat"]


def samples(importer: Any) -> list[tuple[str, Any, Any]]:
    """Path, metadata and detections of each image."""
    found = []
    with importer:
        for path, _, labels in importer:
            labels = labels["detections"] if isinstance(labels, dict) else labels
            found.append((path, fo.ImageMetadata.build_for(path), labels))
    return found


def images(importer: Any) -> list[dict[str, Any]]:
    return [held(path, metadata, labels) for path, metadata, labels in samples(importer)]


def held(path: str, metadata: Any, labels: Any) -> dict[str, Any]:
    width, height = metadata.width, metadata.height
    boxes = []
    for one in labels.detections if labels else []:
        x, y, w, h = one.bounding_box
        boxes.append((one.label, x * width, y * height, (x + w) * width, (y + h) * height, one.confidence))
    return image(path, (width, height), boxes)


def from_coco(exports: Path) -> Any:
    return coco.COCODetectionDatasetImporter(
        data_path=str(exports / "photos"), labels_path=str(exports / "coco/boxes.json"), label_types="detections"
    )


def from_yolo(exports: Path) -> Any:
    return yolo.YOLOv5DatasetImporter(dataset_dir=str(exports / "yolo"), yaml_path="data.yaml", split="train")


def from_voc(exports: Path) -> Any:
    return voc.VOCDetectionDatasetImporter(
        data_path=str(exports / "photos"), labels_path=str(exports / "voc/Annotations")
    )


def export(exporter: type, **options: Any) -> Any:
    def write(exports: Path, out: Path) -> None:
        with exporter(export_dir=str(out), **options) as writer:
            for path, metadata, labels in samples(from_coco(exports)):
                writer.export_sample(path, labels, metadata=metadata)

    return write


record(
    "fiftyone",
    {
        ("coco", "COCODetectionDataset"): lambda exports: images(from_coco(exports)),
        ("yolo", "YOLOv5Dataset"): lambda exports: images(from_yolo(exports)),
        ("voc", "VOCDetectionDataset"): lambda exports: images(from_voc(exports)),
    },
    {
        ("coco", "COCODetectionDataset"): export(coco.COCODetectionDatasetExporter),
        ("yolo", "YOLOv5Dataset"): export(yolo.YOLOv5DatasetExporter, split="train", classes=CLASSES),
        ("voc", "VOCDetectionDataset"): export(voc.VOCDetectionDatasetExporter),
    },
)
