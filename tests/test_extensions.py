"""What docs/architecture.md promises: a method, a backbone, a format and a protocol each take one file and one line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from squares import SIDE, make_squares, part, quick

import boxless
from boxless.backbones import BACKBONES, Entry
from boxless.boxes.from_heatmap import Detections
from boxless.evaluation.measure import measure
from boxless.evaluation.protocols import PROTOCOLS, protocol_named
from boxless.export import FORMATS, write_boxes
from boxless.inference.factory import trained
from boxless.inference.predict_folder import predict_folder
from boxless.methods import METHODS
from boxless.methods.training import train_classifier
from boxless.runtime.errors import UsageError
from boxless.runtime.progress import Progress


def test_a_method_and_a_backbone_from_outside_are_trained_loaded_and_predicted_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "sharp", "toys:Sharp")
    monkeypatch.setitem(BACKBONES, "plain", Entry("toys:build", (4, 2), "", "one convolution"))
    squares = make_squares(tmp_path / "squares", 64)
    settings = quick(backbone="plain", stride=2, epochs=4)
    run = train_classifier("sharp", {"power": 3.0}, part(squares, slice(48)), None, settings, tmp_path / "run")
    with pytest.raises(UsageError, match="sharp has no option 'head'"):
        train_classifier("sharp", {"head": "conv"}, squares, None, settings, tmp_path / "other")

    model = boxless.load(run)
    assert isinstance(model.network, toys.Sharp) and model.network.power == 3.0
    images = torch.rand(2, 3, SIDE, SIDE)
    assert model.heatmap(images).shape == (2, SIDE // 2, SIDE // 2) and model.heatmap(images).min() >= 0

    predictor = trained(run)
    assert predictor.readout.threshold == 0.1
    summary = predict_folder(predictor, part(squares, slice(48, 64)), tmp_path / "found", Progress(), format="csv")
    assert summary.boxes == 16 and summary.method == "sharp"
    assert len((tmp_path / "found" / "boxes.csv").read_text().splitlines()) == 17


def test_a_format_from_outside_is_written_and_kept_from_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "jsonl", toys)
    one = Detections("a/b.jpg", (8, 8), np.array([[1, 2, 3, 4]], np.float32), np.array([0.5], np.float32), "cat")
    write_boxes([one], tmp_path / "out", "jsonl", ["cat"])
    assert json.loads((tmp_path / "out" / "boxes.jsonl").read_text()) == {"image": "a/b.jpg", "boxes": [[1, 2, 3, 4]]}
    assert toys.NOTE in (tmp_path / "out" / "README.txt").read_text()
    with pytest.raises(UsageError, match="is not empty"):
        write_boxes([one], tmp_path / "out", "jsonl", ["cat"])


def test_a_protocol_from_outside_is_measured_under(monkeypatch: pytest.MonkeyPatch) -> None:
    strict = replace(PROTOCOLS["boxless"], name="strict", source="a toy", threshold=0.5, deltas=(0.7,), strictly=True)
    monkeypatch.setitem(PROTOCOLS, "strict", strict)
    heat = np.zeros((16, 16), np.float32)
    heat[4:8, 4:8] = 1
    truths = [np.array([box], np.float32) for box in ([4, 4, 8, 8], [4, 4, 8, 10])]
    measured = measure([heat, heat], [(16, 16)] * 2, truths, protocol=protocol_named("strict"))
    assert measured.rows[0].threshold == (0.5,)
    assert [value for value, _, _ in measured.scores().values()] == [50.0]
