import io
import json
import multiprocessing
import pickle
import re
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxless.data.dataset import Dataset
from boxless.data.folder import read_data, splits
from boxless.data.sources import FolderSource, open_source
from boxless.data.synthetic import make_scenes
from boxless.data.tar_source import TarSource
from boxless.inference.factory import discoverer
from boxless.inference.predict_folder import predict_folder
from boxless.runtime.errors import BoxlessError, BrokenImageError, UsageError
from boxless.runtime.progress import Progress


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "data"
    make_scenes(folder, 22, kinds=("beetle", "star"), size=48, test=0.5, seed=3)
    return folder


def add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))


def write(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for name, content in files.items():
            add(shard, name, content)
    return path


def told_by_json(data: Dataset, index: int, key: str) -> dict[str, bytes]:
    sample = data.samples[index]
    assert sample.boxes is not None and sample.label is not None and sample.size is not None
    content = {"class": data.classes[sample.label], "boxes": sample.boxes.tolist(), "caption": "of another program"}
    content |= {"width": sample.size[0], "height": sample.size[1]}
    return {f"{key}.json": json.dumps(content).encode()}


def told_by_number(data: Dataset, index: int, key: str) -> dict[str, bytes]:
    return {f"{key}.cls": str(data.samples[index].label).encode() + b"\n", f"{key}.txt": b"a caption"}


def told_by_folder(data: Dataset, index: int, key: str) -> dict[str, bytes]:
    return {}


Telling = Callable[[Dataset, int, str], dict[str, bytes]]


def shards(scenes: Path, out: Path, tell: Telling, place: str, size: int = 5) -> Path:
    """The scenes as shards of `size` images, called as `place` says."""
    for split in ("train", "test"):
        data = read_data(scenes, split)
        for start in range(0, len(data), size):
            files = {}
            for index in range(start, min(start + size, len(data))):
                name = data.samples[index].name.removeprefix(f"{split}/")
                key = name.removesuffix(".jpg")
                files |= tell(data, index, key) | {name: data.source.read(data.samples[index].name)}
            write(out / place.format(split=split, number=start // size), files)
    return out


PLACES = ["{split}/set-{number:06d}.tar", "scenes-{split}-{number:04d}.tar", "{split}_{number}.tar"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("tell", [told_by_json, told_by_number, told_by_folder])
def test_shards_are_the_same_images_as_their_folder(scenes: Path, tmp_path: Path, tell: Telling, place: str) -> None:
    root = shards(scenes, tmp_path / "set", tell, place)
    if tell is told_by_number:
        (root / "classes.txt").write_text("beetle\nstar\n")
    assert splits(root) == ["train", "test"]
    for split in ("train", "test", "all"):
        here, there = read_data(root, split), read_data(scenes, split)
        assert isinstance(here.source, TarSource) and here.classes == there.classes
        assert len(here) == len(there) and here.split == there.split
        for one, other in zip(here.samples, there.samples, strict=True):
            assert (one.name, one.label) == (other.name, other.label)
            assert here.source.read(one.name) == there.source.read(other.name)
            if tell is told_by_json:
                np.testing.assert_array_equal(one.boxes, other.boxes)
                assert one.size == other.size
            else:
                assert one.boxes is None


def test_classes_that_are_numbers_need_no_names(scenes: Path, tmp_path: Path) -> None:
    root = shards(scenes, tmp_path / "set", told_by_number, PLACES[0])
    assert read_data(root, "all").classes == ["0", "1"]
    (root / "classes.txt").write_text("beetle\n")
    with pytest.raises(BoxlessError, match=r"has 1 names, and an image is of class 1"):
        read_data(root, "all")


def test_one_tar_of_a_folder_is_read_as_the_folder_is(scenes: Path, tmp_path: Path) -> None:
    files = {name: FolderSource(scenes).read(name) for name in FolderSource(scenes).names() if name.endswith(".jpg")}
    data = read_data(write(tmp_path / "any name.tar", {f"./{name}": files[name] for name in files}), "test")
    there = read_data(scenes, "test")
    assert [(one.name, one.label) for one in data.samples] == [(one.name, one.label) for one in there.samples]
    # Beside images, a tar without a number is no shard: somebody unpacked it there.
    (scenes.parent / "both" / "a").mkdir(parents=True, exist_ok=True)
    (scenes.parent / "both" / "a" / "1.jpg").write_bytes(next(iter(files.values())))
    write(scenes.parent / "both" / "images.tar", files)
    assert isinstance(read_data(scenes.parent / "both").source, FolderSource)


def test_a_search_over_shards_finds_what_it_finds_in_the_folder(scenes: Path, tmp_path: Path) -> None:
    root = shards(scenes, tmp_path / "set", told_by_folder, PLACES[1])
    for name, path in (("folder", scenes), ("shards", root)):
        data = read_data(path, "all")
        data = replace(data, samples=[replace(sample, boxes=None, size=None) for sample in data.samples])
        predict_folder(discoverer("contrast"), data, tmp_path / name, Progress(), format="yolo", report=True)
    labels = [sorted((tmp_path / name / "labels").rglob("*.txt")) for name in ("folder", "shards")]
    assert len(labels[0]) == 22 and [path.read_text() for path in labels[0]] == [path.read_text() for path in labels[1]]
    assert not (tmp_path / "shards" / "images").exists()  # there is no file that a link could lead to


def test_threads_and_processes_read_at_once(scenes: Path, tmp_path: Path) -> None:
    source = open_source(shards(scenes, tmp_path / "set", told_by_folder, PLACES[0], size=3))
    names = source.names() * 5
    wanted = [FolderSource(scenes).read(name) for name in names]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, names)) == wanted
    with multiprocessing.get_context("fork").Pool(2) as processes:
        assert processes.map(source.read, names) == wanted
    assert pickle.loads(pickle.dumps(source)).read(names[0]) == wanted[0]
    assert open_source(tmp_path / "set") is source  # the headers are read once


def test_a_truncated_shard_is_named_wherever_it_ends(scenes: Path, tmp_path: Path) -> None:
    path = shards(scenes, tmp_path / "set", told_by_json, PLACES[0]) / "train" / "set-000001.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    header, data, past = members[5].offset, members[5].offset_data, members[-1].offset_data + members[-1].size
    end = -(-past // 512) * 512
    for length in (0, 100, 512, header, header + 100, data, data + 10, past - 1, end):
        path.write_bytes(whole[:length])
        with pytest.raises(BoxlessError, match=r"set-000001.tar is not a whole, uncompressed tar: .*download it again"):
            read_data(tmp_path / "set", "all")
    path.write_bytes(whole[: end + 512])  # one block of zeros is an end, though tar writes more
    assert len(read_data(tmp_path / "set", "all")) == 22


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_what_is_compressed_or_no_tar_is_refused(tmp_path: Path, mode: Any) -> None:
    with tarfile.open(tmp_path / "x-0000.tar", mode) as archive:
        add(archive, "a.jpg", b"a picture")
    with pytest.raises(BoxlessError, match=r"x-0000.tar is not a whole, uncompressed tar: .*Shards are read in place"):
        read_data(tmp_path)
    (tmp_path / "x-0000.tar").write_bytes(b"no archive at all" * 99)
    with pytest.raises(BoxlessError, match=r"x-0000.tar is not a whole, uncompressed tar"):
        read_data(tmp_path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.jpg": b"", "a.json": b"{"}, "the .json is not JSON"),
        ({"a.jpg": b"", "a.json": b"[1]"}, "Expected an object"),
        ({"a.jpg": b"", "a.json": b'{"boxes": [[1, 2, 3]]}'}, "a box is [1, 2, 3]. Expected [x0, y0, x1, y1]"),
        ({"a.jpg": b"", "a.json": b'{"boxes": [[9, 9, 3, 3]]}'}, "the box 9,9,3,3 is empty"),
        ({"a.jpg": b"", "a.json": b'{"boxes": [["x", 9, 3, 3]]}'}, "expected numbers"),
        ({"a.jpg": b"", "a.json": b'{"class": [1]}'}, "Expected a number, counted from 0, or a name"),
        ({"a.jpg": b"", "a.json": b'{"class": -1}'}, "expected whole numbers"),
        (
            {"a.jpg": b"", "a.cls": b"3", "b.jpg": b"", "b.cls": b"cat"},
            "is the number 3 in one place and 'cat' in",
        ),
        ({"a.cls": b"3", "a.seg.png": b""}, "There are no images in the shards"),
    ],
)
def test_bad_annotations_are_one_sentence(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    write(tmp_path / "x-0000.tar", files)
    with pytest.raises(BoxlessError) as raised:
        read_data(tmp_path)
    assert said in str(raised.value) and str(tmp_path) in str(raised.value)


def test_names_are_unique_and_those_that_lead_out_or_are_hidden_do_not_exist(tmp_path: Path) -> None:
    out = {"/etc/a.jpg": b"", "../a.jpg": b"", "b/../../a.jpg": b"", ".a.jpg": b"", "__MACOSX/a.jpg": b""}
    write(tmp_path / "x-0000.tar", out | {"ok.jpg": b"1"})
    source = open_source(tmp_path)
    assert source.names() == ["ok.jpg"] and source.read("ok.jpg") == b"1"
    for name in (*out, "o", "zz"):
        with pytest.raises(BrokenImageError, match="is not in the shards"):
            source.read(name)
    write(tmp_path / "x-0001.tar", {"ok.jpg": b"2"})
    with pytest.raises(BoxlessError, match=r"ok.jpg is in .*x-0000.tar and in .*x-0001.tar. Names must be unique"):
        open_source(tmp_path)


def test_a_shard_that_shrinks_or_goes_while_it_is_read_breaks_its_images_alone(tmp_path: Path) -> None:
    write(tmp_path / "x-0000.tar", {"a.jpg": b"1" * 5000})
    source = open_source(tmp_path)
    (tmp_path / "x-0000.tar").write_bytes((tmp_path / "x-0000.tar").read_bytes()[:1000])
    with pytest.raises(BrokenImageError, match="cut off"):
        source.read("a.jpg")
    other = pickle.loads(pickle.dumps(source))
    (tmp_path / "x-0000.tar").unlink()
    with pytest.raises(BrokenImageError, match="cannot be read"):
        other.read("a.jpg")


def test_a_split_must_be_named_as_elsewhere(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has the splits train, test"):
        read_data(shards(scenes, tmp_path / "set", told_by_folder, PLACES[0]))


def test_the_documented_way_of_writing_shards_keeps_everything(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "formats.md").read_text()
    (program,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "tarfile" in block)
    (tmp_path / "photos").symlink_to(scenes)
    monkeypatch.chdir(tmp_path)
    exec(program.replace("1000", "4"), {})
    for split in ("train", "test"):
        here, there = read_data(tmp_path / "shards", split), read_data(scenes, split)
        assert here.classes == there.classes and len(here) == len(there)
        for one, other in zip(here.samples, there.samples, strict=True):
            assert (one.label, one.size) == (other.label, other.size)
            np.testing.assert_array_equal(one.boxes, other.boxes)
            assert here.source.read(one.name) == there.source.read(other.name)


def test_images_that_a_dot_makes_none_of_their_own_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = dict.fromkeys(("a.jpg", "a.b.jpg", "c.1.jpg", "c.2.jpg", "d.seg.png"), b"")
    assert [sample.name for sample in read_data(write(tmp_path / "x-000000.tar", files)).samples] == ["a.jpg"]
    assert "4 of 5 images" in caplog.text and "such as a.b.jpg" in caplog.text
