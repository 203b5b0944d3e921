import json
from pathlib import Path
from typing import Any

import pytest

from boxless.data.folder import read_data, splits
from boxless.runtime.errors import BoxlessError


def content() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "a b.jpg", "width": 50, "height": 40},
            {"id": 3, "file_name": "sub\\c.png", "width": 20, "height": 20},
            {"id": 4, "file_name": "./none.png"},
        ],
        "categories": [{"id": 9, "name": "emu"}, {"id": 2, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 9, "bbox": [1, 2, 30, 37.5]},
            {"id": 2, "image_id": 7, "category_id": 9, "bbox": [40, 30, 20, 20]},
            {"id": 3, "image_id": 7, "category_id": 9, "bbox": [0, 0, 50, 40], "iscrowd": 1},
            {"id": 4, "image_id": 3, "category_id": 9, "bbox": [0, 0, 5, 5]},
            {"id": 5, "image_id": 3, "category_id": 2, "bbox": [5, 5, 0, 5]},
        ],
    }


def write(root: Path, images: str, data: object, name: str = "annotations.json") -> Path:
    for image in ("a b.jpg", "sub/c.png", "none.png"):
        (root / images / image).parent.mkdir(parents=True, exist_ok=True)
        (root / images / image).touch()
    (root / name).write_text(data if isinstance(data, str) else json.dumps(data))
    return root / name


@pytest.mark.parametrize("images", ["", "data", "images", "annotations"])
def test_boxes_labels_and_sizes(tmp_path: Path, images: str) -> None:
    data = read_data(write(tmp_path, images, content()))
    assert data.classes == ["cat", "emu"]
    emus, both, nothing = data.samples
    assert (emus.name, emus.label, emus.size) == ("a b.jpg", 1, (50, 40))
    assert emus.boxes is not None
    assert emus.boxes.tolist() == [[1, 2, 31, 39.5], [40, 30, 50, 40]]
    assert emus.crowds is not None and emus.crowds.tolist() == [[0, 0, 50, 40]]
    assert (both.name, both.label) == ("sub/c.png", None)
    assert both.boxes is not None
    assert both.boxes.tolist() == [[0, 0, 5, 5]]
    assert (nothing.name, nothing.label, nothing.boxes, nothing.size) == ("none.png", None, None, None)
    assert data.source.read("sub/c.png") == b""


def test_a_given_root_of_the_images(tmp_path: Path) -> None:
    path = write(tmp_path / "lists", "../far away", content())
    with pytest.raises(BoxlessError, match="Say where the images are"):
        read_data(path)
    assert len(read_data(path, images=tmp_path / "far away")) == 3


def test_fiftyone_folders_with_and_without_splits(tmp_path: Path) -> None:
    write(tmp_path / "flat", "data", content(), "labels.json")
    assert len(read_data(tmp_path / "flat")) == 3
    write(tmp_path / "both" / "train", "data", content(), "labels.json")
    write(tmp_path / "both" / "test", "data", content(), "labels.json")
    assert splits(tmp_path / "both") == ["train", "test"]
    assert read_data(tmp_path / "both", "test").split == "test"


def changed(path: list[Any], value: object) -> dict[str, Any]:
    data = content()
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ('{"images": [\n{]', "line 2: not JSON"),
        ([1], "is not a COCO json: it has no list of images"),
        (changed(["images"], "x"), "images is not a list of objects"),
        (changed(["images"], []), "lists no images"),
        (changed(["images", 0, "file_name"], None), "image 7: expected 'file_name'"),
        (changed(["images", 0, "width"], -1), "image 7: expected whole numbers"),
        (changed(["annotations", 0, "image_id"], 99), "annotation 1: there is no image with the id 99"),
        (changed(["annotations", 0, "category_id"], 99), "annotation 1: there is no category with the id 99"),
        (changed(["annotations", 1, "bbox"], [1, 2, 3]), "annotation 2: expected bbox"),
        (changed(["annotations", 1, "bbox"], [1, 2, "a", 4]), "annotation 2: expected numbers"),
        (changed(["annotations", 1, "bbox"], [1, 2, -3, 4]), "annotation 2: the box 1,2,-2,6 is empty"),
        (changed(["annotations", 1, "bbox"], [99, 2, 3, 4]), "annotation 2: the box 99,2,102,6 lies outside"),
        (changed(["categories", 0, "id"], "x"), "categories: expected numbers"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, data: object, complaint: str) -> None:
    path = write(tmp_path, "", data)
    with pytest.raises(BoxlessError) as error:
        read_data(path)
    assert complaint in str(error.value)
    assert "annotations.json" in str(error.value)
