import csv
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from pycocotools.coco import COCO
from reviewed import BOXES, make_review

from boxless.boxes.from_heatmap import Detections
from boxless.cli import app
from boxless.data.annotation_files import read_truth
from boxless.data.folder import read_data
from boxless.export import coco
from boxless.inference.factory import discoverer
from boxless.review.decisions import ACCEPTED, CORRECTED, EMPTY, REJECTED, WAITING
from boxless.review.journal import Journal
from boxless.review.opening import opened
from boxless.runtime.errors import BoxlessError, UsageError

SIZE = (60, 40)


@pytest.fixture
def paths(tmp_path):
    found, photos = make_review(tmp_path)
    return found, photos, tmp_path / "reviewed"


def rows(out):
    with (out / "boxes.csv").open(newline="") as file:
        return [(row["image"], row["x0"], row["x1"], row["score"], row["source"]) for row in csv.DictReader(file)]


def place(review, index, shift=0.0):
    return [tuple(value + shift for value in box.place) for box in review.proposals[index].boxes]


def test_every_photo_is_there_with_its_box_its_method_and_its_score(paths):
    with opened(*paths) as one:
        proposals = one.review.proposals
        assert [proposal.name for proposal in proposals] == [*BOXES, "fly/5.png"]
        assert proposals[1].boxes[0].place == (10, 10, 30.5, 30) and proposals[1].label == "bee"
        assert proposals[1].boxes[0].source == "ddt" and proposals[1].boxes[0].score == 0.8
        assert proposals[5].boxes == () and proposals[5].label == "fly" and proposals[5].size is None
        assert one.review.counts() == {WAITING: 6} and rows(paths[2]) == []


def test_boxes_csv_holds_what_was_decided_and_who_found_it(paths):
    with opened(*paths) as one:
        review = one.review
        review.decide(3, True, place(review, 3), SIZE)
        review.decide(0, True, [(5, 6, 28, 26)], SIZE)
        review.decide(1, True, [], SIZE)
        review.decide(2, False, place(review, 2), SIZE)
        review.decide(5, True, [(1, 1, 9, 9), (20, 20, 30, 30)], SIZE)
        assert [review.status(index) for index in range(6)] == [
            CORRECTED,
            EMPTY,
            REJECTED,
            ACCEPTED,
            WAITING,
            CORRECTED,
        ]
        assert rows(paths[2]) == [
            ("bee/0.png", "5", "28", "", "reviewed"),
            ("bee/1.png", "", "", "", "reviewed"),
            ("fly/3.png", "20", "50", "0.6", "ddt"),
            ("fly/5.png", "1", "9", "", "reviewed"),
            ("fly/5.png", "20", "30", "", "reviewed"),
        ]
    truth = read_truth(paths[2] / "boxes.csv")
    assert truth.names == ["bee/0.png", "bee/1.png", "fly/3.png", "fly/5.png"] and truth.boxes[1] is None
    (paths[1] / "boxes.csv").write_bytes((paths[2] / "boxes.csv").read_bytes())
    read = {sample.name: sample.boxes for sample in read_data(paths[1]).samples}
    assert read["fly/5.png"].tolist() == [[1, 1, 9, 9], [20, 20, 30, 30]] and read["bee/2.png"] is None


def test_a_review_goes_on_where_it_stopped_and_undoes_what_was_done_before(paths):
    with opened(*paths) as one:
        one.review.decide(0, True, place(one.review, 0), SIZE)
        one.review.decide(0, True, [(1, 1, 20, 20)], SIZE)
        one.review.decide(1, False, [], SIZE)
        assert one.review.undo() == 1
    with opened(*paths) as one:
        assert [one.review.status(index) for index in (0, 1)] == [CORRECTED, WAITING]
        assert one.review.undo() == 0 and one.review.status(0) == ACCEPTED
        assert rows(paths[2]) == [("bee/0.png", "5", "25", "0.9", "ddt")]
        assert one.review.undo() == 0 and one.review.undo() is None and rows(paths[2]) == []


def test_decisions_stay_when_the_boxes_were_found_again(paths):
    with opened(*paths) as one:
        one.review.decide(0, True, place(one.review, 0), SIZE)
    text = (paths[0] / "boxes.csv").read_text()
    (paths[0] / "boxes.csv").write_text(text.replace("5,6,25,26,0.9", "7,7,22,22,0.3").replace("1,2,3,4", "1,2,9,9"))
    with opened(*paths) as one:
        assert rows(paths[2]) == [("bee/0.png", "5", "25", "0.9", "ddt")]
        assert one.review.proposals[2].boxes[0].place == (1, 2, 9, 9)


def test_coco_and_zip_and_the_names_of_methods(paths, tmp_path):
    _, photos, out = paths
    boxes = np.array([[1, 2, 30, 20]], np.float32)
    images = [Detections(name, SIZE, boxes, np.array([0.25], np.float32), name[:3]) for name in BOXES]
    (tmp_path / "coco").mkdir()
    coco.write([*images, Detections("fly/5.png", SIZE)], tmp_path / "coco", ["bee", "fly"], note="")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in photos.rglob("*.png"):
            archive.write(path, path.relative_to(photos))
    with opened(tmp_path / "coco", tmp_path / "photos.zip", out) as one:
        first, last = one.review.proposals[0], one.review.proposals[5]
        assert first.boxes[0].place == (1, 2, 30, 20) and first.boxes[0].score == 0.25 and first.label == "bee"
        assert first.boxes[0].source == "boxes.json" and last.size == SIZE and last.boxes == ()
        assert one.pictures.size(0) == SIZE and one.pictures.jpeg(0, 30)[:2] == b"\xff\xd8"


def test_exports_are_read_back_and_hold_what_was_decided_alone(paths):
    with opened(*paths) as one:
        with pytest.raises(BoxlessError, match="Nothing is accepted"):
            one.export("coco")
        one.review.decide(0, True, place(one.review, 0), SIZE)
        one.review.decide(3, True, [(1, 1, 9, 9)], SIZE)
        one.review.decide(1, True, [], SIZE)
        one.review.decide(2, False, [], SIZE)
        for _ in range(2):  # an earlier export is replaced
            read = COCO(str(one.export("coco") / "boxes.json"))
        assert [image["file_name"] for image in read.dataset["images"]] == ["bee/0.png", "bee/1.png", "fly/3.png"]
        assert [(entry["bbox"], entry.get("score")) for entry in read.dataset["annotations"]] == [
            ([5, 6, 20, 20], 0.9),
            ([1, 1, 8, 8], None),
        ]
        assert (one.export("yolo") / "labels" / "bee" / "1.txt").read_text() == ""
        assert (one.export("yolo") / "images" / "fly" / "3.png").resolve() == paths[1] / "fly" / "3.png"
        assert len(list((one.export("voc") / "Annotations").rglob("*.xml"))) == 3


def test_two_reviews_of_one_folder_refuse(paths):
    with opened(*paths), pytest.raises(UsageError, match="Another boxless writes into"), opened(*paths):
        pass
    with opened(*paths):
        pass


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("found/boxes.csv", None, "holds neither"),
        ("reviewed/boxes.csv", "mine", "was not written by a review"),
        ("reviewed/review.jsonl", "[]\n", "line 1: expected a decision"),
        ("reviewed/review.jsonl", '{"image": "x"}\n', "not in these photos"),
        ("reviewed/review.jsonl", '{"undo": "bee/0.png"}\n', "was not decided"),
        ("reviewed/review.jsonl", '{"image": "bee/0.png"}\n', "with accepted, size and boxes"),
    ],
)
def test_what_cannot_be_reviewed_is_said_in_a_sentence(paths, file, content, sentence):
    path = paths[0].parent / file
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)
    with pytest.raises(BoxlessError, match=sentence), opened(*paths):
        pass
    assert content is None or path.read_text() == content


def test_a_review_of_its_own_result_is_refused(paths):
    with opened(*paths):
        pass
    with pytest.raises(UsageError, match="what the review itself writes"), opened(paths[2], paths[1], paths[2]):
        pass


def test_what_a_kill_left_of_a_line_is_cut_off_and_a_full_disk_adds_nothing(tmp_path, monkeypatch):
    path = tmp_path / "review.jsonl"
    with Journal(path) as journal:
        journal.append({"image": "a"})
    path.write_bytes(path.read_bytes() + b'{"image": "b", "acc')
    with Journal(path) as journal:
        assert journal.read() == [{"image": "a"}]
        whole = path.read_bytes()
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:5]))
        with pytest.raises(BoxlessError, match="not saved"):
            journal.append({"image": "c"})
        assert path.read_bytes() == whole


KILLS = """
import os, random, signal, sys, time
from pathlib import Path
from boxless.review.opening import opened
from boxless.data.annotation_files import read_truth
found, photos, out = map(Path, sys.argv[1:])
random.seed(0)
begun = time.monotonic()
total = 0
for attempt in range(20):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with opened(found, photos, out) as one:
            for step in range(10**6):
                index = random.randrange(6)
                one.review.decide(index, True, [(0, 0, 1 + step % 50, 1 + attempt)], (60, 40))
                os.write(write, f"{index} {1 + step % 50} {1 + attempt}\\n".encode())  # what the person saw saved
    os.close(write)
    first = os.read(read, 10**6)  # the child is at work
    time.sleep(random.random() * 0.03)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lines = (first + os.fdopen(read, "rb").read()).decode().splitlines()
    total += len(lines)
    if len(lines) >= 6:
        read_truth(out / "boxes.csv")  # whole, before anything mends it
    latest = {int(i): (int(x), int(y)) for i, x, y in map(str.split, lines)}
    with opened(found, photos, out) as one:
        ends = {i: one.review.decision(i).boxes[0].place[2:] for i in latest}
        lost = [i for i in latest if ends[i] != latest[i]]
        for i in lost:  # decided once more, and on the disk, when the kill came before anybody was told
            assert ends[i] == (1 + len(lines) % 50, 1 + attempt), (i, ends[i], latest[i])
print(total)
"""


def test_twenty_kills_lose_nothing_that_was_saved(paths):
    done = subprocess.run(
        [sys.executable, "-c", KILLS, *map(str, paths)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 20  # each of them was at work, however slow the machine
    assert sorted(path.name for path in paths[2].iterdir()) == ["boxes.csv", "review.jsonl"]


def run_review(capfd, *arguments):
    with pytest.raises(SystemExit) as ended:
        app.meta(["review", *map(str, arguments)])
    return ended.value.code or 0, *capfd.readouterr()


def test_the_command_exports_and_counts(paths, capfd):
    found, photos, out = paths
    code, _, err = run_review(capfd, found, photos, "--out", out, "--export", "voc")
    assert code == 1 and "Nothing is accepted yet" in err
    with opened(*paths) as one:
        one.review.decide(0, True, place(one.review, 0), SIZE)
    code, words, _ = run_review(capfd, found, photos, "--out", out, "--export", "voc", "--json")
    assert code == 0 and json.loads(words)["images"] == {ACCEPTED: 1, WAITING: 5}
    assert (out / "voc" / "Annotations" / "bee" / "0.xml").is_file()
    assert run_review(capfd, found, photos, "--out", out, "--port", "70000")[0] == 2


def test_a_run_predicts_once_goes_on_after_a_stop_and_is_not_taken_for_another(paths, capfd, monkeypatch):
    _, photos, out = paths
    looked, stop = [], ["yes"]

    def trained(run):
        predictor = discoverer(run.name)
        maps = predictor.maps

        def watched(dataset, progress, *, labels=False):
            for mapped in maps(dataset, progress):
                if looked and stop:
                    raise KeyboardInterrupt
                looked.append(mapped.sample.name)
                yield mapped

        predictor.maps = watched
        return predictor

    monkeypatch.setattr("boxless.inference.factory.trained", trained)
    monkeypatch.setattr("boxless.review.server.serve", lambda review, port, announce, find: announce("http://here/"))
    for name in ("contrast", "saliency"):
        (photos.parent / name).mkdir()
        (photos.parent / name / "best.pt").touch()
    assert run_review(capfd, photos.parent / "contrast", photos, "--out", out)[0] != 0
    stop.clear(), looked.clear()
    for _ in range(2):
        code, words, err = run_review(capfd, photos.parent / "contrast", photos, "--out", out)
        assert code == 0 and "http://here/" in err and "6 to review" in words
    assert len(set(looked)) == len(looked) == 6
    summary = out / "found" / "summary.json"
    content = json.loads(summary.read_text())
    content["job"] |= {"boxless": "0.0.1", "bf16": "another"}
    summary.write_text(json.dumps(content))  # what rounds otherwise is no reason to change boxes that were decided on
    assert run_review(capfd, photos.parent / "contrast", photos, "--out", out)[0] == 0 and len(looked) == 6
    code, _, err = run_review(capfd, photos.parent / "saliency", photos, "--out", out)
    assert code == 0 and "are of another run" in " ".join(err.split()) and len(looked) == 12
    assert json.loads((out / "found" / "summary.json").read_text())["method"] == "saliency"


def test_lines_of_the_journal_say_when(paths):
    with opened(*paths) as one:
        one.review.decide(0, True, place(one.review, 0), SIZE)
    (entry,) = map(json.loads, (paths[2] / "review.jsonl").read_text().splitlines())
    assert entry["image"] == "bee/0.png" and entry["time"].endswith("+00:00")
