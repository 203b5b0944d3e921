import zipfile
from pathlib import Path

import numpy as np
import pytest

from boxless.boxes.from_heatmap import Detections
from boxless.data.dataset import Dataset
from boxless.data.folder import read_data, select, splits
from boxless.export import Format, write_boxes
from boxless.runtime.errors import BoxlessError, UsageError

HEADER = "image,class,width,height,x0,y0,x1,y1\n"


def tree(root: Path, *names: str) -> Path:
    """Readers of data open no picture, so that empty files do."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def labels(data: Dataset) -> dict[str, str | None]:
    return {sample.name: None if sample.label is None else data.classes[sample.label] for sample in data.samples}


def test_the_class_is_the_first_folder(tmp_path: Path) -> None:
    root = tree(tmp_path, "cat/1.jpg", "cat/deep/er/2.PNG", "dog/ä ü.webp", "dog/notes.txt", "empty/readme.md")
    data = read_data(root)
    assert splits(root) == []
    assert labels(data) == {"cat/1.jpg": "cat", "cat/deep/er/2.PNG": "cat", "dog/ä ü.webp": "dog"}
    assert data.classes == ["cat", "dog"]
    assert data.labelled
    assert not data.boxed


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    data = read_data(tree(tmp_path, "b.jpg", "a.tiff"))
    assert labels(data) == {"a.tiff": None, "b.jpg": None}
    assert data.classes == []
    assert not data.labelled


SPLIT_TREE = ("train/cat/1.jpg", "train/dog/2.jpg", "train/emu/3.jpg", "test/dog/4.jpg", "val/cat/5.jpg")


def test_splits_share_their_classes(tmp_path: Path) -> None:
    root = tree(tmp_path, *SPLIT_TREE)
    assert splits(root) == ["train", "val", "test"]
    data = read_data(root, "test")
    assert data.split == "test"
    assert data.classes == ["cat", "dog", "emu"]
    assert labels(data) == {"test/dog/4.jpg": "dog"}
    assert len(read_data(root, "all")) == 5
    assert len(read_data(root, "Train")) == 3


def test_a_split_must_be_chosen_and_must_exist(tmp_path: Path) -> None:
    root = tree(tmp_path, *SPLIT_TREE)
    with pytest.raises(UsageError, match="has the splits train, val, test"):
        read_data(root)
    with pytest.raises(UsageError, match="has no split 'dev'; it has the splits train"):
        read_data(root, "dev")
    with pytest.raises(UsageError, match="it has no splits"):
        read_data(root / "train", "test")
    assert len(read_data(root / "train", "all")) == 3


def test_split_folders_without_classes(tmp_path: Path) -> None:
    root = tree(tmp_path, "train/1.jpg", "test/2.jpg")
    assert labels(read_data(root, "train")) == {"train/1.jpg": None}


def test_a_zip_reads_like_its_folder(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos", *SPLIT_TREE)
    (root / "boxes_test.csv").write_text(HEADER + "test/dog/4.jpg,dog,8,8,1,2,3,4\n")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for file in root.rglob("*"):
            archive.write(file, file.relative_to(tmp_path).as_posix())
    folder, zipped = read_data(root, "test"), read_data(tmp_path / "photos.zip", "test")
    assert splits(tmp_path / "photos.zip") == splits(root)
    assert labels(folder) == labels(zipped)
    assert np.array_equal(folder.samples[0].boxes, zipped.samples[0].boxes)
    assert zipped.boxed


def test_boxes_of_the_split_and_several_for_an_image(tmp_path: Path) -> None:
    root = tree(tmp_path, *SPLIT_TREE)
    (root / "boxes_train.csv").write_text(
        "\ufeff" + HEADER + "train/cat/1.jpg,cat,50,40,1,2,30,40\r\ntrain/cat/1.jpg,cat,50,40,0.5,0,7,8\r\n",
        encoding="utf-8",
    )
    cat, dog, _ = read_data(root, "train").samples
    assert cat.boxes is not None
    assert cat.boxes.dtype == np.float32
    assert cat.boxes.tolist() == [[1, 2, 30, 40], [0.5, 0, 7, 8]]
    assert cat.size == (50, 40)
    assert dog.boxes is None
    assert not read_data(root, "test").boxed


def test_boxes_csv_serves_all_splits_and_repeats_nothing(tmp_path: Path) -> None:
    root = tree(tmp_path, *SPLIT_TREE)
    row = "test/dog/4.jpg,dog,50,40,1,2,30,40\n"
    (root / "boxes.csv").write_text(HEADER + row)
    (root / "boxes_test.csv").write_text(HEADER + row)
    (sample,) = read_data(root, "test").samples
    assert sample.boxes is not None
    assert len(sample.boxes) == 1
    assert sum(sample.boxes is not None for sample in read_data(root, "all").samples) == 1


def test_classes_of_a_flat_folder_come_from_the_csv(tmp_path: Path) -> None:
    root = tree(tmp_path, "train/1.jpg", "train/2.jpg", "test/3.jpg")
    (root / "boxes_train.csv").write_text("image,class,x0,y0,x1,y1\ntrain/1.jpg,emu,0,0,1,1\ntrain/2.jpg,cat,,,,\n")
    (root / "boxes_test.csv").write_text("x0,y0,x1,y1,image,class\n0,0,9,9,test/3.jpg,emu\n")
    train, test = read_data(root, "train"), read_data(root, "test")
    assert labels(train) == {"train/1.jpg": "emu", "train/2.jpg": "cat"}
    assert train.samples[1].boxes is None
    assert train.classes == test.classes == ["cat", "emu"]
    assert labels(test) == {"test/3.jpg": "emu"}


def test_boxes_are_cut_off_at_the_picture(tmp_path: Path) -> None:
    root = tree(tmp_path, "1.jpg")
    (root / "boxes.csv").write_text(HEADER + "1.jpg,,50,40,-3,2,60,41\n")
    (sample,) = read_data(root).samples
    assert sample.boxes is not None
    assert sample.boxes.tolist() == [[0, 2, 50, 40]]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("1.jpg,,50,40,1,2,3", "line 3: expected numbers"),
        ("1.jpg,,50,40,1,2,3,x", "line 3: expected numbers, found '1', '2', '3', 'x'"),
        ("1.jpg,,50,40,1,2,3,nan", "line 3: expected numbers"),
        ("1.jpg,,50,40,3,2,3,4", "line 3: the box 3,2,3,4 is empty"),
        ("1.jpg,,50,40,50,2,60,4", "line 3: the box 50,2,60,4 lies outside"),
        ("1.jpg,,wide,40,1,2,3,4", "line 3: expected numbers, found 'wide', '40'"),
        ("1.jpg,,50.5,40,1,2,3,4", "line 3: expected whole numbers"),
    ],
)
def test_malformed_rows_are_named_by_line(tmp_path: Path, row: str, complaint: str) -> None:
    root = tree(tmp_path, "1.jpg")
    (root / "boxes.csv").write_text(HEADER + "1.jpg,,50,40,1,2,3,4\n" + row + "\n")
    with pytest.raises(BoxlessError) as error:
        read_data(root)
    assert complaint in str(error.value)
    assert "boxes.csv" in str(error.value)


def test_malformed_csv_files(tmp_path: Path) -> None:
    root = tree(tmp_path, "1.jpg")
    (root / "boxes.csv").write_text("1.jpg,1,2,3,4\n")
    with pytest.raises(BoxlessError, match=r"boxes\.csv .* has no column image, x0"):
        read_data(root)
    (root / "boxes.csv").write_bytes(HEADER.encode() + "ä.jpg".encode("latin-1"))
    with pytest.raises(BoxlessError, match=r"boxes\.csv .* is not UTF-8"):
        read_data(root)


def test_no_images_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(BoxlessError, match="It is empty"):
        read_data(tmp_path)
    tree(tmp_path, "a.heic", "b.heic", "notes.txt")
    with pytest.raises(BoxlessError, match=r"It has 3 files, of the kinds \.heic, \.txt\."):
        read_data(tmp_path)
    with pytest.raises(BoxlessError, match="There is no folder or zip"):
        read_data(tmp_path / "nowhere")


def test_select_renumbers_in_the_given_order(tmp_path: Path) -> None:
    data = read_data(tree(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg", "loose.jpg"))
    chosen = select(data, ["c", "a"])
    assert labels(chosen) == {"a/1.jpg": "a", "c/3.jpg": "c"}
    assert chosen.classes == ["c", "a"]
    with pytest.raises(UsageError, match="has no class 'd'; it has 3 classes: a, b, c"):
        select(data, ["a", "d"])


def zipped(root: Path) -> Path:
    """The folder as a zip of that folder."""
    with zipfile.ZipFile(root.with_suffix(".zip"), "w") as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(root.parent).as_posix())
    return root.with_suffix(".zip")


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_class_called_train_beside_other_classes_is_no_split(
    tmp_path: Path, as_zip: bool, caplog: pytest.LogCaptureFixture
) -> None:
    root = tree(tmp_path / "voc", "train/1.jpg", "bus/2.jpg", "test/3.jpg")
    path = zipped(root) if as_zip else root
    assert splits(path) == [] and "train in" in caplog.text and "is taken for a class" in caplog.text
    assert labels(read_data(path)) == {"bus/2.jpg": "bus", "test/3.jpg": "test", "train/1.jpg": "train"}
    below = tree(tmp_path / "both", "train/train/1.jpg", "train/bus/2.jpg", "test/train/3.jpg", "loose.jpg")
    assert splits(below) == ["train", "test"] and read_data(below, "train").classes == ["bus", "train"]


@pytest.mark.parametrize("as_zip", [False, True])
def test_folders_are_gone_into_until_splits_or_classes_are_there(
    tmp_path: Path, as_zip: bool, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("train/cat/1.jpg", "train/dog/2.jpg", "test/dog/3.jpg")
    root = tree(tmp_path / "archive", *(f"set/dataset/{name}" for name in names))
    (root / "set" / "README.md").touch()
    path = zipped(root) if as_zip else root
    assert splits(path) == ["train", "test"]
    data = read_data(path, "all")
    assert labels(data) == {"test/dog/3.jpg": "dog", "train/cat/1.jpg": "cat", "train/dog/2.jpg": "dog"}
    assert data.source.read("train/cat/1.jpg") == b""
    assert caplog.text.count("Reading ") == 1 and "set/dataset" in caplog.text


@pytest.mark.parametrize("names", [("cat/1.jpg",), ("cat/deep/1.jpg",), ("cat/1.jpg", "cat/a/2.jpg", "cat/b/3.jpg")])
def test_one_class_is_not_gone_into(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert read_data(tree(tmp_path, *names)).classes == ["cat"]


@pytest.mark.parametrize("as_zip", [False, True])
@pytest.mark.parametrize("format", ["yolo", "coco"])
def test_what_boxless_wrote_among_the_photographs_is_not_read_as_such(
    tmp_path: Path, format: Format, as_zip: bool, caplog: pytest.LogCaptureFixture
) -> None:
    root = tree(tmp_path / "photos", "cat/1.jpg", "dog/2.jpg")
    write_boxes([Detections("cat/1.jpg", (8, 8), label="cat")], root / "found", format, ["cat"], pictures=root)
    tree(root / "runs" / "gan", "best.pt", "samples.png")
    path = zipped(root) if as_zip else root
    assert labels(read_data(path)) == {"cat/1.jpg": "cat", "dog/2.jpg": "dog"}
    assert caplog.text.count("was written by boxless and is left out") == 2


def test_photographs_of_kinds_that_are_not_read_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tree(tmp_path, "cat/1.jpg", "cat/2.HEIC", "cat/3.dng", "notes.txt")
    (root / "cat" / "4.jpg").symlink_to("gone.jpg")
    assert len(read_data(root)) == 1
    assert "2 files of" in caplog.text and "cat/2.HEIC" in caplog.text and "notes" not in caplog.text
    assert "4.jpg leads nowhere" in caplog.text


def test_a_split_that_is_a_link_to_another_one_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tree(tmp_path / "photos", "train/cat/1.jpg")
    tree(tmp_path / "elsewhere", "cat/2.jpg")
    for split in ("test", "val"):
        (root / split).symlink_to(tmp_path / "elsewhere")
    assert [sample.name for sample in read_data(root, "all").samples] == ["test/cat/2.jpg", "train/cat/1.jpg"]
    assert f"{root / 'val'} is a link to a folder that is read already" in caplog.text
    (root / "valid").symlink_to("train")
    assert len(read_data(root, "all")) == 2
    assert f"{root / 'valid'} is a link to a folder that is read already" in caplog.text
