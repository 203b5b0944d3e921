"""ultralytics: a network without trained weights learns for one epoch from the export and predicts into text files."""

import os
import shutil
from pathlib import Path
from typing import Any

os.environ["YOLO_CONFIG_DIR"] = str(Path.cwd())

import torch

try:
    import torchvision
except RuntimeError:  # a CUDA build beside a torch without
    LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        LIBRARY.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision
    from ultralytics.utils.nms import TorchNMS

    torchvision.ops.nms = TorchNMS.nms

from record import image, record
from ultralytics import YOLO
from ultralytics.data import YOLODataset
from ultralytics.data.converter import convert_coco
from ultralytics.data.utils import check_det_dataset

NETWORK = "yolo26n.yaml"


def loaded(yaml: Path) -> list[dict[str, Any]]:
    data = check_det_dataset(str(yaml), autodownload=False)
    dataset = YOLODataset(img_path=data["train"], data=data, task="detect", augment=False, imgsz=160)
    return [image(one["im_file"], one["shape"][::-1], boxes(one, data["names"])) for one in dataset.labels]


def boxes(one: dict[str, Any], names: dict[int, str]) -> list[Any]:
    height, width = one["shape"]
    found = []
    for label, (x, y, w, h) in zip(one["cls"].ravel(), one["bboxes"].astype(float), strict=True):
        sides = (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
        found.append((names[int(label)], *sides, None))
    return found


def train(exports: Path) -> list[dict[str, Any]]:
    yaml = exports / "yolo/data.yaml"
    network = YOLO(NETWORK)
    network.train(data=str(yaml), epochs=1, imgsz=64, batch=2, workers=0, device="cpu", project=str(Path.cwd()))
    return loaded(yaml)


def from_coco(exports: Path) -> list[dict[str, Any]]:
    """Its converter writes labels only; the photographs and data.yaml are put beside them."""
    made = exports.parent / "converted"
    convert_coco(str(exports / "coco"), save_dir=str(made), use_segments=False, cls91to80=False)
    shutil.move(made / "labels/boxes", exports.parent / "laid/labels")
    shutil.copytree(exports / "photos", exports.parent / "laid/images")
    shutil.copy(exports / "yolo/data.yaml", exports.parent / "laid")
    return loaded(exports.parent / "laid/data.yaml")


def predict(exports: Path, out: Path) -> list[dict[str, Any]]:
    """Its text files beside the photographs make a data set once there is a data.yaml."""
    (out / "images").mkdir()
    for number, path in enumerate(sorted((exports / "photos").rglob("*.*"))):
        shutil.copy(path, out / "images" / f"{number} {path.name}")
    shutil.copy(exports / "yolo/data.yaml", out)
    network = YOLO(NETWORK)
    network.model.names = {0: "dog", 1: "red cat"}
    options = {"conf": 1e-6, "max_det": 3, "classes": [0, 1], "imgsz": 160, "device": "cpu"}
    found = network.predict(out / "images", save_txt=True, save_conf=True, project=str(out), name="p", **options)
    shutil.move(out / "p/labels", out / "labels")
    shutil.rmtree(out / "p")
    return [
        image(
            Path(one.path).name,
            one.orig_shape[::-1],
            [
                (["dog", "red cat"][int(label)], *box, score)
                for label, box, score in zip(
                    one.boxes.cls.tolist(), one.boxes.xyxy.tolist(), one.boxes.conf.tolist(), strict=True
                )
            ],
        )
        for one in found
    ]


record(
    "ultralytics",
    {("yolo", "yolo detect train, one epoch"): train, ("coco", "convert_coco"): from_coco},
    {("yolo", "yolo predict save_txt save_conf, and a data.yaml"): predict},
)
