from pathlib import Path

import pytest

from boxless.data.folder import read_data, splits
from boxless.runtime.errors import BoxlessError

FILES = {
    "image_ids.txt": "002.emu/1.jpg\n001.cat/2 x.jpg\n002.emu/3.jpg\n",
    "class_labels.txt": "002.emu/1.jpg,1\n001.cat/2 x.jpg,0\n002.emu/3.jpg,1\n",
    "image_sizes.txt": "002.emu/1.jpg,60,40\n001.cat/2 x.jpg,30,30\n002.emu/3.jpg,10,10\n",
    "localization.txt": "002.emu/1.jpg,1,2,30,40\n002.emu/1.jpg,5,5,6,6\n001.cat/2 x.jpg,0,0,30,30\n",
}


def write(folder: Path, **changes: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (FILES | {key + ".txt": text for key, text in changes.items()}).items():
        (folder / name).write_text(text)
    return folder


def write_splits(root: Path, lists: dict[str, list[str]]) -> None:
    """Lists of each split from its lines of class_labels.txt, and the images."""
    for split, labels in lists.items():
        names = [line.partition(",")[0] for line in labels]
        for name in names:
            (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            (root / "images" / name).touch()
        texts = {"image_ids": names, "class_labels": labels, "image_sizes": [], "localization": []}
        write(root / split, **{name: "".join(f"{line}\n" for line in lines) for name, lines in texts.items()})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for line in FILES["image_ids.txt"].splitlines():
        (tmp_path / "images" / line).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / line).touch()
    return tmp_path


def test_labels_sizes_and_boxes(root: Path) -> None:
    data = read_data(write(root / "metadata" / "test"))
    first, second, third = data.samples
    assert data.classes == ["001.cat", "002.emu"]
    assert (first.name, first.label, first.size) == ("002.emu/1.jpg", 1, (60, 40))
    assert first.boxes is not None
    assert first.boxes.tolist() == [[1, 2, 30, 40], [5, 5, 6, 6]]
    assert second.name == "001.cat/2 x.jpg"
    assert third.boxes is None
    assert data.source.read("001.cat/2 x.jpg") == b""


def test_a_metadata_folder_has_splits_and_images_anywhere(root: Path) -> None:
    write(root / "elsewhere" / "deep" / "down" / "below" / "val")
    metadata = root / "elsewhere" / "deep" / "down" / "below"
    write(metadata / "test")
    assert splits(metadata) == ["val", "test"]
    with pytest.raises(BoxlessError, match="Say where the images are"):
        read_data(metadata, "test")
    data = read_data(metadata, "test", images=root / "images")
    assert (data.split, len(data)) == ("test", 3)


def test_classes_without_folders_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    for name in ("val/1.jpg", "val/2.jpg"):
        (tmp_path / name).touch()
    lists = {"image_ids": "val/1.jpg\nval/2.jpg\n", "class_labels": "val/1.jpg,0\nval/2.jpg,2\n"}
    folder = write(tmp_path / "lists", **lists, image_sizes="", localization="")
    assert read_data(folder).classes == ["0", "1", "2"]


def test_the_last_pixel_of_ilsvrc_becomes_half_open(tmp_path: Path) -> None:
    name = "val/ILSVRC2012_val_00000010.JPEG"
    (tmp_path / "val").mkdir()
    (tmp_path / name).touch()
    folder = write(
        tmp_path / "lists",
        image_ids=name,
        class_labels=f"{name},3",
        image_sizes=f"{name},500,375",
        localization=f"{name},0,0,499,373",
    )
    boxes = read_data(folder).samples[0].boxes
    assert boxes is not None
    assert boxes.tolist() == [[0, 0, 500, 374]]


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("image_ids", "", "image_ids.txt in"),
        ("class_labels", "002.emu/1.jpg,1\n001.cat/2 x.jpg\n", "class_labels.txt"),
        ("class_labels", "002.emu/1.jpg,1\n001.cat/2 x.jpg,-1\n", "line 2: expected whole numbers"),
        ("class_labels", "002.emu/1.jpg,1\n", "for which class_labels.txt has no label"),
        ("class_labels", FILES["class_labels.txt"] + "x.jpg,1\n", "line 4 names the image 'x.jpg'"),
        ("image_sizes", "002.emu/1.jpg,60\n", "line 1: expected 3 values"),
        ("localization", "002.emu/1.jpg,mask.png,ignore.png\n", "line 1: expected name,x0,y0,x1,y1"),
        ("localization", "002.emu/1.jpg,1,2,3,d\n", "line 1: expected numbers"),
        ("localization", "\n002.emu/1.jpg,4,2,3,5\n", "line 2: the box 4,2,3,5 is empty"),
        ("localization", "x.jpg,1,2,3,4\n", "which is not in image_ids.txt"),
    ],
)
def test_malformed_lists_are_named_by_line(root: Path, file: str, text: str, complaint: str) -> None:
    with pytest.raises(BoxlessError) as error:
        read_data(write(root / "lists", **{file: text}), strict=True)
    assert complaint in str(error.value)


def test_missing_images_are_counted(root: Path) -> None:
    (root / "images" / "002.emu" / "3.jpg").unlink()
    (root / "images" / "001.cat" / "2 x.jpg").unlink()
    with pytest.raises(BoxlessError, match=r"line 2 names the image '001.cat/2 x.jpg'.* 2 images are missing"):
        read_data(write(root / "lists"), strict=True)


def test_lists_of_several_splits_are_read_together_wherever_the_images_lie(root: Path) -> None:
    for metadata in (root, root / "below"):
        for split in ("train", "test"):
            write(metadata / split)
        both = read_data(metadata, "all")
        assert [sample.name for sample in both.samples] == sorted(FILES["image_ids.txt"].splitlines())
        assert both.classes == ["001.cat", "002.emu"] and both.boxed


def test_classes_have_the_names_of_the_folders_in_which_the_images_of_another_split_lie(tmp_path: Path) -> None:
    """As in wsolevaluation's lists of ILSVRC, whose validation images lie in one folder."""
    lists = {
        "train": ["train/n01/1.jpg,0", "train/n02/2.jpg,1"],
        "val": ["val/ILSVRC2012_val_1.jpg,1", "val/ILSVRC2012_val_2.jpg,0"],
    }
    write_splits(tmp_path, lists)
    assert read_data(tmp_path, "val").classes == read_data(tmp_path, "train").classes == ["n01", "n02"]
    both = read_data(tmp_path, "all")
    assert [both.classes[sample.label or 0] for sample in both.samples] == ["n01", "n02", "n02", "n01"]


def test_folders_called_like_numbers_are_no_names_and_bad_lists_beside_are_no_matter(tmp_path: Path) -> None:
    """As in wsolevaluation's own lists of ILSVRC, whose val is ImageNetV2's: one list of classes for all splits."""
    lists = {
        "train": ["train/n01/1.jpg,0", "train/n02/2.jpg,1"],
        "val": ["val2/0/0.jpeg,0", "val2/1/1.jpeg,1"],
        "test": ["val/ILSVRC2012_val_1.jpg,1"],
    }
    write_splits(tmp_path, lists)
    assert read_data(tmp_path, "all").classes == ["n01", "n02"]
    assert [read_data(tmp_path, split).classes for split in lists] == [["n01", "n02"]] * 3
    for text in ("", "train/n01/1.jpg,zebra\n"):
        (tmp_path / "train" / "class_labels.txt").write_text(text)
        assert read_data(tmp_path, "val").classes == ["0", "1"]
    (tmp_path / "val").rename(tmp_path / "lists")
    (tmp_path / "train" / "class_labels.txt").write_text("zebra/1.jpg,0\nlion/1.jpg,1\n")
    assert read_data(tmp_path / "lists").classes == ["0", "1"]
