"""boxes.csv has one reader: whoever asks, the verdict on a row is the same one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxless.data.annotation_files import read_truth
from boxless.data.check import check
from boxless.data.dataset import Dataset
from boxless.data.folder import read_data
from boxless.data.pseudo_boxes import with_found
from boxless.review.proposals import proposals
from boxless.runtime.errors import BoxlessError

HEAD = "image,class,width,height,x0,y0,x1,y1"
ROW = "a/1.png,a,60,40,1,2,30,20"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a/1.png", "a/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 255, (40, 60, 3), np.uint8)).save(tmp_path / name)
    return tmp_path


def bare(photos: Path) -> Dataset:
    """The photographs without their csv."""
    text = (photos / "boxes.csv").read_text()
    (photos / "boxes.csv").unlink()
    data = read_data(photos)
    (photos / "boxes.csv").write_text(text)
    return data


READERS: dict[str, Callable[[Path], object]] = {
    "evaluate": read_data,
    "score": lambda photos: read_truth(photos / "boxes.csv"),
    "train": lambda photos: with_found(bare(photos), photos / "boxes.csv"),
    "review": lambda photos: proposals(photos / "boxes.csv", bare(photos)),
}

REFUSED = {
    "a row twice": (f"{HEAD}\n{ROW}\n{ROW}\n", "line 3 repeats the box of line 2. Remove one of them."),
    "two classes": (f"{HEAD}\n{ROW}\na/1.png,b,60,40,5,5,9,9\n", "line 3: a/1.png is of class 'b' here, and of 'a'"),
    "two sizes": (
        f"{HEAD}\n{ROW}\na/1.png,a,60,41,5,5,9,9\n",
        "line 3: a/1.png is 60 x 41 here, and of another",
    ),
    "no height": (f"{HEAD}\na/1.png,a,60,,1,2,30,20\n", "line 2: expected numbers, found '60', ''"),
    "a size of 0": (f"{HEAD}\na/1.png,a,60,0,1,2,30,20\n", "line 2: the image has 60 x 0 pixels"),
    "an empty box": (f"{HEAD}\na/1.png,a,60,40,30,2,30,20\n", "line 2: the box 30,2,30,20 is empty"),
    "a box outside": (f"{HEAD}\na/1.png,a,60,40,70,2,80,20\n", "line 2: the box 70,2,80,20 lies outside"),
    "no number": (f"{HEAD}\na/1.png,a,60,40,1,2,30,x\n", "line 2: expected numbers"),
    "fractions": (f"{HEAD}\na/1.png,a,60,40,0.1,0,1,0.5\n", "line 2: this box and all others lie within 0 and 1"),
    "no column": ("image,x0,y0,x1\n", "has no column y1. Expected image,class"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", REFUSED)
def test_every_reader_refuses_the_same_rows_in_the_same_words(photos: Path, case: str, reader: str) -> None:
    text, words = REFUSED[case]
    (photos / "boxes.csv").write_text(text)
    with pytest.raises(BoxlessError) as error:
        READERS[reader](photos)
    assert words in str(error.value) and "boxes.csv" in str(error.value)


def test_check_reports_every_row_that_the_others_refuse_and_judges_the_rest(photos: Path) -> None:
    rows = [ROW, ROW, "a/1.png,b,60,40,5,5,9,9", "a/2.png,a,60,40,1,2,30,x", "a/2.png,a,60,40,70,2,80,20"]
    (photos / "boxes.csv").write_text("\n".join([HEAD, *rows, ""]))
    found = check(photos)
    assert [sentence.partition("line ")[2][0] for sentence in found.unreadable] == ["3", "4", "5"]
    assert dict(found.wrong_boxes) == {"outside": ["a/2.png"]} and found.boxes == 2


def test_sizes_come_from_the_images_where_the_file_has_none(photos: Path, tmp_path: Path) -> None:
    (photos / "boxes.csv").write_text("image,x0,y0,x1,y1\na/1.png,-3,2,99,20\n")
    truth = read_truth(photos / "boxes.csv")
    assert truth.sizes == [(60, 40)] and truth.labels == [None]
    assert truth.boxes[0] is not None and truth.boxes[0].tolist() == [[0, 2, 60, 20]]
    (learnt,) = with_found(bare(photos), photos / "boxes.csv").samples
    assert learnt.size == (60, 40) and learnt.boxes is not None and learnt.boxes.tolist() == [[0, 2, 60, 20]]
    (tmp_path / "elsewhere").mkdir()
    alone = (photos / "boxes.csv").rename(tmp_path / "elsewhere" / "boxes.csv")
    with pytest.raises(BoxlessError, match=r"does not say how large 'a/1\.png' is"):
        read_truth(alone)


def test_two_files_may_say_the_same(photos: Path) -> None:
    for name in ("boxes.csv", "boxes_train.csv"):
        (photos / name).write_text(f"{HEAD}\n{ROW}\n")
    boxes = read_data(photos).samples[0].boxes
    assert boxes is not None and boxes.tolist() == [[1, 2, 30, 20]]
    (photos / "boxes_train.csv").write_text(f"{HEAD}\na/1.png,b,60,40,1,2,30,20\n")
    with pytest.raises(BoxlessError, match=r"of class 'b' here, and of 'a' in boxes\.csv .*, line 2"):
        read_data(photos)


DIALECTS = {
    "semicolons": "image;class;width;height;x0;y0;x1;y1\na/1.png;a;60;40;1;2;30;20\n",
    "tabs": "image\tclass\twidth\theight\tx0\ty0\tx1\ty1\na/1.png\ta\t60\t40\t1\t2\t30\t20\n",
    "capitals and spaces": "Image, Class,Width,Height,X0,Y0,X1,Y1\na/1.png,a,60,40,1,2,30,20\n",
    "back slashes": HEAD + "\na\\1.png,a,60,40,1,2,30,20\n",
    "dots": HEAD + "\n./a/1.png,a,60,40,1,2,30,20\n",
    "empty lines": HEAD + "\n\n" + ROW + "\n\n",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", DIALECTS)
def test_what_other_programs_make_of_a_csv_is_read(photos: Path, case: str, reader: str) -> None:
    (photos / "boxes.csv").write_text(f"{HEAD}\n{ROW}\n")
    expected = READERS[reader](photos)
    (photos / "boxes.csv").write_text(DIALECTS[case])
    if reader == "review":
        assert READERS[reader](photos) == expected
    boxes = read_data(photos).samples[0].boxes
    truth = read_truth(photos / "boxes.csv")
    assert boxes is not None and boxes.tolist() == [[1, 2, 30, 20]]
    assert truth.names == ["a/1.png"] and truth.boxes[0] is not None and truth.boxes[0].tolist() == [[1, 2, 30, 20]]
