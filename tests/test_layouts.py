"""Data as other programs lay it out: the same images, boxes, classes and splits whatever the layout."""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts_written import (
    IMAGES,
    LAYOUTS,
    coco,
    coco_2017,
    coco_in_one_folder,
    expected,
    known,
    labelme,
    picture,
    put,
    voc_beside,
    yolo,
)
from layouts_written import xml as voc_xml
from PIL import Image

from boxless.boxes.from_heatmap import Detections
from boxless.cli.check import there_is, to_look_at
from boxless.data.annotation_files import read_truth
from boxless.data.check import check
from boxless.data.folder import read_data, splits
from boxless.data.layouts import recognise
from boxless.export import write_boxes
from boxless.runtime.errors import BoxlessError, UsageError


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
        for line in (
            line for path in Path(folder, "out/labels").rglob("*.txt") for line in path.read_text().split("\n")
        ):
            x, y, w, h = map(Decimal, line.split()[1:] or (0, 0, 0, 0))  # not a millionth beyond the picture
            assert min(x - w / 2, y - h / 2) >= 0 and max(x + w / 2, y + h / 2) <= 1


def test_a_yolo_export_without_links_asks_for_the_photographs(tmp_path: Path) -> None:
    from boxless.data.sources import FolderSource

    made = photographs(tmp_path / "photos")
    write_boxes(made, tmp_path / "out", "yolo", ["cat", "dog"])
    with pytest.raises(BoxlessError, match=r"has no images/.*Put them there"):
        read_truth(tmp_path / "out")
    truth = read_truth(tmp_path / "out", FolderSource(tmp_path / "photos"))
    assert dict(zip(truth.names, truth.sizes, strict=True)) == {one.name: one.size for one in made}


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


@pytest.mark.parametrize(
    ("file", "content"), [("classes.txt", "cat\ndog\n"), ("data.yaml", "names: [cat, dog]\nnc: 2\n")]
)
def test_yolo_without_splits_of_label_studio_and_supervision(file: str, content: str, tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg", (100, 50))
    put(tmp_path / "labels/a.txt", "1 .5 .5 .2 .4\n")
    put(tmp_path / file, content)
    put(tmp_path / "notes.json", {})
    assert splits(tmp_path) == []
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


EMPTIED = {
    "data.yaml": ("", "images/a.png", "labels/a.txt"),
    "data.yml": ("train: images\n", "images/a.png", "labels/a.txt"),
    "obj.data": ("", "obj_train_data/a.png", "obj_train_data/a.txt"),
    "annotations.xml": ("<annotations/>", "images/a.png", ""),
    "metadata.csv": ("", "a.png", ""),
    "a.json": ("{}", "a.png", ""),
    "ImageSets/Main/train.txt": ("a\n", "JPEGImages/a.png", ""),
}


@pytest.mark.parametrize("name", EMPTIED)
def test_annotations_that_were_emptied_are_not_passed_over_in_silence(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content, image, label = EMPTIED[name]
    picture(tmp_path / image, (40, 30))
    put(tmp_path / name, content)
    if label:
        put(tmp_path / label, "0 0.5 0.5 1 1\n")
    assert not read_data(tmp_path).boxed
    named = label if name == "obj.data" else name
    assert "annotations in a layout that is not known" in caplog.text and named in caplog.text
    assert named in check(tmp_path).strange_annotations


def test_a_coco_json_of_any_name_is_pointed_to_and_read_in_the_place_of_the_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As tools leave one that cut data sets into tiles: the folder itself may hold more images than it names."""
    picture(tmp_path / "a.png", (40, 30))
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "categories": [{"id": 1, "name": "bee"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    }
    put(tmp_path / "tiles_coco.json", json.dumps(content))
    assert not read_data(tmp_path).boxed
    hint = f"If tiles_coco.json is a COCO json, give it in the place of the folder: {tmp_path / 'tiles_coco.json'}."
    assert hint in caplog.text and hint in "\n".join(to_look_at(check(tmp_path)))
    assert read_data(tmp_path / "tiles_coco.json").boxed


def test_images_of_pascal_voc_without_any_xml_are_not_passed_over_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture(tmp_path / "JPEGImages/a.png", (40, 30))
    (tmp_path / "Annotations").mkdir()
    assert len(read_data(tmp_path)) == 1
    assert "is taken for a class, as there is no xml of Pascal VOC's" in caplog.text


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("annotations/instances_train2017.json", "train2017/a.png"),
        ("annotations/instances_train.json", "images/train/a.png"),
        ("annotations/instances_default.json", "images/a.png"),
        ("train/_annotations.coco.json", "train/a.png"),
        ("result.json", "images/a.png"),
        ("annotations.xml", "images/a.png"),
        ("Annotations/a.xml", "JPEGImages/a.png"),
        ("a.json", "a.png"),
    ],
)
def test_annotations_without_content_are_refused_and_check_still_looks_at_the_images(
    name: str, image: str, tmp_path: Path
) -> None:
    picture(tmp_path / image, (40, 30))
    put(tmp_path / name, "")
    with pytest.raises(BoxlessError, match=rf"{Path(name).name} in .*line 1: not (JSON|xml)"):
        read_data(tmp_path, "all")
    found = check(tmp_path)
    assert found.images == found.readable == 1 and len(found.unreadable) == 1 and name in found.unreadable[0]


def written_from_zero(root: Path, place: str, images: str, boxes: Sequence[tuple[float, float, float, float]]) -> None:
    """VOC's xml with x, y, x + width, y + height as they are."""
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        picture(root / images / f"{number}.jpg", (60, 40))
        sides = f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        thing = f"<object><name>cat</name><bndbox>{sides}</bndbox></object>"
        put(root / place / f"{number}.xml", f"<annotation><filename>{number}.jpg</filename>{thing}</annotation>")


@pytest.mark.parametrize(("place", "images"), [("Annotations", "JPEGImages"), ("labels", "data"), ("a", "a")])
def test_one_box_at_an_edge_tells_that_an_xml_counts_from_zero(place: str, images: str, tmp_path: Path) -> None:
    boxes = [(3, 5, 9, 40), (0, 7.5, 60, 40)]
    written_from_zero(tmp_path, place, images, boxes)
    assert known(read_data(tmp_path)) == {f"{n}.jpg": ("cat", [list(box)]) for n, box in enumerate(boxes)}
    assert not set(check(tmp_path).wrong_boxes) - {"tiny"}
    written_from_zero(tmp_path, place, images, [(3, 5, 9, 40), (1, 1, 60, 40)])  # nothing begins at 0: from 1
    assert known(read_data(tmp_path))["1.jpg"] == ("cat", [[0, 0, 60, 40]])
    written_from_zero(tmp_path, place, images, [(3, 5, 9, 40), (-7, 5, 60, 40)])  # a box that reaches out tells nothing
    assert known(read_data(tmp_path))["0.jpg"] == ("cat", [[2, 4, 9, 40]])


def test_coco_of_label_studio_states_sizes_of_stored_pictures_and_boxes_of_upright_ones(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "images/1f__a b.jpg", exif=exif)
    content = coco({"images/1f__a b.jpg": ((60, 40), [("cat", (5, 7, 30, 59))])})
    put(tmp_path / "result.json", content)
    found = recognise(tmp_path)
    assert found is not None and found.name == "Label Studio COCO"
    assert known(read_data(tmp_path)) == {"1f__a b.jpg": ("cat", [[5, 7, 30, 59]])}
    assert read_truth(tmp_path).sizes == [(40, 60)]
    with pytest.raises(BoxlessError, match=r"has 40 x 60 pixels once it is turned upright, .* says 60 x 40"):
        read_truth(tmp_path / "result.json")  # any json: what reaches out of the stated size is never just cut off


def test_labels_json_of_fiftyone_is_truth_and_its_images_are_listed(tmp_path: Path) -> None:
    picture(tmp_path / "data/a.jpg", (60, 40))
    put(tmp_path / "labels.json", coco({"a.jpg": ((60, 40), [("cat", (5, 7, 30, 39))])}))
    truth, data = read_truth(tmp_path), read_data(tmp_path)
    assert truth.names == [sample.name for sample in data.samples] and truth.sizes == [(60, 40)]
    found = check(tmp_path)
    assert found.boxes == 1 and not found.unlisted
    picture(tmp_path / "data/b.jpg", (60, 40))
    assert check(tmp_path).unlisted == 1


def test_yolo_of_darknet_names_its_lists_in_obj_data(tmp_path: Path) -> None:
    for name, line in (("a b", "1 .5 .5 .2 .4\n"), ("none", "")):
        picture(tmp_path / f"obj_train_data/x y/{name}.jpg", (100, 50))
        put(tmp_path / f"obj_train_data/x y/{name}.txt", line)
    put(tmp_path / "train.txt", "data/obj_train_data/x y/a b.jpg\ndata/obj_train_data/x y/none.jpg\n")
    put(tmp_path / "obj.names", "cat\nred dog\n")
    put(tmp_path / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    data = read_data(tmp_path, "train")
    assert known(data) == {"a b.jpg": ("red dog", [[40, 15, 60, 35]]), "none.jpg": (None, [])}
    assert not check(tmp_path).strange_annotations


def test_a_mask_of_labelme_has_its_last_pixel_inside(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", (60, 40))
    put(tmp_path / "a.json", {"shapes": [{"label": "a", "points": [[3, 5], [9, 39]], "shape_type": "mask"}]})
    assert known(read_data(tmp_path))["a.jpg"] == ("a", [[3, 5, 10, 40]])


def test_shapes_of_cvat_that_are_no_upright_boxes_give_the_boxes_around_them(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", (60, 40))
    shapes = (
        '<box label="a" xtl="10" ytl="10" xbr="30" ybr="20" rotation="90"/>'
        '<ellipse label="a" cx="9" cy="8" rx="5" ry="2"/>'
        '<polygon label="a" points="1,2;9.5,4;5,30"/><mask label="a" left="3" top="4" width="5" height="6" rle="30"/>'
        '<points label="a" points="1,2"/>'
    )
    put(tmp_path / "annotations.xml", f'<annotations><image name="a.jpg">{shapes}</image></annotations>')
    (boxes,) = (box for _, box in known(read_data(tmp_path)).values())
    np.testing.assert_allclose(boxes, [[15, 5, 25, 25], [4, 6, 14, 10], [1, 2, 9.5, 30], [3, 4, 8, 10]], atol=1e-5)


def test_a_json_of_ours_in_each_split_is_read_for_all_of_them(tmp_path: Path) -> None:
    """As FiftyOne exports; images of one name in two splits are two images."""
    for split, images in IMAGES.items():
        for name, (size, _) in images.items():
            picture(tmp_path / split / "data" / name, size)
        picture(tmp_path / split / "data" / "same.png", (40, 30))
        same = {"same.png": ((40, 30), [("dog", (1, 2, 3, 4))])}
        put(tmp_path / split / "labels.json", coco(images | same))
    both = read_data(tmp_path, "all")
    assert both.classes == ["cat", "dog"] and both.boxed
    names = [sample.name for sample in both.samples]
    assert len(names) == len(set(names)) == sum(map(len, IMAGES.values())) + 2
    assert {"train/data/same.png", "val/data/same.png"} <= set(names)
    there = set(both.source.names())
    assert all(name in there for name in names)
    for split in ("train", "val"):  # what was found in all of them is found again in one
        assert {sample.name for sample in read_data(tmp_path, split).samples} <= set(names)


def test_a_split_whose_lists_cannot_be_read_leaves_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As where the images of one were never downloaded; and a split without lists has its folders for classes."""
    picture(tmp_path / "train/data/a.png", (40, 30))
    picture(tmp_path / "val/cat/1.png", (40, 30))
    put(tmp_path / "train/labels.json", coco({"a.png": ((40, 30), [("dog", (1, 2, 30, 20))])}))
    (tmp_path / "test").mkdir()
    put(tmp_path / "test/labels.json", coco({"gone.png": ((40, 30), [("dog", (1, 2, 30, 20))])}))
    both = read_data(tmp_path, "all")
    named = {sample.name: both.classes[sample.label or 0] for sample in both.samples}
    assert named == {"train/data/a.png": "dog", "val/cat/1.png": "cat"} and both.classes == ["cat", "dog"]
    assert "The lists of a split are left out" in caplog.text and "gone.png" in caplog.text
    shutil.rmtree(tmp_path / "train"), shutil.rmtree(tmp_path / "val")
    with pytest.raises(BoxlessError, match=r"gone\.png"):
        read_data(tmp_path, "all")


def test_images_that_splits_link_to_are_called_as_in_their_own_folder(tmp_path: Path) -> None:
    for name, split in (("a.png", "train"), ("b.png", "val")):
        picture(tmp_path / "pictures" / name, (40, 30))
        put(tmp_path / split / "labels.json", coco({name: ((40, 30), [("dog", (1, 2, 30, 20))])}))
        (tmp_path / split / "data").symlink_to(tmp_path / "pictures")
    both = read_data(tmp_path, "all")
    assert [sample.name for sample in both.samples] == both.source.names() == ["a.png", "b.png"]


def test_a_csv_of_ours_at_the_top_counts_from_above_it_too(tmp_path: Path) -> None:
    picture(tmp_path / "outer/inner/JPEGImages/a.png", (40, 30))
    put(tmp_path / "outer/inner/Annotations/a.xml", voc_xml("a.png", (40, 30), [("cat", (0, 0, 5, 5))]))
    row = "JPEGImages/a.png,cat,40,30,10,10,20,20\n"
    put(tmp_path / "outer/inner/boxes.csv", f"image,class,width,height,x0,y0,x1,y1\n{row}")
    for folder in ("outer", "outer/inner"):
        (sample,) = read_data(tmp_path / folder).samples
        assert sample.boxes is not None and sample.boxes.tolist() == [[10, 10, 20, 20]]


def test_the_name_of_an_xml_counts_before_the_one_it_states(tmp_path: Path) -> None:
    """As where images were numbered anew after they were labelled."""
    for number in (1, 2):
        picture(tmp_path / f"JPEGImages/00{number}.png", (40, 30))
        box = [("cat", (number, 2, 30, 20))]
        put(tmp_path / f"Annotations/00{number}.xml", voc_xml(f"00{number + 1}.png", (40, 30), box))
    boxes = {sample.name: sample.boxes.tolist() for sample in read_data(tmp_path).samples if sample.boxes is not None}
    assert boxes == {f"JPEGImages/00{number}.png": [[number, 2, 30, 20]] for number in (1, 2)}


def test_two_xmls_of_one_image_must_agree(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/one.png", (40, 30))
    for name in ("a", "b"):
        put(tmp_path / f"Annotations/{name}.xml", voc_xml("one.png", (40, 30), [("cat", (1, 2, 30, 20))]))
    assert [sample.name for sample in read_data(tmp_path).samples] == ["JPEGImages/one.png"]  # both say the same
    put(tmp_path / "Annotations/b.xml", voc_xml("one.png", (40, 30), [("dog", (1, 2, 30, 20))]))
    with pytest.raises(BoxlessError, match=r"b\.xml in .* and .*a\.xml in .* say two things of the image JPEG"):
        read_data(tmp_path)


def test_an_image_that_several_jsons_name_counts_once(tmp_path: Path) -> None:
    coco_in_one_folder(tmp_path)
    put(tmp_path / "annotations/instances_all.json", coco(IMAGES["train"] | IMAGES["val"]))
    assert known(read_data(tmp_path, "all")) == expected("train") | expected("val")
    names = [sample.name for sample in read_data(tmp_path, "all").samples]
    assert len(names) == len(set(names))


def test_jsons_of_single_classes_are_joined_image_by_image(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png", (40, 30))
    for label, box in (("cat", (1, 2, 30, 20)), ("dog", (5, 5, 10, 10))):
        put(tmp_path / f"annotations/instances_{label}.json", coco({"a.png": ((40, 30), [(label, box)])}))
    (sample,) = read_data(tmp_path, "all").samples
    assert sample.boxes is not None and sorted(sample.boxes.tolist()) == [[1, 2, 30, 20], [5, 5, 10, 10]]
    assert sample.label is None


def test_a_group_that_is_called_like_its_class_takes_no_class_away(tmp_path: Path) -> None:
    picture(tmp_path / "train/a.png", (40, 30))
    content = coco({"a.png": ((40, 30), [("cat", (1, 2, 30, 20))])})
    (label,) = {annotation["category_id"] for annotation in content["annotations"]}
    content["categories"] = [
        {"id": 99, "name": "cat", "supercategory": "none"},
        {"id": label, "name": "cat", "supercategory": "cat"},
    ]
    put(tmp_path / "train/_annotations.coco.json", content)
    data = read_data(tmp_path, "train")
    assert data.classes == ["cat"] and [sample.label for sample in data.samples] == [0]


def test_a_split_whose_images_are_not_there_leaves_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    coco_2017(tmp_path)
    shutil.rmtree(tmp_path / "train2017")
    assert known(read_data(tmp_path, "val")) == known(read_data(tmp_path, "all")) == expected("val")
    assert f"{len(IMAGES['train'])} images are not there" in caplog.text
    with pytest.raises(BoxlessError, match=r"instances_train2017\.json in .* names the image"):
        read_data(tmp_path, "train")


def test_the_box_of_a_turned_ellipse_is_around_the_ellipse(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png", (60, 60))
    shapes = [("20", "20", "10", "10", "45"), ("30", "30", "20", "10", "90"), ("30", "30", "20", "10", "30")]
    drawn = "".join(
        f'<ellipse label="cat" cx="{cx}" cy="{cy}" rx="{rx}" ry="{ry}" rotation="{turn}"/>'
        for cx, cy, rx, ry, turn in shapes
    )
    put(tmp_path / "a.xml", f'<annotations><image name="a.png" width="60" height="60">{drawn}</image></annotations>')
    (sample,) = read_data(tmp_path).samples
    angles = np.linspace(0, 2 * np.pi, 10_000)
    for box, shape in zip(sample.boxes if sample.boxes is not None else [], shapes, strict=True):
        cx, cy, rx, ry, turn = map(float, shape)
        x, y, turn = rx * np.cos(angles), ry * np.sin(angles), np.radians(turn)
        x, y = cx + x * np.cos(turn) - y * np.sin(turn), cy + x * np.sin(turn) + y * np.cos(turn)
        np.testing.assert_allclose(box, [x.min(), y.min(), x.max(), y.max()], atol=1e-3)


def test_what_cvat_calls_default_is_no_split(tmp_path: Path) -> None:
    picture(tmp_path / "images/default/a.png", (40, 30))
    box = '<box label="cat" xtl="1" ytl="2" xbr="30" ybr="20"/>'
    image = f'<image name="a.png" subset="default" width="40" height="30">{box}</image>'
    put(tmp_path / "annotations.xml", f"<annotations>{image}</annotations>")
    assert splits(tmp_path) == [] and read_data(tmp_path).boxed
    picture(tmp_path / "images/train/b.png", (40, 30))
    more = image.replace("a.png", "b.png").replace("default", "train")
    put(tmp_path / "annotations.xml", f"<annotations>{image}{more}</annotations>")
    assert splits(tmp_path) == ["train", "default"]  # beside others it is one
    assert len(read_data(tmp_path, "train")) == 1


def test_a_file_of_ours_deep_in_the_data_hides_no_layout(tmp_path: Path) -> None:
    """As `review` leaves one in a folder among them."""
    yolo(tmp_path)
    put(tmp_path / "reviewed/boxes.csv", "image,class,width,height,x0,y0,x1,y1\n")
    found = recognise(tmp_path)
    assert found is not None and known(read_data(tmp_path, "all")) == expected("train") | expected("val")


def test_a_label_without_its_image_is_told_of_in_its_own_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    yolo(tmp_path)
    for label in (tmp_path / "labels/val").glob("*.txt"):
        label.unlink()
    put(tmp_path / "labels/train/gone.txt", "0 0.5 0.5 1 1\n")
    assert len(read_data(tmp_path, "val")) == len(IMAGES["val"]) and "gone" not in caplog.text
    read_data(tmp_path, "train")
    assert "labels/train/gone.txt" in caplog.text and "names the image 'train/gone'" in caplog.text
