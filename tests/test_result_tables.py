"""Rows of tables: means over seeds, paired differences, costs, refusals, and what was not run."""

from dataclasses import replace

import numpy as np

from boxless.methods.settings import Training
from boxless.reproduce.accuracy_table import accuracy_table, hits_of
from boxless.reproduce.classifier_runs import Trial
from boxless.reproduce.trial_results import Outcomes, TrialResult, percent


def made(variant: str, seed: int, hits: str, known: str) -> TrialResult:
    """A trial whose images are hit at IoU 0.3 and 0.5 where `hits` says so, and never at 0.7."""
    each = np.stack([percent(hits), percent(hits), percent("0" * len(hits))], axis=1)
    return TrialResult(
        trial=Trial(variant, "i2c", {}, Training(seed=seed)), data="made", image_set="abc", threshold=0.25,
        origin="transferred", hits={"headline": each, "oracle": each}, top_1=percent(known), top_5=percent(known),
        v2=60.0 + seed, controls={"whole image": [1.0, 2.0, 3.0], "shuffled maps": [1.0, 2.0, 3.0]}, cpu_seconds=9.0,
        epoch_seconds=[1.0, 2.0, 9.0], step_bytes=3 * 2**20, extra={},
    )  # fmt: skip


def table(
    variants: list[str],
    found: dict[str, TrialResult],
    against: str = "plain",
    *,
    refused: dict[str, tuple[str, str]] | None = None,
    published: dict[str, tuple[float | None, float]] | None = None,
) -> str:
    return accuracy_table(variants, Outcomes(found, refused or {}, {}), against=against, published=published)


def entries(text: str, first: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [[entry.strip() for entry in line.split("|")[1:-1]] for line in lines]


def test_differences_are_paired_and_meaned_over_common_seeds() -> None:
    found = {
        "a": made("plain", 0, "00000000", "11111111"),
        "b": made("SC", 0, "11111111", "10101010"),
        "c": made("SC", 1, "00000000", "00000000"),
    }
    assert hits_of([found["b"], found["c"]]).mean(axis=(0, 1)).tolist() == [50, 50, 0]
    assert found["b"].top_1_loc.mean() == 50
    text = table(["plain", "SC", "K = 9"], found, published={"SC": (40.0, 30.0)})
    row, difference = entries(text, "SC")
    assert row[:5] == ["SC", "2", "50.0", "50.0 (50.0 to 50.0)", "0.0"]
    assert row[7:10] == ["60.5", "25.0 (6.2 to 43.8)", "25.0"]
    assert row[11:] == ["2.0", "3", "GT-known 70.00, Top-1 Loc 60.00"]
    assert difference[1:4] == ["1", "+100.0 (+100.0 to +100.0)", "0.0078"]
    assert len(entries(text, "control: shuffled maps (SC)")) == len(entries(text, "control: whole image")) == 1
    assert "Not run: K = 9" in text
    heads = {len(line.split("|")) for line in text.split("\n\n")[0].splitlines()}
    assert len(heads) == 1
    assert "for 1 comparisons - above: SC." in text
    found["a"] = replace(found["a"], image_set="other")
    assert "other images" in table(["plain", "SC"], found)


def test_who_differs_is_said_after_holm_s_correction() -> None:
    # Six images of ten won: p 0.031, enough for one comparison and not for three. Four lost: p 0.125.
    found = {
        name: made(name, 0, hits, "1" * 10)
        for name, hits in {"plain": "1111000000", "SC": "1111111111", "K": "1111111000", "none": "1111000000"}.items()
    }
    only = table(["plain", "SC"], found)
    assert "for 1 comparisons - above: SC." in only
    three = table(list(found), found)
    assert "for 3 comparisons - not told apart: K, SC, none." in three
    found["SC"] = made("SC", 0, "0" * 10, "1" * 10)
    assert "for 1 comparisons - not told apart: SC." in table(["plain", "SC"], found)


def test_refused_and_missing_variants_are_named() -> None:
    refused = {"x_0": ("psol", "It needs boxes.")}
    assert table(["cam", "psol"], {}, "cam", refused=refused).startswith("Refused: psol: It needs boxes.")
    text = table(["cam", "psol", "has"], {"a": made("cam", 0, "01", "01")}, "cam", refused=refused)
    assert text.endswith("Not run: has.\nRefused: psol: It needs boxes.\n")
    assert "published" not in text
