"""Data as other programs lay it out: the same images, boxes, classes and splits whatever the layout."""

import csv
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from boxless.boxes.from_heatmap import Detections
from boxless.cli.check import there_is, to_look_at
from boxless.data.annotation_files import read_truth
from boxless.data.check import check
from boxless.data.dataset import Dataset
from boxless.data.folder import read_data, splits
from boxless.data.layouts import recognise
from boxless.export import write_boxes
from boxless.runtime.errors import BoxlessError, UsageError

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


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_every_layout_gives_splits_classes_and_boxes_to_the_pixel(layout: str, zipped: bool, tmp_path: Path) -> None:
    write, name = LAYOUTS[layout]
    root = tmp_path / "data"
    write(root)
    if zipped:
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
            for file in root.rglob("*"):
                archive.write(file, file.relative_to(tmp_path).as_posix())
        root = tmp_path / "data.zip"
    found = recognise(root)
    assert found is not None and found.name == name
    assert splits(root) == ["train", "val"]
    with pytest.raises(UsageError, match="has the splits train, val"):
        read_data(root)
    for split in ("train", "val"):
        data = read_data(root, split)
        assert known(data) == expected(split)
        assert data.classes == ["cat", "dog"]
        there = set(data.source.names())
        assert all(sample.name in there for sample in data.samples)
        assert all(sample.size in (None, IMAGES[split][PurePosixPath(sample.name).name][0]) for sample in data.samples)
    assert known(read_data(root, "all")) == expected("train") | expected("val")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_check_names_the_layout_and_finds_nothing_wrong(layout: str, tmp_path: Path) -> None:
    write, name = LAYOUTS[layout]
    write(tmp_path)
    found = check(tmp_path)
    assert f"Layout: {name}." in list(there_is(found))
    assert found.boxes == 6 and found.boxed == 4 and set(found.classes) == {"cat", "dog"}
    assert not found.unreadable and not found.strange_annotations and set(found.wrong_boxes) <= {"tiny"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_truth_for_scores(layout: str, tmp_path: Path) -> None:
    LAYOUTS[layout][0](tmp_path)
    truth = read_truth(tmp_path)
    both = IMAGES["train"] | IMAGES["val"]
    assert {PurePosixPath(name).name: size for name, size in zip(truth.names, truth.sizes, strict=True)} == {
        name: size for name, (size, _) in both.items()
    }
    assert sum(0 if boxes is None else len(boxes) for boxes in truth.boxes) == 6


NAMES = ["train/cat/a b.jpg", "train/cat/turned.jpg", "train/images/deep/x.jpg", "y.png", "y.jpg", "none.jpg"]


@pytest.mark.parametrize("format", ["coco", "voc", "yolo", "csv"])
def test_what_is_exported_is_read_back_under_the_names_of_the_photographs(format: Any, tmp_path: Path) -> None:
    made = photographs(tmp_path / "photos")
    write_boxes(made, tmp_path / "out", format, ["cat", "dog"], pictures=tmp_path / "photos")
    truth = read_truth(tmp_path / "out")
    found = dict(zip(truth.names, zip(truth.sizes, truth.boxes, strict=True), strict=True))
    assert found.keys() == {one.name for one in made if format != "csv" or len(one.boxes)}
    for one in made:
        size, boxes = found.get(one.name, (one.size, None))
        assert size == one.size
        assert ([] if boxes is None else boxes.tolist()) == one.boxes.tolist()
    named = [None if label is None else truth.classes[label] for label in truth.labels]
    assert [name for name in named if name] == [one.label for one in sorted_like(truth.names, made) if len(one.boxes)]


def sorted_like(names: list[str], made: list[Detections]) -> list[Detections]:
    return [next(one for one in made if one.name == name) for name in names]


def photographs(root: Path) -> list[Detections]:
    made = []
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for number, name in enumerate(NAMES):
        size = (37 + number, 101)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        stored, options = (size[::-1], {"exif": exif}) if "turned" in name else (size, {})
        Image.new("RGB", stored).save(root / name, **options)
        corners = rng.integers(0, 18, (0 if "none" in name else 1 + number % 2, 2))
        boxes = np.hstack([corners, corners + rng.integers(1, 19, corners.shape)]).astype(np.float32)
        made.append(Detections(name, size, boxes, np.ones(len(boxes), np.float32), "cat" if number % 2 else "dog"))
    return made


def test_a_yolo_export_is_a_data_set_and_its_labels_lie_where_ultralytics_looks(tmp_path: Path) -> None:
    made = photographs(tmp_path / "photos")
    out = tmp_path / "images" / "found"  # a folder of that name above the export makes no difference
    write_boxes(made, out, "yolo", ["cat", "dog"], pictures=tmp_path / "photos")
    links = [path for path in (out / "images").rglob("*") if path.is_symlink()]
    assert len(links) == len(made)
    for link in links:
        # ultralytics' img2label_paths, as documented: the last /images/ becomes /labels/, the extension .txt.
        label = Path("/labels/".join(str(link).rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt")
        original = link.readlink().relative_to(tmp_path / "photos").as_posix()
        (one,) = (one for one in made if one.name == original)
        assert len(label.read_text().splitlines()) == len(one.boxes)
    data = read_data(out)
    assert recognise(out) is not None and splits(out) == []
    assert len(data) == len(made) and sum(0 if one.boxes is None else len(one.boxes) for one in data.samples) == 7
    found = check(out)
    assert found.boxes == 7 and not found.unreadable and not found.strange_annotations


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["coco", "voc", "yolo", "csv"]),
    st.lists(
        st.tuples(st.sampled_from(["", "a b/", "images/", "Ü/labels/"]), st.integers(1, 4000), st.integers(1, 4000)),
        min_size=1,
        max_size=4,
    ),
    st.data(),
)
def test_whole_pixels_come_back_exactly_from_every_format(format: Any, sizes: Any, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        photos, made = Path(folder, "photos"), []
        for number, (below, width, height) in enumerate(sizes):
            name = f"{below}{number}.ppm"  # its header is enough to know the size, and takes no time to write
            put(photos / name, f"P6 {width} {height} 255\n")
            x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
            x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
            box = np.array([[x0, y0, x1, y1]], np.float32)
            made.append(Detections(name, (width, height), box, np.ones(1, np.float32), "no: yes"))
        write_boxes(made, Path(folder, "out"), format, ["other", "no: yes"], pictures=photos)
        truth = read_truth(Path(folder, "out"))
        found = dict(zip(truth.names, zip(truth.sizes, truth.boxes, truth.labels, strict=True), strict=True))
        assert found.keys() == {one.name for one in made}
        for one in made:
            size, boxes, label = found[one.name]
            assert size == one.size and boxes is not None and boxes.tolist() == one.boxes.tolist()
            assert label is not None and truth.classes[label] == "no: yes"


def test_a_yolo_export_without_links_asks_for_the_photographs(tmp_path: Path) -> None:
    from boxless.data.sources import FolderSource

    made = photographs(tmp_path / "photos")
    write_boxes(made, tmp_path / "out", "yolo", ["cat", "dog"])
    with pytest.raises(BoxlessError, match=r"has no images/.*Put them there"):
        read_truth(tmp_path / "out")
    truth = read_truth(tmp_path / "out", FolderSource(tmp_path / "photos"))
    assert dict(zip(truth.names, truth.sizes, strict=True)) == {one.name: one.size for one in made}


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
    "voc list": (voc, "ImageSets/Main/val.txt", "gone\n", r"ImageSets/Main/val\.txt in .*, line 1 names 'gone'"),
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
        read_data(tmp_path, "all")
    assert "\n" not in str(raised.value)


def test_boxes_outside_are_refused_and_reaching_ones_cut_off(tmp_path: Path) -> None:
    labelme(tmp_path)
    shapes = [{"label": "cat", "points": [[-5, 3], [20, 90]], "shape_type": "rectangle"}]
    put(tmp_path / "train/one.json", {"shapes": shapes, "imageWidth": 60, "imageHeight": 40})
    assert known(read_data(tmp_path, "train"))["one.jpg"] == ("cat", [[0, 3, 20, 40]])
    shapes[0]["points"] = [[70, 3], [80, 9]]
    put(tmp_path / "train/one.json", {"shapes": shapes, "imageWidth": 60, "imageHeight": 40})
    with pytest.raises(BoxlessError, match=r"train/one\.json in .*, shape 1: the box 70,3,80,9 lies outside"):
        read_data(tmp_path, "train")


def test_shapes_that_are_no_rectangles_give_the_boxes_around_them(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", (60, 40))
    shapes = [
        {"label": "a", "points": [[20, 20], [23, 24]], "shape_type": "circle"},
        {"label": "a", "points": [[1, 2], [9, 4], [5, 30]], "shape_type": "polygon"},
        {"label": "a", "points": [[1, 2]], "shape_type": "point"},
    ]
    put(tmp_path / "a.json", {"shapes": shapes, "imagePath": "a.jpg"})
    assert known(read_data(tmp_path))["a.jpg"] == ("a", [[15, 15, 25, 25], [1, 2, 9, 30]])


def test_yolo_polygons_key_points_and_scores(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg", (100, 50))
    put(tmp_path / "labels/a.txt", "0 .1 .2 .5 .2 .3 .8\n0 .5 .5 .2 .4 .93\n")
    put(tmp_path / "data.yaml", "train: images\nval: images\nnames: [no]\n")
    data = read_data(tmp_path)
    assert data.classes == ["no"] and known(data)["a.jpg"] == ("no", [[10, 10, 50, 40], [40, 15, 60, 35]])
    put(tmp_path / "labels/a.txt", "0 .5 .5 .2 .4 .1 .1 2 .9 .9 1\n")
    put(tmp_path / "data.yaml", "train: images\nnames: [no]\nkpt_shape: [2, 3]\n")
    assert known(read_data(tmp_path, "train"))["a.jpg"] == ("no", [[40, 15, 60, 35]])


def test_yolo_of_label_studio_has_its_classes_in_a_text_file(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg", (100, 50))
    put(tmp_path / "labels/a.txt", "1 .5 .5 .2 .4\n")
    put(tmp_path / "classes.txt", "cat\ndog\n")
    put(tmp_path / "notes.json", {})
    assert known(read_data(tmp_path)) == {"a.jpg": ("dog", [[40, 15, 60, 35]])}


def test_yolo_boxes_fit_the_upright_picture_and_broken_ones_keep_their_class(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.new("RGB", (50, 100)).save(tmp_path / "images/a.jpg", exif=exif)
    (tmp_path / "images/b.jpg").write_bytes(b"\xff\xd8\xff broken")
    for name in "ab":
        put(tmp_path / f"labels/{name}.txt", "0 .5 .5 .2 .4\n")
    put(tmp_path / "data.yaml", "train: images\nnames: [cat]\n")
    data = read_data(tmp_path, "train")
    assert known(data) == {"a.jpg": ("cat", [[40, 15, 60, 35]]), "b.jpg": ("cat", [])}
    assert data.samples[0].size == (100, 50)


def test_xml_without_a_size_is_read(tmp_path: Path) -> None:
    voc_beside(tmp_path)
    path = tmp_path / "train/one.xml"
    path.write_text(
        path.read_text().replace("<width>60</width>", "").replace("<height>40</height>", "<height>0</height>")
    )
    sample = next(one for one in read_data(tmp_path, "train").samples if one.name == "train/one.jpg")
    assert sample.size is None and sample.boxes is not None and sample.boxes.tolist() == [[0, 0, 60, 40]]


def test_cvat_names_a_job_without_splits_default(tmp_path: Path) -> None:
    for name, (size, _) in IMAGES["train"].items():
        picture(tmp_path / "images/default" / name, size)
    put(tmp_path / "annotations/instances_default.json", coco(IMAGES["train"]))
    assert splits(tmp_path) == [] and known(read_data(tmp_path)) == expected("train")


def test_classes_of_an_imagefolder_may_be_numbers_labels_or_folders(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "cat/c.jpg"):
        picture(tmp_path / name, (9, 9))
    objects = {"bbox": [[1, 2, 3, 4]], "categories": [11]}
    rows = [{"file_name": "a.jpg", "objects": objects}, {"file_name": "b.jpg", "label": "dog"}]
    put(tmp_path / "metadata.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    assert known(read_data(tmp_path)) == {
        "a.jpg": ("11", [[1, 2, 4, 6]]),
        "b.jpg": ("dog", []),
        "c.jpg": ("cat", []),
    }


def test_files_of_boxless_come_first_and_plain_folders_have_no_layout(tmp_path: Path) -> None:
    yolo(tmp_path)
    put(tmp_path / "boxes.csv", "image,x0,y0,x1,y1\nimages/train/one.jpg,1,2,3,4\n")
    assert recognise(tmp_path) is None
    picture(tmp_path / "plain/cat/a.jpg", (9, 9))
    put(tmp_path / "plain/notes.json", {"no": "annotation"})
    put(tmp_path / "plain/config.yaml", "lr: 0.1\n")
    assert recognise(tmp_path / "plain") is None and recognise(tmp_path / "nowhere") is None


def test_annotations_of_an_unknown_layout_are_named(tmp_path: Path) -> None:
    for number in range(2):
        picture(tmp_path / f"photos/{number}.jpg", (9, 9))
        put(tmp_path / f"photos/{number}.txt", "0 0.5 0.5 1 1")
    put(tmp_path / "instances.xml", "<dataset/>")
    put(tmp_path / "readme.txt", "no annotation")
    found = check(tmp_path)
    assert found.strange_annotations == ["instances.xml", "photos/0.txt", "photos/1.txt"]
    assert "3 files that look like annotations" in "\n".join(to_look_at(found)) and found.others == {".txt": 1}
