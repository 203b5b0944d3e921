import weakref
from itertools import permutations

import numpy as np
import pytest

from boxless.boxes.from_heatmap import Detections
from boxless.export import FORMATS as WRITERS
from boxless.export import check_folder, write_boxes
from boxless.runtime.errors import BoxlessError, UsageError

FORMATS = ["coco", "voc", "yolo", "csv"]


def found(name, boxes, label="bird"):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(name, (100, 80), boxes, np.ones(len(boxes), np.float32), label)


def test_names_that_leave_the_folder_are_refused(tmp_path):
    for name in ("../a.jpg", "/etc/a.jpg", "a/../../b.jpg"):
        with pytest.raises(BoxlessError, match="leaves its folder"):
            write_boxes([found(name, [])], tmp_path / "out", "voc", [])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_failure_midway_leaves_nothing_behind(tmp_path, format):
    def images():
        yield found("a.jpg", [[1, 2, 3, 4]])
        yield found("b.jpg", [[1, 2, 3, 4]], label="wolf")

    with pytest.raises(BoxlessError, match="'wolf'"):
        write_boxes(images(), tmp_path / "out", format, ["bird"])
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_in_use_is_refused_and_an_earlier_export_replaced_on_demand(tmp_path, format):
    write_boxes([found("old.jpg", [[1, 2, 3, 4]])], tmp_path, format, ["bird"], pictures=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="not empty"):
        write_boxes([found("new.jpg", [[1, 2, 3, 4]])], tmp_path, format, ["bird"])
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "report.html").write_text("kept")
    write_boxes([found("new.jpg", [[1, 2, 3, 4]])], tmp_path, format, ["bird"], pictures=tmp_path, overwrite=True)
    names = {path.name for path in tmp_path.rglob("*")}
    assert not any(name.startswith("old") for name in names)
    assert (tmp_path / "report.html").read_text() == "kept"


@pytest.mark.parametrize(("before", "after"), list(permutations(FORMATS, 2)))
def test_overwriting_in_another_format_leaves_no_boxes_of_before(tmp_path, before, after):
    """What reads a folder of boxes takes one format before the others: it must not find an earlier search's."""
    write_boxes([found("old.jpg", [[1, 2, 3, 4]])], tmp_path, before, ["bird"], pictures=tmp_path)
    write_boxes([found("new.jpg", [[1, 2, 3, 4]])], tmp_path, after, ["bird"], pictures=tmp_path, overwrite=True)
    entries = {path.name for path in tmp_path.iterdir()} - {"README.txt"}
    assert entries and entries <= WRITERS[after].ENTRIES
    check_folder(tmp_path, before, overwrite=True)


def test_what_a_user_put_among_boxes_of_another_format_is_kept(tmp_path):
    write_boxes([found("a.jpg", [])], tmp_path, "voc", [])
    (tmp_path / "Annotations/mine.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="is kept"):
        write_boxes([found("a.jpg", [])], tmp_path, "coco", [], overwrite=True)
    assert (tmp_path / "Annotations/mine.png").exists()


def test_overwriting_never_deletes_what_an_export_did_not_write(tmp_path):
    write_boxes([found("a.jpg", [])], tmp_path / "pictures", "yolo", [])
    (tmp_path / "pictures/images").mkdir()
    (tmp_path / "pictures/images/a.jpg").write_text("mine")
    (tmp_path / "annotated/Annotations").mkdir(parents=True)
    (tmp_path / "annotated/Annotations/a.xml").write_text("mine")
    (tmp_path / "readme").mkdir()
    (tmp_path / "readme/README.txt").write_text("mine")
    for name, format in (("pictures", "yolo"), ("annotated", "voc"), ("readme", "csv")):
        with pytest.raises(UsageError, match="is kept"):
            check_folder(tmp_path / name, format, overwrite=True)
    write_boxes([found("a.jpg", [])], tmp_path / "trained", "yolo", [])
    (tmp_path / "trained/labels/a.cache").write_bytes(b"what ultralytics leaves behind")
    check_folder(tmp_path / "trained", "yolo", overwrite=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        check_folder(tmp_path / "file", "csv", overwrite=True)


def test_images_are_consumed_one_at_a_time(tmp_path):
    for format in FORMATS:
        alive = []

        def images(alive=alive):
            for number in range(300):
                one = found(f"{number}.jpg", [[1, 2, 3, 4]])
                alive.append(weakref.ref(one.boxes))
                yield one
                assert sum(reference() is not None for reference in alive) < 10

        write_boxes(images(), tmp_path / format, format, ["bird"])
        assert len(alive) == 300


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BoxlessError, match=r"Could not write the boxes to .*file/out"):
        write_boxes([], tmp_path / "file/out", "csv", [])
