"""Several parts as one data set: what the folder that they would be unpacked into is."""

import zipfile
from pathlib import Path

import pytest

from boxless.data.dataset import data_hash
from boxless.data.folder import read_data
from boxless.data.splits import joined
from boxless.data.synthetic import make_scenes
from boxless.runtime.errors import BrokenImageError, UsageError


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    make_scenes(tmp_path / "whole", 8, kinds=("star", "leaf"), size=32)
    return tmp_path / "whole"


def zipped(whole: Path, kind: str) -> Path:
    """The files of one class with the lines of the csv files about it."""
    path = whole.parent / f"{kind}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(whole.rglob(f"{kind}/*")):
            archive.write(file, file.relative_to(whole))
        for file in whole.glob("boxes*.csv"):
            head, *lines = file.read_text().splitlines(keepends=True)
            archive.writestr(file.name, head + "".join(line for line in lines if f"/{kind}/" in line))
    return path


def test_two_zips_are_the_folder_they_were_made_from(whole: Path) -> None:
    parts = [read_data(zipped(whole, kind), "train") for kind in ("star", "leaf")]
    ours, theirs = joined(parts), read_data(whole, "train")
    assert ours.classes == theirs.classes == ["leaf", "star"]
    assert [(s.name, s.label) for s in ours.samples] == [(s.name, s.label) for s in theirs.samples]
    assert data_hash(ours) == data_hash(theirs)
    assert ours.boxed
    assert str(ours.source.root) == "star+leaf"
    assert set(ours.source.names()) == {sample.name for sample in theirs.samples}
    for sample in theirs.samples:
        assert ours.source.read(sample.name) == theirs.source.read(sample.name)
    with pytest.raises(BrokenImageError, match=r"train/none\.jpg is not in star\+leaf"):
        ours.source.read("train/none.jpg")


def test_one_part_is_itself_and_common_images_are_refused(whole: Path) -> None:
    part = read_data(whole, "train")
    assert joined([part]) is part
    with pytest.raises(UsageError, match=r"have an image train/.*without common images"):
        joined([part, part])
