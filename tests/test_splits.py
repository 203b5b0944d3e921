"""Which images are scored, and which may choose a threshold: never the same ones."""

from pathlib import Path

import pytest

from boxless.data.splits import splits_for
from boxless.data.synthetic import make_scenes
from boxless.runtime.errors import UsageError


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("splits") / "scenes"
    make_scenes(folder, 8, kinds=("star",), size=32)
    return folder


def test_test_is_scored_and_train_fits_unless_asked(scenes: Path) -> None:
    test, fit = splits_for(scenes)
    assert test.split == "test" and fit is not None and fit.split == "train"
    assert splits_for(scenes, fit="none")[1] is None
    test, fit = splits_for(scenes, split="train", fit="test")
    assert test.split == "train" and fit is not None and fit.split == "test"
    assert splits_for(scenes, split="train")[1] is None


def test_where_all_are_scored_nothing_is_fitted(scenes: Path) -> None:
    test, fit = splits_for(scenes, split="all")
    assert len(test) == 8 and fit is None


@pytest.mark.parametrize(
    ("split", "fit"), [("train", "Train"), ("all", "train"), ("test", "all"), (None, "all"), ("all", "all")]
)
def test_splits_with_images_in_common_are_refused(scenes: Path, split: str | None, fit: str) -> None:
    with pytest.raises(UsageError, match="they have images in common"):
        splits_for(scenes, split=split, fit=fit)


def test_all_images_of_data_without_splits_fit_nothing_either(scenes: Path) -> None:
    with pytest.raises(UsageError, match="All images cannot be scored"):
        splits_for(scenes / "train", fit="all")
