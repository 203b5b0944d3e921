"""The scripts of benchmarks/reliability can fail: a fault is planted in what each of them measures, and it is found."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxless.boxes.from_heatmap import Detections
from boxless.data.sources import FolderSource
from boxless.export import boxes_csv
from boxless.inference.partial_results import Shards
from boxless.runtime.errors import BrokenImageError

SCRIPTS = Path(__file__).parents[1] / "benchmarks" / "reliability"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts as modules, as they see each other."""
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.mark.usefixtures("scripts")
def test_a_skipped_file_that_is_not_named_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import malformed
    from cases import Case

    case = Case("zero bytes", "1.png", {"a/1.png": b"", "a/2.png": b""}, refuse=True)
    assert malformed.handle(case)["wrong"] == []

    def silent(self: FolderSource, name: str) -> bytes:
        raise BrokenImageError("An image is broken.")

    monkeypatch.setattr(FolderSource, "read", silent)
    assert malformed.handle(case)["wrong"] == ["does not name 1.png: An image is broken. An image is broken."]
    monkeypatch.setattr(malformed, "read", lambda case, path: {"read": True})
    assert malformed.handle(case)["wrong"] == ["was read"]


@pytest.fixture
def pictures(scripts: None, tmp_path: Path) -> Path:
    from soak import make_pictures

    make_pictures(tmp_path / "pictures", 12, 0)
    return tmp_path / "pictures"


def lose_a_row(monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    """Plant it: once the run in peace is over, no search finds anything in its second image."""
    found = Shards.found

    def fewer(self: Shards, pieces: int) -> Iterator[tuple[Detections, Any]]:
        for number, one in enumerate(found(self, pieces)):
            if number != 1 or not (whole / "summary.json").exists():
                yield one

    monkeypatch.setattr(Shards, "found", fewer)


def test_a_lost_row_is_found_after_a_kill(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import kills

    search = ["find", str(pictures), "--method", "contrast", "--size", "32", "--format", "csv"]
    job = kills.Job("find", search, ["--resume"], "", lambda out: None, kills.files)
    lose_a_row(monkeypatch, tmp_path / "whole")
    with pytest.raises(AssertionError, match="find: another result after"):
        kills.killed(job, 1, tmp_path, np.random.default_rng(0))


def test_a_summary_that_counts_what_is_not_there_is_found(tmp_path: Path, scripts: None) -> None:
    import kills

    (tmp_path / "boxes.csv").write_text(f"{boxes_csv.COLUMNS}\na.png,a,9,9,1,1,2,2,1\n")
    (tmp_path / "summary.json").write_text(json.dumps({"images": 2, "nothing_found": ["b.png"]}))
    kills.check_search(tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps({"images": 2, "nothing_found": []}))
    with pytest.raises(AssertionError, match="counts other images"):
        kills.check_search(tmp_path)


@pytest.mark.usefixtures("scripts")
def test_a_leak_of_a_megabyte_per_hundred_images_is_found() -> None:
    import soak

    images, fill = 3000, 40 * 10**6
    filled = f"import time; kept = b'x' * {fill}; time.sleep(0.6)"
    resident = [memory for _, memory in soak.watched([sys.executable, "-c", filled])]
    assert max(resident) > fill
    for leaked, faults in ((0, 0), (images // 100 * 10**6, 1)):
        samples = [(second, 10**8 + leaked * second // 30) for second in range(31)]
        assert len(soak.judged(samples, images)["wrong"]) == faults
    few = 200 * 10**6
    assert soak.compared({soak.FEW: few, soak.MANY: few + 4 * 10**6})["wrong_between"] == []
    leaked = (soak.MANY - soak.FEW) // 100 * 10**6
    assert soak.compared({soak.FEW: few, soak.MANY: few + leaked})["wrong_between"]


@pytest.mark.usefixtures("scripts")
def test_a_file_that_a_full_disk_destroys_and_a_sentence_that_names_nothing_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import disks

    one, log = disks.Writing("find", ["find"], []), tmp_path / "log"

    def attempted(ends: list[tuple[int, str, str]]) -> Any:
        def attempt(one: Any, place: Path, more: list[str], log: Path) -> tuple[int, str]:
            code, said, content = ends.pop(0)
            place.mkdir(exist_ok=True)
            (place / "boxes.csv").write_text(content)
            return code, said

        return attempt

    monkeypatch.setattr(disks, "fill", lambda at, left: None)
    for said, content, faults in (
        (f"boxless: Could not write {tmp_path}/old.", "all", []),
        (f"boxless: Could not write {tmp_path}/old.", "half", [f"changed {tmp_path}/old/boxes.csv"]),
        ("boxless: It failed.", "all", ["no sentence that names the place: boxless: It failed."]),
        ("boxless: No space left. This is a mistake in boxless", "all", ["called a mistake in boxless"]),
    ):
        monkeypatch.setattr(disks, "attempt", attempted([(0, "", "all"), (1, said, content)]))
        assert disks.over(one, tmp_path, log, readonly=False) == faults


@pytest.mark.usefixtures("scripts")
def test_a_process_that_waits_for_a_killed_one_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: processes that know nothing of each other, and one that ends without a word."""
    import ranks

    child = "import time; time.sleep(9)"
    parent = f"import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', {child!r}]); "
    job = ranks.Job("find", [], [], "", lambda out: None, lambda out: None)
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(ranks, "SECONDS", 1)
    for then, fault in (("time.sleep(9)", "the other process took 2 s to end"), ("sys.exit(bool(child.wait()))", None)):
        monkeypatch.setattr(ranks, "program", lambda then=then: [sys.executable, "-c", parent + then])
        with pytest.raises(AssertionError, match=fault):
            ranks.kill_one(job, tmp_path / "out", 1, signal.SIGKILL, 0.0)


@pytest.mark.usefixtures("scripts")
def test_output_that_is_no_document_and_an_unexpected_end_are_found() -> None:
    import surroundings

    fine = surroundings.Ended(0, '{"images": 3}\n', "")
    assert surroundings.wrong(fine, (0,)) == surroundings.wrong_json(fine) == []
    assert surroundings.wrong_json(surroundings.Ended(1, '{"error": "no"}', "boxless: no")) == []
    for out, code in (("3 images\n{}", 0), ("", 1), ('{"images": 3}', 1), ('{"error": "no"}', 0), ("[]", 0)):
        assert len(surroundings.wrong_json(surroundings.Ended(code, out, ""))) == 1
    for said, code in (("Traceback (most recent", 0), ("boxless: a mistake in boxless", 0), ("", 1)):
        assert len(surroundings.wrong(surroundings.Ended(code, "", said), (0,))) == 1
