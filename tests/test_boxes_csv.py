"""boxes.csv has one reader: whoever asks, the verdict on a row is the same one."""

import os
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
    text = (photos / "boxes.csv").read_bytes()
    (photos / "boxes.csv").unlink()
    data = read_data(photos)
    (photos / "boxes.csv").write_bytes(text)
    return data


READERS: dict[str, Callable[[Path], object]] = {
    "evaluate": read_data,
    "score": lambda photos: read_truth(photos / "boxes.csv"),
    "train": lambda photos: with_found(bare(photos), photos / "boxes.csv"),
    "review": lambda photos: proposals(photos / "boxes.csv", bare(photos)),
}

REFUSED = {
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
    told = (*found.repeated, *found.unreadable, *found.bad_rows)
    assert [sentence.partition("line ")[2][0] for sentence in told] == ["3", "4", "5"]
    assert dict(found.wrong_boxes) == {"outside": ["a/2.png"]} and found.boxes == 3


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


STRICT: dict[str, Callable[[Path], object]] = {
    "evaluate": lambda photos: read_data(photos, strict=True),
    "score": lambda photos: read_truth(photos / "boxes.csv", strict=True),
    "review": lambda photos: proposals(photos / "boxes.csv", bare(photos), strict=True),
}
BAD = {case: REFUSED[case] for case in ("no height", "a size of 0", "an empty box", "a box outside", "no number")}


@pytest.mark.parametrize("case", BAD)
def test_one_bad_row_of_many_is_left_out_and_named_unless_it_is_strict(
    photos: Path, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    text, words = BAD[case]
    good = "".join(f"a/2.png,a,60,40,{x0},2,40,20\n" for x0 in range(9))
    (photos / "boxes.csv").write_text(text + good)
    for read in READERS.values():
        caplog.clear()
        read(photos)
        assert "1 of 10 boxes cannot be and are left out. boxes.csv in " in caplog.text and words in caplog.text
    for read in STRICT.values():
        with pytest.raises(BoxlessError) as error:
            read(photos)
        assert words in str(error.value)
    for contradiction in ("two classes", "two sizes"):
        (photos / "boxes.csv").write_text(REFUSED[contradiction][0] + good)
        with pytest.raises(BoxlessError):
            read_data(photos)
    assert found_bad(photos, text + good) == 1


def found_bad(photos: Path, text: str) -> int:
    """What `check` says of the rows, which are the same for it."""
    (photos / "boxes.csv").write_text(text)
    found = check(photos)
    return len(found.bad_rows) + sum(len(names) for kind, names in found.wrong_boxes.items() if kind != "tiny")


def test_images_that_are_not_there_are_counted_however_many_they_are(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = [f"a/{number}.png,a,60,40,{x0},2,30,20\n" for number in range(3, 7) for x0 in (1, 2)]
    (photos / "boxes.csv").write_text("".join([f"{HEAD}\n", *gone, f"{ROW}\n"]))
    boxes = read_data(photos).samples[0].boxes
    assert boxes is not None and len(boxes) == 1
    assert "4 images are not there" in caplog.text and "line 2 names the image 'a/3.png'" in caplog.text
    assert "line 6" in caplog.text and "line 8" not in caplog.text and "Then 1 more." in caplog.text
    (photos / "boxes.csv").write_text("".join([f"{HEAD}\n", *gone]))
    with pytest.raises(BoxlessError, match=r"line 2 names .* None of the 4 images .* names such as a/1\.png\."):
        read_data(photos)


def test_a_name_that_is_not_utf8_stands_in_the_file_with_its_bytes(photos: Path) -> None:
    name = os.fsdecode(b"a/caf\xe9.png")
    (photos / "a" / "1.png").rename(photos / name)
    rows = ROW.replace("a/1.png", name).encode(errors="surrogateescape")
    (photos / "boxes.csv").write_bytes(f"{HEAD}\n".encode() + rows + b"\n")
    for read in (*READERS.values(), *STRICT.values()):
        read(photos)
    assert [sample.name for sample in read_data(photos).samples if sample.boxes is not None] == [name]
    (photos / "boxes.csv").write_bytes(f"{HEAD}\n".encode() + rows.replace(b",a,", b",\xe9t\xe9,") + b"\n")
    with pytest.raises(BoxlessError, match=r"line 2 is not UTF-8 text"):
        read_data(photos)
