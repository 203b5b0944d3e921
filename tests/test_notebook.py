"""docs/boxless.ipynb runs from top to bottom, offline, and is committed without its outputs."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "boxless.ipynb"


def test_it_runs_and_shows_what_it_says(monkeypatch, tmp_path):
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "strip the outputs before you commit"
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for proxy in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # whoever asks the network finds nobody
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in shown)
    text = " ".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in shown)
    assert all(control in text for control in ("whole image", "centred box", "untrained network", "shuffled maps"))
    assert "boxes in" in text and "12 images" in text
