"""Ten crops: which they are, and that their mean decides the class."""

from pathlib import Path

import numpy as np
import pytest
import torch
from squares import make_squares, quick

from boxless.inference.localizer import load
from boxless.inference.predictors import InferenceOptions, TrainedPredictor
from boxless.methods.training import train_classifier
from boxless.reproduce.ten_crops import TenCropped, ten_crops
from boxless.runtime.progress import Progress


def test_the_crops_are_corners_and_centre_and_their_mirrors() -> None:
    rows, columns = np.mgrid[:5, :9].astype(np.uint8)
    picture = np.stack([rows, columns, rows], 2)
    crops = ten_crops(picture, 3)
    assert crops.shape == (10, 3, 3, 3)
    assert [tuple(crop[0, 0, :2]) for crop in crops[:5]] == [(0, 0), (0, 6), (2, 0), (2, 6), (1, 3)]
    assert np.array_equal(crops[5:], crops[:5, :, ::-1])


def test_the_mean_of_the_softmax_decides_and_the_map_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    squares = make_squares(tmp_path / "squares", 8)
    localizer = load(train_classifier("cam", {}, squares, None, quick(epochs=1), tmp_path / "run"))
    predictor = TrainedPredictor(localizer, InferenceOptions(4, 1))
    plain = list(predictor.maps(squares, Progress(), labels=True))

    def forward(images: torch.Tensor) -> torch.Tensor:
        assert images.shape == (10, 3, 32, 32)
        votes = torch.tensor([[9.0, 0.0]] + [[0.0, 0.5]] * 9)  # the sum of logits says 0, the mean softmax 1
        return votes

    monkeypatch.setattr(localizer.network, "forward", forward)
    found = list(TenCropped(predictor, 40).maps(squares, Progress(), labels=True))
    assert {mapped.ranked for mapped in found} == {(1, 0)}
    for one, other in zip(found, plain, strict=True):
        assert np.array_equal(one.heat, other.heat)
