"""From photographs to what detectors train on: each format as its own documentation reads it, by other people's code
where there is any, from the commands that docs/detector.md shows.
"""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

from boxless.cli import app
from boxless.data.folder import read_data
from boxless.data.synthetic import make_scenes

CLASSES = ["beetle", "star"]


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """The folder in which the commands were given: `photos`, and `found_*` in each format."""
    home = tmp_path_factory.mktemp("detector")
    make_scenes(home / "photos", 8, kinds=tuple(CLASSES), size=64, test=0.25)
    for path in (home / "photos").glob("boxes_*.csv"):
        path.unlink()
    Image.new("RGB", (20, 20), "white").save(home / "photos" / "train" / "star" / "nothing here.png")
    for format in ("coco", "voc", "yolo", "csv"):
        command = ["find", home / "photos", "--method", "contrast", "--format", format]
        with pytest.raises(SystemExit) as ended, redirect_stdout(io.StringIO()):
            app.meta([*map(str, command), "--out", str(home / f"found_{format}")])
        assert not ended.value.code
    return home


@pytest.fixture(scope="module")
def pictures(exports):
    return {name: Image.open(exports / "photos" / name).size for name in named(exports)}


def named(exports):
    return [sample.name for sample in read_data(exports / "photos", "all").samples]


@pytest.fixture(scope="module")
def truth(exports):
    """The boxes themselves, as boxes.csv has them: name -> (class, x0, y0, x1, y1)."""
    with (exports / "found_csv" / "boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["image"]: (row["class"], *(float(row[side]) for side in ("x0", "y0", "x1", "y1"))) for row in rows}


def test_csv_is_read_back_as_annotations(exports, pictures, truth):
    assert set(truth) == set(pictures) - {"train/star/nothing here.png"}
    (exports / "photos" / "boxes.csv").write_bytes((exports / "found_csv" / "boxes.csv").read_bytes())
    try:
        read = {sample.name: sample for sample in read_data(exports / "photos", "all").samples}
    finally:
        (exports / "photos" / "boxes.csv").unlink()
    for name, (_, *box) in truth.items():
        assert np.allclose(read[name].boxes, [box]) and read[name].size == pictures[name]


def test_coco_is_read_by_pycocotools(exports, pictures, truth):
    with redirect_stdout(io.StringIO()):
        coco = COCO(exports / "found_coco" / "boxes.json")
        again = coco.loadRes(list(coco.anns.values()))
    assert {entry["file_name"]: (entry["width"], entry["height"]) for entry in coco.imgs.values()} == pictures
    assert sorted(category["name"] for category in coco.cats.values()) == CLASSES
    for image in coco.imgs.values():
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        assert len(found) == (image["file_name"] in truth) == len(again.getAnnIds(imgIds=[image["id"]]))
        for one in found:
            x, y, width, height = one["bbox"]
            label, *box = truth[image["file_name"]]
            assert coco.cats[one["category_id"]]["name"] == label and 0 < one["score"] <= 1
            assert np.allclose([x, y, x + width, y + height], box, atol=1e-3)
            assert one["area"] == pytest.approx(width * height, abs=1e-2) and one["iscrowd"] == 0


def test_yolo_is_what_its_layout_asks_for(exports, pictures, truth):
    """Paths beside data.yaml; a label beside every picture with images/ -> labels/; normalised; classes by number."""
    home = exports / "found_yolo"
    described = yaml.safe_load((home / "data.yaml").read_text())
    assert "path" not in described  # then the folder of data.yaml itself is the root
    assert described["names"] == dict(enumerate(CLASSES))
    for split in ("train", "val"):
        assert (home / described[split]).is_dir()
    links = {path.relative_to(home / "images").as_posix(): path for path in (home / "images").rglob("*.*")}
    assert set(links) == set(pictures)
    for name, link in links.items():
        assert link.samefile(exports / "photos" / name)
        label = Path("/labels/".join(str(link).rsplit("/images/", 1))).with_suffix(".txt")
        rows = [line.split() for line in label.read_text().splitlines()]
        assert len(rows) == (name in truth)
        for number, *values in rows:
            assert re.fullmatch(r"\d+", number) and len(values) == 4
            x, y, width, height = map(float, values)
            assert x - width / 2 + 1e-6 >= 0 and x + width / 2 <= 1 + 1e-6 and 0 < width <= 1
            assert y - height / 2 + 1e-6 >= 0 and y + height / 2 <= 1 + 1e-6 and 0 < height <= 1
            across, down = pictures[name]
            box = [(x - width / 2) * across, (y - height / 2) * down, (x + width / 2) * across, (y + height / 2) * down]
            assert CLASSES[int(number)] == truth[name][0] and np.allclose(box, truth[name][1:], atol=1e-3)


VOC = {
    "annotation": ("folder", "filename", "source", "size", "segmented", "object*"),
    "source": ("database", "annotation"),
    "size": ("width", "height", "depth"),
    "object": ("name", "pose", "truncated", "difficult", "bndbox"),
    "bndbox": ("xmin", "ymin", "xmax", "ymax"),
}
"""The elements of a Pascal VOC annotation in their order, as the development kit's own files have them."""
WHOLE = {"width", "height", "depth", "segmented", "truncated", "difficult", *VOC["bndbox"]}


def strict(element, above=None):
    """Refuse whatever the schema does not know: order, missing and further elements, attributes, numbers."""
    assert not element.attrib
    wanted = VOC.get(element.tag) if above != "source" else None
    if wanted is None:
        assert len(element) == 0 and element.text
        assert element.tag not in WHOLE or re.fullmatch(r"\d+", element.text)
        return
    pattern = "".join(f"({tag[:-1]} )*" if tag.endswith("*") else f"{tag} " for tag in wanted)
    assert re.fullmatch(pattern, "".join(f"{child.tag} " for child in element)), element.tag
    for child in element:
        strict(child, element.tag)


def test_voc_follows_its_schema(exports, pictures, truth):
    home = exports / "found_voc" / "Annotations"
    files = {path.relative_to(home).with_suffix("").as_posix(): path for path in home.rglob("*.xml")}
    assert set(files) == {name.rpartition(".")[0] for name in pictures}
    for path in files.values():
        root = ElementTree.parse(path).getroot()
        strict(root)
        name = f"{root.findtext('folder')}/{root.findtext('filename')}"
        across, down = (int(root.findtext(f"size/{side}")) for side in ("width", "height"))
        assert (across, down) == pictures[name]
        assert len(root.findall("object")) == (name in truth)
        for thing in root.iter("object"):
            x0, y0, x1, y1 = (int(thing.findtext(f"bndbox/{side}")) for side in VOC["bndbox"])
            assert 1 <= x0 <= x1 <= across and 1 <= y0 <= y1 <= down
            assert np.allclose([x0 - 1, y0 - 1, x1, y1], truth[name][1:], atol=0.51)
            assert thing.findtext("name") == truth[name][0]


def test_what_label_studio_s_converter_reads_is_there(exports):
    """The fields that label_studio_sdk.converter.imports.coco asks of each entry, which it does without a default."""
    content = json.loads((exports / "found_coco" / "boxes.json").read_text())
    assert all({"id", "file_name", "width", "height"} <= entry.keys() for entry in content["images"])
    assert all({"image_id", "category_id", "bbox", "score"} <= entry.keys() for entry in content["annotations"])
    assert all({"id", "name"} <= entry.keys() for entry in content["categories"])
