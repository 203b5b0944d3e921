"""Label Studio's converter: exports -> tasks, and the same tasks -> what its export writes; no server is started."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

os.environ["LOCAL_FILES_SERVING_ENABLED"] = os.environ["LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED"] = "true"
os.environ["LOCAL_FILES_DOCUMENT_ROOT"] = os.environ["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"] = sys.argv[1]

from label_studio_sdk.converter import Converter
from label_studio_sdk.converter.imports.coco import convert_coco_to_ls
from label_studio_sdk.converter.imports.yolo import convert_yolo_to_ls
from record import image, record

URL = "/data/local-files/?d=photos"


def images(tasks: Path) -> list[dict[str, Any]]:
    found = []
    for task in json.loads(tasks.read_text()):
        results = [one for given in task.get("annotations", []) for one in given["result"]]
        size = (results[0]["original_width"], results[0]["original_height"]) if results else None
        boxes = []
        for one in results:
            value, (width, height) = one["value"], size or (0, 0)
            x0, y0 = value["x"] / 100 * width, value["y"] / 100 * height
            x1, y1 = (value["x"] + value["width"]) / 100 * width, (value["y"] + value["height"]) / 100 * height
            boxes.append((value["rectanglelabels"][0], x0, y0, x1, y1, one.get("score")))
        found.append(image(unquote(task["data"]["image"].partition("?d=")[2]), size, boxes))
    return found


def coco_tasks(exports: Path) -> Path:
    tasks = exports.parent / "coco.json"
    convert_coco_to_ls(str(exports / "coco/boxes.json"), str(tasks), image_root_url=URL)
    return tasks


def from_yolo(folder: Path, url: str = URL) -> list[dict[str, Any]]:
    tasks = folder.with_suffix(".json")
    convert_yolo_to_ls(str(folder), str(tasks), image_root_url=url)
    if not tasks.exists():
        raise LookupError("no image stands in images/ itself: nothing is written")
    return images(tasks)


def from_each_folder(exports: Path) -> list[dict[str, Any]]:
    found = []
    for below in ("dog", "red cat"):
        folder = exports.parent / f"yolo-{below}"
        for kind in ("images", "labels"):
            shutil.copytree(exports / "yolo" / kind / below, folder / kind)
        shutil.copy(exports / "yolo/classes.txt", folder)
        found += from_yolo(folder, f"{URL}/{below}")
    return found


def export(format: str) -> Any:
    def write(exports: Path, out: Path) -> None:
        path = coco_tasks(exports)
        tasks = json.loads(path.read_text())
        for number, task in enumerate(tasks, 1):  # what the server adds
            task["id"] = number
            for given in task["annotations"]:
                given |= {"id": number, "completed_by": 1, "was_cancelled": False}
        path.write_text(json.dumps(tasks))
        config = path.with_suffix(".label_config.xml").read_text()
        Converter(config, str(exports)).convert(str(path), str(out), format, is_dir=False)

    return write


record(
    "label-studio-sdk",
    {
        ("coco", "label-studio-converter import coco"): lambda exports: images(coco_tasks(exports)),
        ("yolo", "label-studio-converter import yolo"): lambda exports: from_yolo(exports / "yolo"),
        ("yolo", "label-studio-converter import yolo, each sub-folder"): from_each_folder,
    },
    {
        ("coco", "export COCO_WITH_IMAGES"): export("COCO_WITH_IMAGES"),
        ("yolo", "export YOLO_WITH_IMAGES"): export("YOLO_WITH_IMAGES"),
        ("voc", "export VOC"): export("VOC"),
    },
)
