import re
from pathlib import Path

import pytest

from boxless.data.folder import parse_data, read_data, select, splits
from boxless.data.published_datasets import GROUPS, recognise
from boxless.runtime.errors import BoxlessError


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def boxes(data: object) -> list[object]:
    return [None if sample.boxes is None else sample.boxes.tolist() for sample in data.samples]  # type: ignore[attr-defined]


CUB = {
    "images.txt": "1 001.cat/a.jpg\n2 001.cat/b.jpg\n3 002.emu/c.jpg\n",
    "classes.txt": "1 001.cat\n2 002.emu\n",
    "image_class_labels.txt": "1 1\n2 1\n3 2\n",
    "train_test_split.txt": "1 0\n2 1\n3 0\n",
    "bounding_boxes.txt": "1 60.0 27.0 325.0 304.0\n2 0.0 1.0 10.0 20.0\n3 1.5 2.0 3.0 4.0\n",
    "images/001.cat/a.jpg": "",
    "images/001.cat/b.jpg": "",
    "images/002.emu/c.jpg": "",
}


def test_cub(tmp_path: Path) -> None:
    root = write(tmp_path, CUB)
    assert splits(root) == ["train", "test"]
    test = read_data(root, "test")
    assert [(sample.name, sample.label) for sample in test.samples] == [
        ("images/001.cat/a.jpg", 0),
        ("images/002.emu/c.jpg", 1),
    ]
    assert boxes(test) == [[[60, 27, 385, 331]], [[1.5, 2, 4.5, 6]]]
    assert test.classes == ["001.cat", "002.emu"]
    assert [sample.name for sample in read_data(root, "train").samples] == ["images/001.cat/b.jpg"]
    assert len(read_data(root, "all")) == 3


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("bounding_boxes.txt", "1 60 27 325\n", "bounding_boxes.txt"),
        ("bounding_boxes.txt", "1 60 27 325 0\n", "is empty"),
        ("image_class_labels.txt", "1 1\n2 1\n", "lacks the image '3'"),
        ("images.txt", "1 001.cat/gone.jpg\n2 001.cat/b.jpg\n3 002.emu/gone.jpg\n", "gone.jpg', which is not in"),
    ],
)
def test_malformed_cub(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    with pytest.raises(BoxlessError) as error:
        read_data(write(tmp_path, CUB | {file: text}), "test")
    assert complaint in str(error.value)


def xml(wnid: str, *corners: tuple[int, int, int, int]) -> str:
    things = "".join(
        f"<object><name>{wnid}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        "</object>"
        for a, b, c, d in corners
    )
    return f"<annotation><size><width>500</width><height>375</height></size>{things}</annotation>"


DATA = "ILSVRC/Data/CLS-LOC"
ILSVRC = {
    f"{DATA}/train/n02/n02_1.JPEG": "",
    f"{DATA}/train/n01/n01_9.JPEG": "",
    f"{DATA}/val/ILSVRC2012_val_00000001.JPEG": "",
    f"{DATA}/val/ILSVRC2012_val_00000002.JPEG": "",
    "LOC_val_solution.csv": "ImageId,PredictionString\n"
    "ILSVRC2012_val_00000002,n01 10 20 29 39 \n"
    "ILSVRC2012_val_00000001,n02 0 0 499 374 n02 5 5 5 5\n",
}
XML = {
    "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml": xml("n02", (0, 0, 499, 374), (5, 5, 5, 5)),
    "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000002.xml": xml("n01", (10, 20, 29, 39)),
}


@pytest.mark.parametrize("files", [ILSVRC, ILSVRC | XML])
def test_ilsvrc_from_the_solution_and_from_xml(tmp_path: Path, files: dict[str, str]) -> None:
    root = write(tmp_path, files)
    val = read_data(root, "val")
    samples = {sample.name[-10:-5]: sample for sample in val.samples}
    assert val.classes == ["n01", "n02"]
    assert (samples["00001"].label, samples["00002"].label) == (1, 0)
    assert samples["00001"].boxes is not None
    assert samples["00001"].boxes.tolist() == [[0, 0, 500, 375], [5, 5, 6, 6]]
    assert samples["00002"].boxes is not None
    assert samples["00002"].boxes.tolist() == [[10, 20, 30, 40]]
    assert val.source.read(samples["00001"].name) == b""
    train = read_data(root, "train")
    assert [(sample.name, sample.label) for sample in train.samples] == [
        ("train/n01/n01_9.JPEG", 0),
        ("train/n02/n02_1.JPEG", 1),
    ]


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (XML | {next(iter(XML)): "<annotation>\n<size>"}, "line 2: not xml"),
        (XML | {next(iter(XML)): "<annotation></annotation>"}, "has no <object>"),
        (XML | {next(iter(XML)): xml("n07", (1, 1, 2, 2))}, "of the synset 'n07'"),
        ({"LOC_val_solution.csv": "ImageId,PredictionString\nx,n01 1 2 3\n"}, "image x: expected groups"),
        ({"LOC_val_solution.csv": "ImageId,PredictionString\nx,n01 1 2 3 4\n"}, "x.JPEG', which is not in"),
    ],
)
def test_malformed_ilsvrc(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    with pytest.raises(BoxlessError) as error:
        read_data(write(tmp_path, ILSVRC | files), "val")
    assert complaint in str(error.value)


TINY = {
    "wnids.txt": "n02123045\nn02058221\n",
    "train/n02123045/n02123045_boxes.txt": "n02123045_0.JPEG\t0\t10\t63\t41\n",
    "train/n02058221/n02058221_boxes.txt": "n02058221_7.JPEG\t1\t2\t3\t4\n",
    "train/n02123045/images/n02123045_0.JPEG": "",
    "train/n02058221/images/n02058221_7.JPEG": "",
    "val/val_annotations.txt": "val_0.JPEG\tn02123045\t0\t0\t63\t63\n",
    "val/images/val_0.JPEG": "",
}


def test_tiny_imagenet(tmp_path: Path) -> None:
    root = write(tmp_path, TINY)
    train, val = read_data(root, "train"), read_data(root, "val")
    assert train.classes == val.classes == ["n02058221", "n02123045"]
    assert [sample.label for sample in train.samples] == [0, 1]
    assert boxes(train) == [[[1, 2, 4, 5]], [[0, 10, 64, 42]]]
    assert (val.samples[0].label, boxes(val), val.samples[0].size) == (1, [[[0, 0, 64, 64]]], (64, 64))
    assert val.source.read(val.samples[0].name) == b""


def test_the_groups_are_those_of_the_paper(tmp_path: Path) -> None:
    # Images for training and for testing in Table 2: 500 and 50 for each class of the group.
    counts = {name: 500 * len(wnids) for name, wnids in GROUPS.items()}
    assert counts == {"artiodactyla": 2500, "bottle": 1000, "bird": 1500, "cat": 2000, "dog": 3000, "vehicle": 4000}
    wnids = [wnid for group in GROUPS.values() for wnid in group]
    assert len(set(wnids)) == 28
    assert [sample.name for sample in select(read_data(write(tmp_path, TINY), "train"), ["n02123045"]).samples] == [
        "train/n02123045/images/n02123045_0.JPEG"
    ]


def test_other_folders_are_not_recognised(tmp_path: Path) -> None:
    assert recognise(tmp_path) is None
    assert recognise(tmp_path / "nowhere") is None


NABIRDS = {
    "images.txt": "0a-1 0817/b c.jpg\n0b-2 0818/d.jpg\n",
    "classes.txt": "0 Birds\n817 Common Goldeneye\n818 Common Merganser (Breeding male)\n",
    "image_class_labels.txt": "0a-1 817\n0b-2 818\n",
    "train_test_split.txt": "0a-1 0\n0b-2 0\n",
    "bounding_boxes.txt": "0a-1 8 2 10 20\n0b-2 1 1 3 3\n",
    "images/0817/b c.jpg": "",
    "images/0818/d.jpg": "",
}


def test_nabirds_has_spaces_in_its_names_and_classes_without_images(tmp_path: Path) -> None:
    test = read_data(write(tmp_path, NABIRDS), "test")
    assert test.classes == ["Common Goldeneye", "Common Merganser (Breeding male)"]
    assert [(one.name, one.label) for one in test.samples] == [("images/0817/b c.jpg", 0), ("images/0818/d.jpg", 1)]
    assert boxes(test) == [[[8, 2, 18, 22]], [[1, 1, 4, 4]]]


def moved(files: dict[str, str], places: dict[str, str]) -> dict[str, str]:
    """The files of which some are elsewhere, or with "" nowhere."""
    there = {places.get(name, name): text for name, text in files.items()}
    return {name: text for name, text in there.items() if name}


FIRST, SECOND = (f"ILSVRC2012_val_0000000{number}.JPEG" for number in (1, 2))
SORTED = {f"{DATA}/val/{FIRST}": f"{DATA}/val/n02/{FIRST}", f"{DATA}/val/{SECOND}": f"{DATA}/val/n01/{SECOND}"}


@pytest.mark.parametrize("annotations", ["solution", "xml", "none"])
def test_ilsvrc_whose_val_images_are_sorted_into_synsets(tmp_path: Path, annotations: str) -> None:
    strays = {f"{DATA}/train/n01/notes.txt": "", f"{DATA}/train/x.csv": ""}
    places = SORTED | ({"LOC_val_solution.csv": ""} if annotations == "none" else {})
    root = write(tmp_path, moved(ILSVRC | strays | (XML if annotations == "xml" else {}), places))
    val = read_data(root, "val")
    assert {one.name: val.classes[one.label or 0] for one in val.samples} == {
        f"val/n01/{SECOND}": "n01",
        f"val/n02/{FIRST}": "n02",
    }
    assert val.boxed == (annotations != "none") and val.source.read(val.samples[0].name) == b""
    assert len(read_data(root, "train")) == 2


def test_ilsvrc_whose_val_images_have_no_annotations_can_be_searched(tmp_path: Path) -> None:
    data = read_data(write(tmp_path, moved(ILSVRC, {"LOC_val_solution.csv": ""})), "all")
    assert [sample.label for sample in data.samples] == [0, 1, None, None]


def test_an_xml_without_a_size_has_boxes(tmp_path: Path) -> None:
    bare = {name: re.sub("<size>.*</size>", "", text) for name, text in XML.items()}
    val = read_data(write(tmp_path, ILSVRC | bare), "val")
    assert val.samples[0].size is None and boxes(val)[0] == [[0, 0, 500, 375], [5, 5, 6, 6]]


def test_tiny_imagenet_whose_val_images_are_sorted_into_synsets(tmp_path: Path) -> None:
    place = "val/n02123045/images/val_0.JPEG"
    val = read_data(write(tmp_path, moved(TINY, {"val/images/val_0.JPEG": place})), "val")
    assert [(sample.name, sample.label) for sample in val.samples] == [(place, 1)]
    (tmp_path / "val/val_annotations.txt").unlink()
    val = read_data(tmp_path, "val")
    assert [(sample.name, sample.label) for sample in val.samples] == [(place, 1)] and not val.boxed


def test_all_splits_together_have_the_classes_of_all_and_what_is_said_of_each(tmp_path: Path) -> None:
    """As where one synset was downloaded for training: a val image of another one is not taken for it."""
    files = {name: text for name, text in ILSVRC.items() if "n01_9" not in name}
    root = write(tmp_path, files | {"LOC_synset_mapping.txt": "n01 one\nn02 two\n"})
    both = read_data(root, "all")
    assert both.classes == ["n01", "n02"]
    named = {sample.name.rpartition("/")[2]: both.classes[sample.label or 0] for sample in both.samples}
    last = {"n02_1.JPEG": "n02", "ILSVRC2012_val_00000001.JPEG": "n02", "ILSVRC2012_val_00000002.JPEG": "n01"}
    assert named == last
    for name in ("train/n02/n02_1.JPEG", "val/ILSVRC2012_val_00000001.JPEG"):
        (root / DATA / name).unlink()
    (root / DATA / "train" / "n02").rmdir()
    rest = parse_data(root, "all")
    assert [sample.name for sample in rest.samples] == ["val/ILSVRC2012_val_00000002.JPEG"]
    assert rest.classes == ["n01", "n02"] and list(rest.absent) == ["val/ILSVRC2012_val_00000001.JPEG"]
