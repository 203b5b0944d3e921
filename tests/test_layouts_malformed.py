"""What other programs write with faults in it: one clear sentence with the file and the place."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from layouts_written import (
    coco_2017,
    cvat,
    image_folder,
    labelme,
    put,
    roboflow,
    voc,
    yolo,
    yolo_with_lists,
)

from boxless.data.folder import read_data
from boxless.runtime.errors import BoxlessError

MALFORMED: dict[str, tuple[Callable[[Path], None], str, str, str]] = {
    "yolo class": (yolo, "labels/train/one.txt", "7 .5 .5 1 1\n", r"labels/train/one\.txt in .*, line 1: the class 7"),
    "yolo pixels": (yolo, "labels/train/one.txt", "0 30 20 60 40\n", r"one\.txt in .*, line 1: expected fractions"),
    "yolo words": (yolo, "labels/train/one.txt", "\n0 a b c d\n", r"one\.txt in .*, line 2: expected numbers"),
    "yolo short": (yolo, "labels/train/one.txt", "0 .1 .2\n", r"one\.txt in .*, line 1: expected `class cx cy w h`"),
    "yolo yaml": (yolo, "data.yaml", "train: [\n", r"data\.yaml in .* is not YAML"),
    "yolo names": (yolo, "data.yaml", "train: images\nnames: {a: b}\n", r"data\.yaml in .*, names: expected"),
    "yolo nowhere": (yolo, "data.yaml", "train: elsewhere\nnames: [a]\n", r"data\.yaml in .* names no folder that has"),
    "yolo list": (yolo_with_lists, "train.txt", "gone.jpg\n", r"train\.txt in .*, line 1 names the image 'gone\.jpg'"),
    "voc xml": (voc, "Annotations/one.xml", "<annotation>\n<", r"Annotations/one\.xml in .*, line 2: not xml"),
    "cvat image": (
        cvat,
        "annotations.xml",
        '<annotations><image name="gone.jpg"/></annotations>',
        r"annotations\.xml in .*, image 1 names the image 'gone\.jpg'",
    ),
    "cvat side": (
        cvat,
        "annotations.xml",
        '<annotations><image name="train/one.jpg"><box label="a" xtl="x"/></image></annotations>',
        r"annotations\.xml in .*, image 1: expected numbers",
    ),
    "voc no name": (
        voc,
        "Annotations/one.xml",
        "<annotation><object/></annotation>",
        r"one\.xml in .*, object 1 has no",
    ),
    "voc no box": (
        voc,
        "Annotations/one.xml",
        "<annotation><object><name>cat</name></object></annotation>",
        r"one\.xml in .*, object 1: expected numbers",
    ),
    "voc list": (
        voc,
        "ImageSets/Main/val.txt",
        "gone\n",
        r"Main/val\.txt in .*, line 1 names the image 'gone'",
    ),
    "voc image": (
        voc,
        "Annotations/gone.xml",
        "<annotation><filename>gone.jpg</filename></annotation>",
        r"gone\.xml in .* names the image 'gone\.jpg'",
    ),
    "coco": (coco_2017, "annotations/instances_val2017.json", "{", r"instances_val2017\.json in .*, line 1: not JSON"),
    "coco image": (
        coco_2017,
        "annotations/instances_val2017.json",
        json.dumps({"images": [{"id": 1, "file_name": "gone.jpg"}]}),
        r"instances_val2017\.json in .* names the image 'gone\.jpg'",
    ),
    "roboflow": (
        roboflow,
        "val/_annotations.coco.json",
        "[]",
        r"val/_annotations\.coco\.json in .* is not a COCO json",
    ),
    "labelme": (
        labelme,
        "train/one.json",
        '{"shapes": [{"label": "a", "points": 3}]}',
        r"one\.json in .*, shape 1: expected",
    ),
    "labelme json": (labelme, "train/one.json", "{\n", r"train/one\.json in .*, line 2: not JSON"),
    "imagefolder": (
        image_folder,
        "train/metadata.jsonl",
        '{"file_name": "gone.jpg"}\n',
        r"metadata\.jsonl in .*, line 1 names",
    ),
    "imagefolder json": (
        image_folder,
        "val/metadata.jsonl",
        '{"file_name": "none.jpg"}\n{\n',
        r"jsonl in .*, line 2: not",
    ),
    "imagefolder boxes": (
        image_folder,
        "train/metadata.jsonl",
        '{"file_name": "one.jpg", "objects": {"bbox": [[1, 2]], "categories": [0]}}\n',
        r"metadata\.jsonl in .*, line 1, object 1: expected bbox",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_malformed_is_said_with_file_and_place(case: str, tmp_path: Path) -> None:
    write, file, content, words = MALFORMED[case]
    write(tmp_path)
    put(tmp_path / file, content)
    if case == "voc image":
        for path in (tmp_path / "ImageSets/Main").iterdir():
            path.unlink()
    with pytest.raises(BoxlessError, match=words) as raised:
        read_data(tmp_path, "all", strict=True)
    assert "\n" not in str(raised.value)
