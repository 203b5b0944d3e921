"""benchmarks/tools finds what a tool lost: planted faults in what one seems to have read."""

from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "benchmarks" / "tools"


def test_planted_losses_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import photographs
    import run

    photographs.make(tmp_path)
    truth = [{"file": name, "boxes": run.labelled(name)} for name in photographs.BOXES]
    whole = [one | {"file": f"x/{one['file']}", "size": photographs.SIZES[one["file"]]} for one in truth]
    assert run.compared(truth, run.by_photograph(whole), scored=True) == {"images": 5, "of": 5, "pixels": 0, "lost": []}
    left, moved = photographs.TURNED, photographs.BOXES[photographs.TURNED][0]

    def lost(fault: dict[str, object]) -> dict[str, object]:
        found = [one | fault if one["file"].endswith(left) else one for one in whole]
        return run.compared(truth, run.by_photograph(found), scored=True)

    x0, y0, x1, y1 = moved
    assert lost({"boxes": [["red cat", x0 - 1, y0, x1, y1, 0.6]]})["pixels"] == 1
    assert lost({"boxes": [["red cat", *moved, None]]})["lost"] == ["scores"]
    assert lost({"boxes": [["dog", *moved, 0.6]]})["lost"] == ["classes"]
    assert lost({"boxes": [["red cat", y0, x0, y1, x1, 0.6]]})["lost"] == ["boxes, which lie elsewhere"]
    assert lost({"size": photographs.SIZES[left][::-1]})["lost"] == ["the upright size"]
    assert lost({"file": "flat.jpg"})["lost"] == ["sub-folders"]
    assert run.compared(truth, run.by_photograph(whole[:-1]), scored=False)["lost"] == ["images without boxes"]
