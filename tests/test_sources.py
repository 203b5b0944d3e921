import multiprocessing
import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from boxless.data.sources import FolderSource, ZipSource, open_source
from boxless.runtime.errors import BoxlessError, BrokenImageError

TREE = ["a/ä ü.jpg", "a/b/c.png", "a/z.jpg", "list.csv"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "photos of mine"
    for name in [*TREE, ".hidden", "a/.DS_Store", "__MACOSX/a/z.jpg", ".git/config"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def zipped(root: Path, below: str = "") -> Path:
    path = root.parent / f"{root.name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, below + file.relative_to(root).as_posix())
    return path


def test_a_folder_lists_visible_files_sorted_and_reads_them(tree: Path) -> None:
    source = open_source(tree)
    assert isinstance(source, FolderSource)
    assert source.names() == sorted(TREE)
    assert source.read("a/ä ü.jpg") == "a/ä ü.jpg".encode()


@pytest.mark.parametrize("below", ["", "photos/"])
def test_a_zip_and_a_zip_of_one_folder_stand_for_the_folder(tree: Path, below: str) -> None:
    source = open_source(zipped(tree, below))
    assert isinstance(source, ZipSource)
    assert source.names() == sorted(TREE)
    assert source.read("a/b/c.png") == b"a/b/c.png"


def test_a_zip_of_one_split_keeps_the_split(tmp_path: Path) -> None:
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "1.jpg").touch()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(tmp_path / "train" / "cat" / "1.jpg", "train/cat/1.jpg")
    assert open_source(tmp_path / "x.zip").names() == ["train/cat/1.jpg"]


def test_links_that_lead_back_are_left_out_and_links_elsewhere_are_followed(tree: Path) -> None:
    outside = tree.parent / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "1.jpg").touch()
    (outside / "to the tree").symlink_to(tree)
    (outside / "to itself").symlink_to(outside)
    (tree / "loop").symlink_to(tree)
    (tree / "a" / "up").symlink_to("..")
    (tree / "above").symlink_to(tree.parent)
    (tree / "sideways").symlink_to(tree / "a")
    (tree / "itself").symlink_to("itself")
    (tree / "dangling.jpg").symlink_to("nowhere.jpg")
    (tree / "one.jpg").symlink_to("a/z.jpg")
    (tree / "linked").symlink_to(outside)
    assert FolderSource(tree).names() == sorted([*TREE, "linked/deep/1.jpg", "one.jpg"])


def test_a_folder_that_cannot_be_listed_is_logged_and_left_out(
    tree: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scandir = os.scandir

    def guarded(path: os.PathLike[str]) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert FolderSource(tree).names() == sorted(set(TREE) - {"a/b/c.png"})
    assert "Permission denied" in caplog.text


def test_a_pipe_called_like_a_picture_is_no_file(tree: Path) -> None:
    os.mkfifo(tree / "pipe.jpg")
    assert FolderSource(tree).names() == sorted(TREE)


def test_paths_that_are_no_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(BoxlessError, match="There is no folder or zip"):
        open_source(tmp_path / "nowhere")
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(BoxlessError, match="is a file but not a zip"):
        open_source(tmp_path / "text.txt")
    (tmp_path / "half.zip").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(BoxlessError, match=r"half\.zip is not a whole zip"):
        open_source(tmp_path / "half.zip")


def test_files_that_cannot_be_read_are_broken_images(tree: Path) -> None:
    for source in (open_source(tree), open_source(zipped(tree))):
        with pytest.raises(BrokenImageError, match=r"gone\.jpg"):
            source.read("gone.jpg")


def test_a_damaged_member_of_a_zip_is_named(tree: Path) -> None:
    path = zipped(tree)
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("a/z.jpg").header_offset
    data = bytearray(path.read_bytes())
    start = offset + 30 + len("a/z.jpg")
    data[start : start + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(BrokenImageError, match=r"a/z\.jpg is damaged"):
        open_source(path).read("a/z.jpg")
    assert open_source(path).read("a/b/c.png") == b"a/b/c.png"


def test_what_is_too_large_is_named_before_it_is_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxless.data.file_names.LARGEST_FILE", 6)
    for source in (open_source(tree), open_source(zipped(tree))):
        with pytest.raises(BrokenImageError, match=r"a/b/c\.png has .* more than boxless reads"):
            source.read("a/b/c.png")


def test_members_outside_of_a_zip_do_not_exist(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("good.png", "/etc/up.png", "../up.png", "a/../../up.png"):
            archive.writestr(name, b"content")
    assert open_source(tmp_path / "x.zip").names() == ["good.png"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_is_named_however_a_member_is_packed(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
        archive.writestr("a.jpg", os.urandom(400))
    data = bytearray((tmp_path / "x.zip").read_bytes())
    data[60:160] = bytes(100)
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(BrokenImageError, match=r"a\.jpg is damaged"):
        open_source(tmp_path / "x.zip").read("a.jpg")


def read_all(source: ZipSource) -> list[bytes]:
    return [source.read(name) for name in source.names() * 20]


def test_a_zip_is_read_from_threads_forks_and_pickles(tree: Path) -> None:
    source = ZipSource(zipped(tree))
    expected = read_all(source)
    with ThreadPoolExecutor(8) as pool:
        assert all(found == expected for found in pool.map(read_all, [source] * 8))
    with multiprocessing.get_context("fork").Pool(2) as processes:
        assert processes.map(read_all, [source] * 4) == [expected] * 4
    assert read_all(pickle.loads(pickle.dumps(source))) == expected


def test_a_zip_with_back_slashes_and_another_code_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with zipfile.ZipFile(tmp_path / "of windows.zip", "w") as archive:
        archive.writestr("photos\\cat\\1.jpg", b"one")
        archive.writestr("photos\\dog\\", b"")
        archive.writestr("photos\\dog\\2.jpg", b"two")
    source = open_source(tmp_path / "of windows.zip")
    assert source.names() == ["cat/1.jpg", "dog/2.jpg"] and source.read("dog/2.jpg") == b"two"
    assert pickle.loads(pickle.dumps(source)).read("cat/1.jpg") == b"one" and not caplog.text
    with zipfile.ZipFile(tmp_path / "dos.zip", "w") as archive:
        archive.writestr("bXXr.jpg", b"")
    (tmp_path / "dos.zip").write_bytes((tmp_path / "dos.zip").read_bytes().replace(b"bXXr", b"b\x84\x84r"))
    assert open_source(tmp_path / "dos.zip").names() == ["b\u00e4\u00e4r.jpg"] and "are not in UTF-8" in caplog.text
