import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "reliability" / "malformed.py"


@pytest.fixture(scope="module")
def handled(tmp_path_factory):
    """Every fourth case of the corpus but the bombs, in processes that have not loaded torch."""
    out = tmp_path_factory.mktemp("malformed") / "out.json"
    command = [sys.executable, SCRIPT, out, "--light", "--every", "4", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.is_file(), done.stderr
    return json.loads(out.read_text())


def test_every_malformed_file_is_handled_within_the_limits(handled):
    assert handled["cases"] >= 200
    assert handled["not handled"] == {}


def test_the_corpus_has_every_kind_and_every_outcome(handled):
    assert {"JPEG", "PNG", "odd", "csv", "COCO", "VOC", "CUB", "zip", "map"} <= set(handled["kinds"])
    assert min(handled["outcomes"][outcome] for outcome in ("read", "skipped", "refused")) > 20


def test_the_corpus_is_a_function_of_its_seed(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    from malformed_annotations import csv_cases

    first, again, other = (list(csv_cases(seed)) for seed in (0, 0, 1))
    assert [case.files for case in first] == [case.files for case in again] != [case.files for case in other]
