"""One row that cannot be, and one about an image that is not there: every format, in every command, one verdict."""

import io
import json
import logging
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import layouts_written
import numpy as np
import pytest
from layouts_written import LAYOUTS, picture, put

from boxless.boxes.from_heatmap import Detections
from boxless.cli.check import to_look_at
from boxless.data.annotation_files import read_truth
from boxless.data.check import check
from boxless.data.folder import read_data
from boxless.data.pseudo_boxes import with_found
from boxless.evaluation.calibrate import with_boxes
from boxless.export import Format, write_boxes
from boxless.review.proposals import proposals
from boxless.runtime.errors import BoxlessError

MANY: dict[str, Any] = {
    split: {f"{split[0]}{number}.png": ((60, 40), [("cat", (number, 2, 30, 31))]) for number in range(6)}
    for split in ("train", "val")
}
"""Twelve images with a box each: one that cannot be is less than a tenth of them."""
GONE = "gone.png"

Plant = Callable[[Path], object]


def added(file: str, text: str) -> Plant:
    return lambda root: (root / file).open("a").write(text)


def inside(file: str, before: str, text: str) -> Plant:
    """Text that is put before another one, where that comes last."""

    def plant(root: Path) -> None:
        head, mark, tail = (root / file).read_text().rpartition(before)
        assert mark
        (root / file).write_text(f"{head}{text}{mark}{tail}")

    return plant


def removed(name: str) -> Plant:
    return lambda root: next(path for path in root.rglob(name) if path.suffix == ".png").unlink()


def shape_of_labelme(root: Path) -> None:
    content = json.loads((root / "train/t0.json").read_text())
    put(root / "train/t0.json", content | {"shapes": [*content["shapes"], {"label": "cat", "points": 3}]})


def annotation_of_coco(file: str) -> Plant:
    def plant(root: Path) -> None:
        content = json.loads((root / file).read_text())
        row = {"id": 99, "image_id": 0, "category_id": 1, "bbox": [1, 2, "x", 4]}
        put(root / file, content | {"annotations": [*content["annotations"], row]})

    return plant


def boxes_csv(root: Path) -> None:
    rows = ["image,class,width,height,x0,y0,x1,y1\n"]
    for split, images in layouts_written.IMAGES.items():
        for name, (size, boxes) in images.items():
            picture(root / split / name, size)
            sides = [f"{label},{size[0]},{size[1]},{','.join(map(str, box))}" for label, box in boxes]
            rows += [f"{split}/{name},{row}\n" for row in sides]
    put(root / "boxes.csv", "".join(rows))


def lists_of_wsol(root: Path) -> None:
    images = MANY["train"] | MANY["val"]
    for name, (size, _) in images.items():
        picture(root / "cat" / name, size)
    put(root / "image_ids.txt", "".join(f"cat/{name}\n" for name in images))
    put(root / "class_labels.txt", "".join(f"cat/{name},0\n" for name in images))
    put(root / "image_sizes.txt", "".join(f"cat/{name},60,40\n" for name in images))
    boxes = {name: boxes for images in layouts_written.IMAGES.values() for name, (_, boxes) in images.items()}
    rows = [f"cat/{name},{','.join(map(str, box))}\n" for name, found in boxes.items() for _, box in found]
    put(root / "localization.txt", "".join(rows))


def cub(root: Path) -> None:
    names = [f"1.cat/{name}" for images in MANY.values() for name in images]
    for name in names:
        picture(root / "images" / name, (60, 40))
    numbered = list(enumerate(names, 1))
    put(root / "images.txt", "".join(f"{number} {name}\n" for number, name in numbered))
    put(root / "classes.txt", "1 1.cat\n")
    put(root / "image_class_labels.txt", "".join(f"{number} 1\n" for number, _ in numbered))
    put(root / "train_test_split.txt", "".join(f"{number} {number % 2}\n" for number, _ in numbered))
    put(root / "bounding_boxes.txt", "".join(f"{number} 1 2 {number} 30\n" for number, _ in numbered))


def shards(root: Path, boxes: list[Any] | None = None) -> None:
    """What webdataset writes; it has no rows about images that are not there."""
    root.mkdir(exist_ok=True)
    with tarfile.open(root / "a-000000.tar", "w") as shard:
        for number, name in enumerate([*MANY["train"], *MANY["val"]]):
            picture(root / "tmp.png", (60, 40))
            content = json.dumps({"boxes": [[number, 2, 30, 31], *((boxes or []) if not number else [])]}).encode()
            for end, data in ((".png", (root / "tmp.png").read_bytes()), (".json", content)):
                (entry := tarfile.TarInfo(name.removesuffix(".png") + end)).size = len(data)
                shard.addfile(entry, io.BytesIO(data))
    (root / "tmp.png").unlink()


WRITERS: dict[str, Callable[[Path], None]] = {
    **{name: write for name, (write, _) in LAYOUTS.items()},
    "boxes.csv": boxes_csv,
    "lists of wsol": lists_of_wsol,
    "CUB": cub,
    "shards": shards,
}

WITHOUT_SIDES = "<object><name>cat</name></object>"
LABEL = "0 a b c d\n"
METADATA = {"file_name": "t0.png", "objects": {"bbox": [[1, 2]], "categories": ["cat"]}}
BAD: dict[str, tuple[Plant, str]] = {
    "yolo": (added("labels/train/t0.txt", LABEL), "t0.txt in"),
    "yolo of roboflow": (added("train/labels/t0.txt", LABEL), "t0.txt in"),
    "yolo with lists": (added("labels/train/t0.txt", "7 .5 .5 1 1\n"), "the class 7, and there are 2 names"),
    "voc": (inside("Annotations/t0.xml", "</annotation>", WITHOUT_SIDES), "t0.xml in"),
    "voc beside": (inside("train/t0.xml", "</annotation>", "<"), "not xml"),
    "roboflow": (annotation_of_coco("train/_annotations.coco.json"), "annotation 99: expected numbers"),
    "coco 2017": (annotation_of_coco("annotations/instances_train2017.json"), "annotation 99: expected numbers"),
    "coco in images": (annotation_of_coco("annotations/instances_train.json"), "annotation 99: expected numbers"),
    "coco in one folder": (annotation_of_coco("annotations/instances_train2017.json"), "annotation 99"),
    "labelme": (shape_of_labelme, "train/t0.json in"),
    "cvat": (inside("annotations.xml", "</image>", '<box label="cat" xtl="x"/>'), "image 12: expected numbers"),
    "imagefolder": (added("train/metadata.jsonl", "{\n"), "line 7: not JSON"),
    "imagefolder csv": (added("train/metadata.csv", 't1.png,"[{"\n'), "objects is not JSON"),
    "boxes.csv": (added("boxes.csv", "train/t0.png,cat,60,40,1,2,30,x\n"), "line 14: expected numbers"),
    "lists of wsol": (added("localization.txt", "cat/t0.png,1,2,3,d\n"), "line 13: expected numbers"),
    "CUB": (added("bounding_boxes.txt", "3 1 2 x 4\n"), "line 13: expected numbers"),
    "shards": (lambda root: shards(root, [[1, 2, "x", 4]]), "t0 in the shards of"),
}
ABSENT: dict[str, tuple[Plant, str]] = {
    "yolo": (lambda root: put(root / "labels/train/gone.txt", "0 .5 .5 .2 .2\n"), "gone"),
    "yolo of roboflow": (lambda root: put(root / "train/labels/gone.txt", "0 .5 .5 .2 .2\n"), "gone"),
    "yolo with lists": (added("train.txt", "./images/train/gone.png\n"), "gone"),
    "voc": (removed("t3.png"), "t3.png"),
    "voc beside": (removed("t3.png"), "t3.png"),
    "roboflow": (removed("t0.png"), "t0.png"),
    "coco 2017": (removed("t0.png"), "t0.png"),
    "coco in images": (removed("t3.png"), "t3.png"),
    "coco in one folder": (removed("t3.png"), "t3.png"),
    "labelme": (removed("t3.png"), "t3.png"),
    "cvat": (removed("t3.png"), "t3.png"),
    "imagefolder": (added("train/metadata.jsonl", json.dumps(METADATA | {"file_name": GONE}) + "\n"), GONE),
    "imagefolder csv": (removed("t3.png"), "t3.png"),
    "boxes.csv": (added("boxes.csv", "train/gone.png,cat,60,40,1,2,30,9\n"), GONE),
    "lists of wsol": (removed("t0.png"), "t0.png"),
    "CUB": (removed("t0.png"), "t0.png"),
}


def readers(boxes: Path, photos: Path) -> dict[str, Callable[[bool], object]]:
    """What reads boxes for each command, given whether it is strict."""
    data = read_data(photos, "all")
    score = {"score": lambda strict: read_truth(boxes, strict=strict)} if boxes == photos else {}
    return score | {
        "calibrate": lambda strict: with_boxes(data, boxes, strict=strict),
        "review": lambda strict: proposals(boxes, data, strict=strict),
        "train psol": lambda strict: [strict and read_truth(boxes, data.source, strict=True), with_found(data, boxes)],
    }


def readers_of(root: Path) -> dict[str, Callable[[bool], object]]:
    """The same for data that has boxes of its own; shards are no truth for others."""
    itself = {"evaluate": lambda strict: read_data(root, "all", strict=strict)}
    return itself if (root / "a-000000.tar").exists() else itself | readers(root, root)


def judge(read: Callable[[bool], object], counted: str, named: str, caplog: pytest.LogCaptureFixture) -> None:
    """By default it is counted and named, and with --strict it is refused in a sentence."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        read(False)
    assert counted in caplog.text and named in caplog.text
    with pytest.raises(BoxlessError) as refused:
        read(True)
    assert named in str(refused.value) and "\n" not in str(refused.value)


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts_written, "IMAGES", MANY)


@pytest.mark.parametrize("layout", BAD)
def test_a_row_that_cannot_be_is_left_out_and_named(
    layout: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plant, named = BAD[layout]
    WRITERS[layout](tmp_path / "data")
    plant(tmp_path / "data")
    for read in readers_of(tmp_path / "data").values():
        judge(read, "1 of 1", named, caplog)
    data = read_data(tmp_path / "data", "all")
    lost = layout == "voc beside"  # where the row tells of a whole image
    assert len(data) == 12 and sum(sample.boxes is not None for sample in data.samples) == 12 - lost
    found = check(tmp_path / "data")
    assert len(found.bad_rows) == 1 and not found.unreadable and not found.absent
    assert named in found.bad_rows[0] and "1 box that cannot be" in "\n".join(to_look_at(found))


@pytest.mark.parametrize("layout", ABSENT)
def test_an_image_that_is_not_there_is_left_out_and_named(
    layout: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plant, named = ABSENT[layout]
    WRITERS[layout](tmp_path / "data")
    plant(tmp_path / "data")
    for command, read in readers_of(tmp_path / "data").items():
        if command == "score" and layout in ("boxes.csv", "lists of wsol"):
            continue  # which needs no images there
        judge(read, "1 image is not there", named, caplog)
    data = read_data(tmp_path / "data", "all")
    assert len(data) == (11 if plant.__qualname__.startswith("removed") else 12)
    assert all(sample.boxes is not None for sample in data.samples)
    found = check(tmp_path / "data")
    assert len(found.absent) == 1 and not found.unreadable and not found.bad_rows
    assert "1 image named by annotations and not there." in "\n".join(to_look_at(found))


@pytest.mark.parametrize("layout", sorted(WRITERS.keys() - {"CUB", "shards"}))  # CUB has one box an image
def test_a_box_that_is_there_twice_counts_once(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    size, boxes = MANY["train"]["t4.png"]
    monkeypatch.setitem(MANY["train"], "t4.png", (size, boxes * 2))
    WRITERS[layout](tmp_path / "data")
    for read in readers_of(tmp_path / "data").values():
        judge(read, "1 box is there twice", "repeats the box of", caplog)
    found = [sample.boxes for sample in read_data(tmp_path / "data", "all").samples]
    assert [0 if boxes is None else len(boxes) for boxes in found] == [1] * 12
    assert "1 box that an image has twice" in "\n".join(to_look_at(check(tmp_path / "data")))


def test_boxes_of_two_classes_in_one_place_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = (1, 2, 30, 31)
    monkeypatch.setitem(MANY["train"], "t4.png", ((60, 40), [("cat", box), ("dog", box)]))
    LAYOUTS["coco 2017"][0](tmp_path)
    boxes = next(sample.boxes for sample in read_data(tmp_path, "train").samples if "t4" in sample.name)
    assert boxes is not None and len(boxes) == 2


def test_a_file_in_the_current_folder_is_called_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    boxes_csv(tmp_path)
    BAD["boxes.csv"][0](tmp_path)
    monkeypatch.chdir(tmp_path)
    read_data(Path(), "all")
    assert "left out. boxes.csv, line 14: expected numbers" in caplog.text


def test_no_layout_is_missing_above() -> None:
    assert BAD.keys() == WRITERS.keys() == ABSENT.keys() | {"shards"}


@pytest.mark.parametrize("format", get_args(Format))
@pytest.mark.parametrize("linked", [False, True], ids=["without links", "with links"])
def test_photographs_that_went_after_they_were_searched(
    format: Any, linked: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos, names = tmp_path / "photos", [f"cat/{number}.png" for number in range(12)]
    for name in names:
        picture(photos / name, (60, 40))
    box, score = np.array([[1, 2, 30, 31]], np.float32), np.ones(1, np.float32)
    found = [Detections(name, (60, 40), box, score, "cat") for name in names]
    write_boxes(found, tmp_path / "found", format, ["cat"], pictures=photos if linked else None)
    for name in names[:5]:
        (photos / name).unlink()
    for read in readers(tmp_path / "found", photos).values():
        judge(read, "5 images are not there", "cat/0", caplog)
        assert "Then 2 more." in caplog.text
    for name in names:
        (photos / name).unlink(missing_ok=True)
    picture(photos / "dog/0.png", (60, 40))
    for read in readers(tmp_path / "found", photos).values():
        with pytest.raises(BoxlessError, match="None of the 12 images that are named is there"):
            read(False)
