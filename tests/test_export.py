import csv
import io
import json
import re
import tempfile
import xml.etree.ElementTree as ElementTree
from contextlib import redirect_stdout
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from boxless.boxes.from_heatmap import Detections
from boxless.export import UPRIGHT, write_boxes
from boxless.export.voc import NOT_XML

FORMATS = ["coco", "voc", "yolo", "csv"]
CLASSES = ["bird", "a \"cat\", <dog> & 'x'", "Vögel 鳥 🐦", "no: yaml # here"]


def found(name, boxes, size=(100, 80), label="bird", scores=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    scores = np.linspace(0.9, 0.1, len(boxes)) if scores is None else scores
    return Detections(name, size, boxes, np.array(scores, np.float32), label)


# What an independent reader makes of each format: {name: (size, [(label, x0, y0, x1, y1)])}.


def read_csv(out):
    images = {}
    with (out / "boxes.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            entry = images.setdefault(row["image"], ((int(row["width"]), int(row["height"])), []))
            entry[1].append((row["class"], *(float(row[key]) for key in ("x0", "y0", "x1", "y1"))))
    return images


def read_coco(out):
    content = json.loads((out / "boxes.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    images = {image["id"]: (image["file_name"], (image["width"], image["height"]), []) for image in content["images"]}
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        images[annotation["image_id"]][2].append((names[annotation["category_id"]], x, y, x + w, y + h))
    return {name: (size, boxes) for name, size, boxes in images.values()}


def read_voc(out):
    images = {}
    for path in (out / "Annotations").rglob("*.xml"):
        root = ElementTree.parse(path).getroot()
        name = PurePosixPath(root.findtext("folder"), root.findtext("filename"))
        size = tuple(int(root.findtext(f"size/{key}")) for key in ("width", "height"))
        objects = []
        for thing in root.iter("object"):
            xmin, ymin, xmax, ymax = (int(thing.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
            objects.append((thing.findtext("name"), xmin - 1, ymin - 1, xmax, ymax))
        images[str(name)] = (size, objects)
    return images


def read_yolo(out, sizes):
    lines = (out / "data.yaml").read_text(encoding="utf-8").partition("names:\n")[2].splitlines()
    names = [json.loads(re.sub(r"\\U(\w{8})", lambda m: chr(int(m[1], 16)), line.partition(": ")[2])) for line in lines]
    images = {}
    for name, size in sizes.items():
        path = out / "labels" / PurePosixPath(name).with_suffix(".txt")
        boxes = []
        for line in path.read_text().splitlines():
            label, *fractions = line.split(" ")
            cx, cy, w, h = np.array(fractions, float) * [*size, *size]
            boxes.append((names[int(label)], cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
        images[name] = (size, boxes)
    return images


def compare(got, made, tolerance, *, empty=True):
    expected = {one.name: one for one in made if empty or len(one.boxes)}
    assert got.keys() == expected.keys()
    for name, (size, boxes) in got.items():
        assert size == expected[name].size
        assert [label for label, *_ in boxes] == [expected[name].label] * len(expected[name].boxes)
        numbers = np.array([box for _, *box in boxes]).reshape(-1, 4)
        np.testing.assert_allclose(numbers, expected[name].boxes, rtol=0, atol=tolerance)


@st.composite
def results(draw):
    """Images with names of any characters and boxes on half pixels, at least one pixel wide."""
    letters = st.characters(codec="utf-8", exclude_characters="/\0")
    stems = draw(st.lists(st.text(letters, min_size=1, max_size=20), max_size=6, unique=True))
    made = []
    for number, stem in enumerate(stems):
        size = draw(st.tuples(st.integers(1, 3000), st.integers(1, 3000)))
        boxes = []
        for _ in range(draw(st.integers(0, 3))):
            (x0, x1), (y0, y1) = (sorted(draw(st.lists(st.integers(0, 2 * n), min_size=2, max_size=2))) for n in size)
            boxes.append([x / 2 for x in (x0, y0, max(x1, x0 + 2), max(y1, y0 + 2))])
        boxes = [box for box in boxes if box[2] <= size[0] and box[3] <= size[1]]
        folder = draw(st.sampled_from(["", "a b/", "ü/<&>/"]))
        made.append(found(f"{folder}{number}{stem}.jpg", boxes, size, draw(st.sampled_from(CLASSES))))
    return made


@settings(max_examples=60, deadline=None)
@given(results())
def test_every_format_gives_back_the_same_boxes_names_and_classes(made):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        for format in FORMATS:
            legal = [one for one in made if format != "voc" or not NOT_XML.search(one.name)]
            write_boxes(iter(legal), out / format, format, CLASSES)
        compare(read_csv(out / "csv"), made, 0, empty=False)
        compare(read_coco(out / "coco"), made, 1e-4)
        compare(read_voc(out / "voc"), [one for one in made if not NOT_XML.search(one.name)], 0.5)
        compare(read_yolo(out / "yolo", {one.name: one.size for one in made}), made, 0.01)


def test_voc_gives_back_whole_pixels_exactly_and_counts_them_from_one(tmp_path):
    made = [found("a.jpg", [[0, 0, 100, 80], [3, 4, 5, 6]]), found("b/c.jpg", [[99, 79, 100, 80]])]
    write_boxes(made, tmp_path, "voc", ["bird"])
    compare(read_voc(tmp_path), made, 0)
    text = (tmp_path / "Annotations/b/c.xml").read_text()
    assert "<xmin>100</xmin>" in text and "<xmax>100</xmax>" in text and "<ymax>80</ymax>" in text


def test_voc_replaces_characters_that_xml_cannot_hold(tmp_path):
    write_boxes([found("a\x01\r\n.jpg", [[0, 0, 1, 1]])], tmp_path, "voc", ["bird"])
    assert list(read_voc(tmp_path)) == ["a\ufffd\r\n.jpg"]


def test_csv_keeps_scores_and_floats_to_the_last_digit(tmp_path):
    boxes = np.array([[0.1, 1 / 3, 2 / 3, 70], [1, 2, 30, 40]], np.float32)
    write_boxes([found("a.jpg", boxes, scores=[0.7, 1 / 7])], tmp_path, "csv", ["bird"])
    rows = list(csv.DictReader((tmp_path / "boxes.csv").open()))
    assert list(rows[0]) == ["image", "class", "width", "height", "x0", "y0", "x1", "y1", "score"]
    got = np.array([[row[key] for key in ("x0", "y0", "x1", "y1")] for row in rows], np.float32)
    assert (got == boxes).all()
    assert np.float32(rows[1]["score"]) == np.float32(1 / 7)
    assert (tmp_path / "boxes.csv").read_text().endswith("a.jpg,bird,100,80,1,2,30,40,0.14285715\n")


def test_pycocotools_reads_the_export_and_gives_exact_boxes_full_precision(tmp_path):
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 40, (12, 2, 2))
    made = [
        found(f"{n}.jpg", [[*corner[0], *(corner[0] + 1 + corner[1])]], (100, 100), CLASSES[n % 2], [rng.random()])
        for n, corner in enumerate(corners)
    ]
    write_boxes([*made, found("empty.jpg", [])], tmp_path, "coco", CLASSES)
    with redirect_stdout(io.StringIO()):
        truth = COCO(tmp_path / "boxes.json")
        evaluation = COCOeval(truth, truth.loadRes(list(truth.anns.values())), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert len(truth.imgs) == 13
    assert min(truth.cats) == min(truth.anns) == 1
    assert evaluation.stats[0] == evaluation.stats[1] == 1.0


def test_images_without_boxes_are_listed_where_the_format_allows_it(tmp_path):
    made = [found("a.jpg", [[1, 2, 3, 4]]), found("b.jpg", [], label="object")]
    for format in FORMATS:
        write_boxes(made, tmp_path / format, format, ["bird"])
        assert "1 box in 2 images; in 1 of them nothing was found" in (tmp_path / format / "README.txt").read_text()
    assert read_coco(tmp_path / "coco")["b.jpg"] == ((100, 80), [])
    assert read_voc(tmp_path / "voc")["b.jpg"] == ((100, 80), [])
    assert (tmp_path / "yolo/labels/b.txt").read_text() == ""
    assert "b.jpg" not in read_csv(tmp_path / "csv")


def test_every_export_says_that_boxes_fit_the_upright_picture(tmp_path):
    places = {"coco": "boxes.json", "voc": "Annotations/a.xml", "yolo": "data.yaml", "csv": "README.txt"}
    for format, place in places.items():
        write_boxes([found("a.jpg", [[1, 2, 3, 4]])], tmp_path / format, format, ["bird"])
        assert UPRIGHT in (tmp_path / format / place).read_text()


@pytest.mark.parametrize(("format", "folder", "suffix"), [("voc", "Annotations", ".xml"), ("yolo", "labels", ".txt")])
def test_names_that_differ_only_in_extension_keep_a_file_each(tmp_path, format, folder, suffix):
    made = [found(f"x/{name}", [[n, 0, 50, 50]]) for n, name in enumerate(["a.png", "a.jpg", "a.jpg.png", "a.b.jpg"])]
    write_boxes(made, tmp_path, format, ["bird"])
    names = {path.name.removesuffix(suffix) for path in (tmp_path / folder / "x").iterdir()}
    assert names == {"a", "a.jpg", "a.jpg.png", "a.b"}


def test_yolo_links_each_picture_to_where_a_trainer_finds_its_label(tmp_path):
    photos = tmp_path / "photos"
    (photos / "x").mkdir(parents=True)
    names = ["x/a.jpg", "x/a.png", "b c.jpg"]
    for name in names:
        (photos / name).write_text(name)
    made = [found(name, [[number, 0, 50, 50]]) for number, name in enumerate(names)]
    write_boxes(made, tmp_path / "out", "yolo", ["bird", "a\nb"], pictures=photos)
    assert (tmp_path / "out/classes.txt").read_text() == "bird\na b\n"
    links = [path for path in (tmp_path / "out/images").rglob("*") if path.is_symlink()]
    assert len(links) == 3
    for link in links:  # as ultralytics does: the last /images/ becomes /labels/, the extension .txt
        label = Path("/labels/".join(str(link).rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt")
        cx, _, w, _ = map(float, label.read_text().split()[1:])
        assert round((cx - w / 2) * 100) == names.index(link.read_text())
