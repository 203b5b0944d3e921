"""The same few images with boxes, written as other programs lay data out."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from boxless.data.dataset import Dataset

Boxes = list[tuple[str, tuple[float, float, float, float]]]

IMAGES: dict[str, dict[str, tuple[tuple[int, int], Boxes]]] = {
    "train": {
        "one.jpg": ((60, 40), [("cat", (0, 0, 60, 40))]),
        "two two.png": ((33, 47), [("dog", (3, 5, 4, 6)), ("dog", (10, 20, 33, 47))]),
        "both.jpg": ((60, 40), [("cat", (1, 2, 30, 31)), ("dog", (7, 8, 9, 40))]),
    },
    "val": {"three.v2.jpg": ((101, 30), [("dog", (99, 0, 101, 30))]), "none.jpg": ((20, 20), [])},
}


def picture(path: Path, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "grey").save(path)


def put(path: Path, content: str | dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def coco(images: dict[str, tuple[tuple[int, int], Boxes]], extra: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    names = {"cat": 1, "dog": 2}
    listed = [
        {"id": i, "file_name": name, "width": size[0], "height": size[1]}
        for i, (name, (size, _)) in enumerate(images.items())
    ]
    boxes = [
        {"image_id": i, "category_id": names[label], "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for i, (_, found) in enumerate(images.values())
        for label, (x0, y0, x1, y1) in found
    ]
    annotations = [{"id": i} | box for i, box in enumerate(boxes)]
    categories = [
        *(extra or []),
        *({"id": number, "name": name, "supercategory": "pets"} for name, number in names.items()),
    ]
    return {"images": listed, "annotations": annotations, "categories": categories}


def yolo_line(label: str, box: tuple[float, float, float, float], size: tuple[int, int]) -> str:
    (x0, y0, x1, y1), (width, height) = box, size
    values = (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height
    return f"{['cat', 'dog'].index(label)} {' '.join(f'{value:.6f}' for value in values)}\n"


def yolo(root: Path, folder: str = "{kind}/{split}", train: str = "images/{split}") -> None:
    for split, images in IMAGES.items():
        for name, (size, boxes) in images.items():
            picture(root / folder.format(kind="images", split=split) / name, size)
            label = root / folder.format(kind="labels", split=split) / name
            put(label.with_suffix(".txt"), "".join(yolo_line(kind, box, size) for kind, box in boxes))
    put(
        root / "data.yaml",
        f"train: {train.format(split='train')}\nval: {train.format(split='val')}\nnc: 2\nnames: ['cat', 'dog']\n",
    )


def yolo_of_roboflow(root: Path) -> None:
    yolo(root, "{split}/{kind}", "../{split}/images")
    put(root / "README.roboflow.txt", "")


def yolo_with_lists(root: Path) -> None:
    yolo(root)
    for split, images in IMAGES.items():
        put(root / f"{split}.txt", "".join(f"./images/{split}/{name}\n" for name in images))
    put(root / "data.yaml", "path: /home/somebody/pets\ntrain: train.txt\nval: val.txt\nnames:\n  0: cat\n  1: dog\n")


def xml(name: str, size: tuple[int, int], boxes: Boxes) -> str:
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for label, (x0, y0, x1, y1) in boxes
    )
    return (
        f"<annotation><folder>VOC2007</folder><filename>{name}</filename><size><width>{size[0]}</width>"
        f"<height>{size[1]}</height><depth>3</depth></size>{objects}</annotation>"
    )


def voc(root: Path) -> None:
    for split, images in IMAGES.items():
        stems = [name.rpartition(".")[0] for name in images]
        put(root / f"ImageSets/Main/{split}.txt", "".join(f"{stem}\n" for stem in stems))
        for name, (size, boxes) in images.items():
            picture(root / "JPEGImages" / name, size)
            put(root / f"Annotations/{name.rpartition('.')[0]}.xml", xml(name, size, boxes))
    put(root / "ImageSets/Main/cat_train.txt", "one 1\n")


def voc_beside(root: Path) -> None:
    for split, images in IMAGES.items():
        for name, (size, boxes) in images.items():
            picture(root / split / name, size)
            put(root / split / f"{name.rpartition('.')[0]}.xml", xml(name, size, boxes))


def roboflow(root: Path) -> None:
    for split, images in IMAGES.items():
        for name, (size, _) in images.items():
            picture(root / split / name, size)
        heading = [{"id": 0, "name": "pets", "supercategory": "none"}]
        put(root / split / "_annotations.coco.json", coco(images, heading))


def coco_2017(root: Path, folder: str = "{split}2017", file: str = "instances_{split}2017.json") -> None:
    for split, images in IMAGES.items():
        for name, (size, _) in images.items():
            picture(root / folder.format(split=split) / name, size)
        put(root / "annotations" / file.format(split=split), coco(images))
    put(root / "annotations/captions_train2017.json", {"images": []})


def coco_in_images(root: Path) -> None:
    coco_2017(root, "images/{split}", "instances_{split}.json")


def coco_in_one_folder(root: Path) -> None:
    coco_2017(root, "images", "instances_{split}2017.json")


def labelme(root: Path) -> None:
    for split, images in IMAGES.items():
        for name, (size, boxes) in images.items():
            picture(root / split / name, size)
            shapes = [
                {"label": label, "points": [[x1, y0], [x0, y1]], "shape_type": "rectangle"}
                for label, (x0, y0, x1, y1) in boxes
            ]
            content = {"shapes": shapes, "imagePath": name, "imageWidth": size[0], "imageHeight": size[1]}
            if boxes:
                put(root / split / f"{name.rpartition('.')[0]}.json", content)


def cvat(root: Path) -> None:
    parts = []
    for split, images in IMAGES.items():
        for name, (size, boxes) in images.items():
            picture(root / "images" / split / name, size)
            shapes = "".join(
                f'<box label="{label}" xtl="{x0:.2f}" ytl="{y0:.2f}" xbr="{x1:.2f}" ybr="{y1:.2f}" z_order="0"></box>'
                for label, (x0, y0, x1, y1) in boxes
            )
            size_of = f'width="{size[0]}" height="{size[1]}"'
            parts.append(f'<image id="0" name="{name}" subset="{split}" {size_of}>{shapes}</image>')
    put(root / "annotations.xml", f"<annotations><version>1.1</version><meta></meta>{''.join(parts)}</annotations>")


def image_folder(root: Path, suffix: str = "jsonl") -> None:
    for split, images in IMAGES.items():
        rows = []
        for name, (size, boxes) in images.items():
            picture(root / split / name, size)
            corners = [[x0, y0, x1 - x0, y1 - y0] for _, (x0, y0, x1, y1) in boxes]
            rows.append({"file_name": name, "objects": {"bbox": corners, "categories": [label for label, _ in boxes]}})
        if suffix == "jsonl":
            put(root / split / "metadata.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
        else:
            text = io.StringIO()
            csv.writer(text).writerows(
                [["file_name", "objects"], *([row["file_name"], json.dumps(row["objects"])] for row in rows)]
            )
            put(root / split / "metadata.csv", text.getvalue())


def image_folder_csv(root: Path) -> None:
    image_folder(root, "csv")


LAYOUTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "yolo": (yolo, "YOLO"),
    "yolo of roboflow": (yolo_of_roboflow, "YOLO"),
    "yolo with lists": (yolo_with_lists, "YOLO"),
    "voc": (voc, "Pascal VOC"),
    "voc beside": (voc_beside, "Pascal VOC"),
    "roboflow": (roboflow, "Roboflow COCO"),
    "coco 2017": (coco_2017, "COCO"),
    "coco in images": (coco_in_images, "COCO"),
    "coco in one folder": (coco_in_one_folder, "COCO"),
    "labelme": (labelme, "labelme"),
    "cvat": (cvat, "CVAT"),
    "imagefolder": (image_folder, "Hugging Face imagefolder"),
    "imagefolder csv": (image_folder_csv, "Hugging Face imagefolder"),
}


def known(data: Dataset) -> dict[str, tuple[str | None, list[list[float]]]]:
    """The class and boxes of each image by its file name."""
    return {
        PurePosixPath(one.name).name: (
            None if one.label is None else data.classes[one.label],
            [] if one.boxes is None else one.boxes.tolist(),
        )
        for one in data.samples
    }


def expected(split: str) -> dict[str, tuple[str | None, list[list[float]]]]:
    return {
        name: (
            next(iter({label for label, _ in boxes})) if len({label for label, _ in boxes}) == 1 else None,
            [list(map(float, box)) for _, box in boxes],
        )
        for name, (_, boxes) in IMAGES[split].items()
    }
