"""Rows of tables: means over seeds, paired differences, costs, refusals, and what was not run."""

from typing import Any

from boxless.reproduce.tables import per_image, results_table, top_1


def made(variant: str, seed: int, hits: str, known: str) -> dict[str, Any]:
    """A cell whose images are hit at IoU 0.3 and 0.5 where `hits` says so, and never at 0.7."""
    row = {"threshold": [0.25], "origin": "transferred"}
    control = {"accuracy": {"0.3": 1.0, "0.5": 2.0, "0.7": 3.0}}
    each = {"0.3": hits, "0.5": hits, "0.7": "0" * len(hits)}
    return {
        "variant": variant, "training": {"seed": seed}, "images": "abc", "v2": 60.0 + seed, "step_bytes": 3 * 2**20,
        "hits": {"headline": each, "oracle": each}, "known": known, "data": {"name": "made"},
        "epoch_seconds": [1.0, 2.0, 9.0],
        "measurement": {
            "images": len(hits), "rows": [row], "controls": {"whole image": control, "shuffled maps": control}
        },
    }  # fmt: skip


def entries(text: str, first: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [[entry.strip() for entry in line.split("|")[1:-1]] for line in lines]


def test_differences_are_paired_and_meaned_over_common_seeds() -> None:
    found = {
        "a": made("plain", 0, "00000000", "11111111"),
        "b": made("SC", 0, "11111111", "10101010"),
        "c": made("SC", 1, "00000000", "00000000"),
    }
    assert per_image([found["b"], found["c"]]).mean(axis=(0, 1)).tolist() == [50, 50, 0]
    assert top_1([found["b"]]).mean() == 50
    text = results_table(["plain", "SC", "K = 9"], found, against="plain", published={"SC": (40.0, 30.0)})
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
    found["a"]["images"] = "other"
    assert "other images" in results_table(["plain", "SC"], found, against="plain")


def test_who_differs_is_said_after_holm_s_correction() -> None:
    # Six images of ten won: p 0.031, enough for one comparison and not for three. Four lost: p 0.125.
    found = {
        name: made(name, 0, hits, "1" * 10)
        for name, hits in {"plain": "1111000000", "SC": "1111111111", "K": "1111111000", "none": "1111000000"}.items()
    }
    only = results_table(["plain", "SC"], found, against="plain")
    assert "for 1 comparisons - above: SC." in only
    three = results_table(list(found), found, against="plain")
    assert "for 3 comparisons - not told apart: K, SC, none." in three
    found["SC"] = made("SC", 0, "0" * 10, "1" * 10)
    assert "for 1 comparisons - not told apart: SC." in results_table(["plain", "SC"], found, against="plain")


def test_refused_and_missing_variants_are_told() -> None:
    refused = {"x_0": {"variant": "psol", "method": "psol", "refused": "It needs boxes."}}
    assert results_table(["cam", "psol"], refused, against="cam").startswith("Refused: psol: It needs boxes.")
    text = results_table(["cam", "psol", "has"], refused | {"a": made("cam", 0, "01", "01")}, against="cam")
    assert text.endswith("Not run: has.\nRefused: psol: It needs boxes.\n")
    assert "published" not in text
