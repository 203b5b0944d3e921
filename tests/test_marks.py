"""What says that a photograph was replaced, in each kind of source."""

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from boxless.data.marks import DIGITS, changed, marks
from boxless.data.sources import JoinedSource, Source, open_source

NAMES = ["a/1.png", "a/2.png"]


def folder(root: Path, contents: list[bytes]) -> Path:
    for name, content in zip(NAMES, contents, strict=True):
        path = root / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            os.utime(path, ns=(len(contents[1]), content[0]))
    return root / "photos"


def archive(root: Path, contents: list[bytes]) -> Path:
    with zipfile.ZipFile(root / "photos.zip", "w") as file:
        for name, content in zip(NAMES, contents, strict=True):
            file.writestr(f"x/{name}", content)
    return root / "photos.zip"


def shards(root: Path, contents: list[bytes]) -> Path:
    """A shard for each image: one that is replaced changes its own shard alone."""
    (root / "shards").mkdir(exist_ok=True)
    for number, (name, path) in enumerate(zip(NAMES, folder(root, contents).glob("a/*"), strict=True)):
        shard = root / "shards" / f"x-{number}.tar"
        with tarfile.open(shard, "w") as file:
            file.add(root / "photos" / name, name)
        os.utime(shard, ns=(0, contents[number][0]))
        assert path.exists()
    return root / "shards"


def joined(root: Path, contents: list[bytes]) -> Source:
    return JoinedSource([(open_source(folder(root, contents)), NAMES)])


@pytest.mark.parametrize("make", [folder, archive, shards, joined])
def test_a_file_that_is_replaced_is_told_from_the_others(tmp_path: Path, make) -> None:
    def now(contents: list[bytes]) -> str:
        made = make(tmp_path, contents)
        source = open_source(made) if isinstance(made, Path) else made
        assert source.state("a/3.png") == ""
        return marks(source, NAMES)

    before = now([b"one", b"two"])
    assert len(before) == 2 * DIGITS and changed(NAMES, before, now([b"one", b"two"])) == []
    assert changed(NAMES, before, now([b"one", b"six"])) == ["a/2.png"]  # as long as before
    assert changed(NAMES, before[:DIGITS], before) == ["a/2.png"] and changed(NAMES, "", before) == NAMES
