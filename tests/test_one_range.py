"""Pictures of more than 8 bits of one sensor are stretched from one range, each by itself where they are of several."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from boxless.cli import app
from boxless.data.check import check
from boxless.data.dataset import data_hash
from boxless.data.folder import read_data
from boxless.data.images import read_picture, read_size
from boxless.data.sources import FolderSource
from boxless.review.pictures import lies_inside


def square(top: float, bottom: float = 50, side: int = 64) -> np.ndarray:
    """A bright square (side / 4 .. side / 2) on a ground that rises a little, as float64."""
    values = bottom + np.linspace(0, 0.2, side * side).reshape(side, side) * (top - bottom)
    values[side // 4 : side // 2, side // 4 : side // 2] = top
    return values


WRITERS = {
    "a.png": lambda values, path: Image.fromarray(values.astype(np.uint16)).save(path),
    "a.tif": lambda values, path: Image.fromarray(values.astype(np.int32)).save(path),
    "a.tiff": lambda values, path: Image.fromarray(values.astype(np.float32)).save(path),
    "a.pgm": lambda values, path: path.write_bytes(b"P5 64 64 65535\n" + values.astype(">u2").tobytes()),
    "a.ppm": lambda values, path: cv2.imwrite(str(path), np.dstack([values] * 3).astype(np.uint16)),
}


def write(folder: Path, name: str, values: np.ndarray, kind: str = "a.png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    WRITERS[kind](values, (folder / name).with_suffix(Path(kind).suffix))


def pictures(path: Path, split: str | None = None) -> dict[str, np.ndarray]:
    data = read_data(path, split)
    return {Path(one.name).stem: read_picture(data.source.read(one.name), one.name)[..., 0] for one in data.samples}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_dim_picture_of_a_sensor_stays_dim_beside_a_bright_one(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "cat", "dim", square(200, 100), kind)
    write(tmp_path / "cat", "bright", square(4095), kind)
    seen = pictures(tmp_path)
    assert seen["bright"].max() == 255 and seen["bright"].min() == 0
    assert seen["dim"][20, 20] == pytest.approx((200 - 50) / (4095 - 50) * 255, abs=1)
    assert seen["dim"][0, 0] == pytest.approx((100 - 50) / (4095 - 50) * 255, abs=1)
    alone = tmp_path / "alone"
    write(alone, "dim", square(200, 100), kind)
    assert pictures(alone)["dim"][20, 20] == 255  # nothing to compare it with


def test_pictures_of_several_kinds_are_stretched_each_by_itself(tmp_path: Path) -> None:
    write(tmp_path / "cat", "dim", square(200, 100))
    write(tmp_path / "cat", "bright", square(4095))
    for number, (kind, side) in enumerate([("a.tiff", 64), ("a.png", 80)]):
        folder = tmp_path / str(number)
        write(folder, "dim", square(200, 100))
        write(folder, "other", square(4095, side=side), kind)
        data = read_data(folder)
        assert "not of one sensor" in data.depth and isinstance(data.source, FolderSource)
        assert [seen[0, 0] for seen in pictures(folder).values()] == [0, 0]
        assert pictures(folder)["dim"][20, 20] == 255


def test_marks_of_no_data_do_not_decide_the_common_range(tmp_path: Path) -> None:
    for name, top, mark in (("a", 1.0, -9999), ("b", 0.5, np.nan), ("c", 0.25, np.inf), ("d", 0.25, -3.4028235e38)):
        values = square(top, 0)
        values[:, 48:] = mark
        write(tmp_path, name, values, "a.tiff")
    seen = pictures(tmp_path)
    assert [int(seen[name][20, 20]) for name in "abcd"] == pytest.approx([255, 128, 64, 64], abs=1)
    assert [int(seen[name][0, 60]) for name in "abcd"] == [0, 0, 0, 0]


def test_pictures_of_eight_bits_beside_them_and_broken_ones_are_as_they_were(tmp_path: Path) -> None:
    write(tmp_path, "dim", square(200, 100))
    write(tmp_path, "bright", square(4095))
    Image.fromarray(square(90).astype(np.uint8)).save(tmp_path / "eight.png")
    Image.fromarray(square(90).astype(np.uint8)).save(tmp_path / "photo.jpg")
    (tmp_path / "broken.png").write_bytes((tmp_path / "dim.png").read_bytes()[:60])
    data = read_data(tmp_path)
    assert data.source.read("eight.png") == (tmp_path / "eight.png").read_bytes()
    assert data.source.read("photo.jpg") == (tmp_path / "photo.jpg").read_bytes()
    assert read_picture(data.source.read("dim.png"), "dim.png").max() < 12
    findings = check(tmp_path)
    assert list(findings.broken) == ["broken.png"]
    assert findings.depth == (
        "Pictures of more than 8 bits: taken for one sensor's (PNG, integers of 16 bits, 64 x 64), all stretched from "
        "51 to 4095."
    )


def test_turned_pictures_keep_their_upright_sides(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.tif", "b.tif"):
        Image.fromarray(square(4095)[:40].astype(np.uint16)).save(tmp_path / name, exif=exif)
    source = read_data(tmp_path).source
    assert read_size(source.read("a.tif"), "a.tif") == (40, 64)
    assert read_picture(source.read("a.tif"), "a.tif")[20, 20, 0] == 255


def test_every_split_and_choice_of_classes_has_the_range_of_the_whole_folder(tmp_path: Path) -> None:
    for split, top in (("train", 200.0), ("test", 4095.0)):
        for name in ("cat", "dog"):
            write(tmp_path / split / name, name, square(top))
    assert pictures(tmp_path, "train")["cat"][20, 20] == pytest.approx(150 / 4045 * 255, abs=1)
    assert read_data(tmp_path, "train").depth == read_data(tmp_path, "test").depth == read_data(tmp_path, "all").depth


def test_folders_without_deep_pictures_are_not_read_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.jpg")
    read: list[str] = []
    monkeypatch.setattr(FolderSource, "read", lambda self, name: read.append(name) or (self.root / name).read_bytes())
    assert (read_data(tmp_path).depth, read) == ("", [])
    for number in range(40):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    assert read_data(tmp_path).depth == "" and len(read) == 8


def test_the_range_is_part_of_the_hash_that_a_resumed_job_compares(tmp_path: Path) -> None:
    write(tmp_path, "dim", square(200, 100))
    write(tmp_path, "bright", square(4095))
    before = read_data(tmp_path)
    write(tmp_path, "bright", square(2000))
    after = read_data(tmp_path)
    assert data_hash(before) != data_hash(after) == data_hash(read_data(tmp_path))
    assert data_hash(replace(before, value_range="")) == data_hash(replace(after, value_range=""))


def test_links_out_of_a_folder_of_deep_pictures_are_left_out_of_its_review(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write(photos, "dim", square(200, 100))
    write(photos, "bright", square(4095))
    write(tmp_path, "secret", square(4095))
    (photos / "link.png").symlink_to(tmp_path / "secret.png")
    source = read_data(photos).source
    assert {name: lies_inside(source, name) for name in source.names()} == {
        "bright.png": True,
        "dim.png": True,
        "link.png": False,
    }


def test_find_says_the_range_and_still_links_to_the_pictures_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    photos = tmp_path / "photos"
    for number in range(4):
        write(photos, f"dim{number}", square(200, 100))
        write(photos, f"bright{number}", square(4095))
    find = ["find", str(photos), "--method", "saliency", "--out", str(tmp_path / "found"), "--format", "yolo"]
    with pytest.raises(SystemExit) as ended:
        app(find)
    assert ended.value.code == 0
    summary = json.loads((tmp_path / "found" / "summary.json").read_text())
    assert summary["depth"] in " ".join(capsys.readouterr().out.split())
    assert "from 51 to 4095" in summary["depth"]
    assert (tmp_path / "found" / "images" / "dim0.png").resolve() == photos / "dim0.png"
