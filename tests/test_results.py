import numpy as np
import pytest
from test_measure import made

from boxless.boxes.from_heatmap import Readout
from boxless.evaluation.measure import Split, measure
from boxless.evaluation.results import in_words
from boxless.runtime.provenance import provenance


def measured(maps, sizes, truths):
    return measure(maps, sizes, truths, readout=Readout(0.4, "fixed"), fit=Split(*made(20, seed=1)))


def test_the_words_of_a_method_that_beats_the_controls_hold_the_numbers_of_the_table():
    found = measured(*made(60))
    first, second = in_words(found, "ddt")
    best = max(found.controls, key=lambda row: np.mean(found.accuracies(row)))
    assert f"{found.accuracies(found.rows[0])[1]:.1f} % of 60 images" in first
    assert f"{best.name}, has a mean of {np.mean(found.accuracies(best)):.1f} %" in second
    assert f"above it by {found.lift(best).difference:.1f} points" in second


@pytest.mark.parametrize(("turn", "words"), [(lambda heat: -heat, "less than no method"), (np.zeros_like, "below it")])
def test_the_words_do_not_flatter_a_method_that_finds_nothing(turn, words):
    maps, sizes, truths = made(60)
    assert words in in_words(measured([turn(heat) for heat in maps], sizes, truths), "ddt")[1]


def test_a_difference_within_its_interval_is_called_chance():
    maps, sizes, truths = made(60)
    found = measured(maps, sizes, truths)
    control = max(found.controls, key=lambda row: np.mean(found.accuracies(row)))
    found.rows[0].hits[:] = control.hits
    assert "may be chance" in in_words(found, "ddt")[1]


@pytest.mark.parametrize(
    "program", ["/usr/bin/boxless", "/somewhere/boxless/__main__.py", "here/src/boxless/__main__.py"]
)
def test_the_command_of_a_result_names_no_folder_of_one_machine(program, monkeypatch):
    monkeypatch.setattr("sys.argv", [program, "evaluate", "ddt", "/home/somebody/birds", "--out", "runs/birds"])
    assert provenance()["command"] == "boxless evaluate ddt birds --out runs/birds"
