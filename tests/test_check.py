import json
import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boxless.cli import app
from boxless.cli.check import next_steps, to_look_at
from boxless.data.check import Findings, check, plain
from boxless.data.folder import read_data
from boxless.data.synthetic import make_scenes
from boxless.inference.preview import preview
from boxless.runtime.errors import BoxlessError
from boxless.runtime.progress import Progress


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "data"
    make_scenes(folder, 20, kinds=("beetle", "star"), size=64, test=0.5, seed=3)
    return folder


@pytest.fixture
def data(scenes: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scenes, tmp_path / "my data"))


def first(data: Path, split: str, kind: str, place: int = 0) -> Path:
    return sorted((data / split / kind).iterdir())[place]


def said(findings: Findings) -> str:
    return "\n".join(to_look_at(findings))


def test_a_folder_in_order_is_counted_and_nothing_is_said_against_it(scenes: Path) -> None:
    found = check(scenes)
    train, test = (len(list((scenes / split).rglob("*.jpg"))) for split in ("train", "test"))
    assert found.splits == {"train": train, "test": test} and found.images == found.readable == train + test
    assert set(found.classes) == {"beetle", "star"}
    assert sum(sum(counts.values()) for counts in found.classes.values()) == found.images
    assert found.sizes == {"smallest": (64, 64), "median": (64, 64), "largest": (64, 64)}
    assert found.boxes == found.boxed == found.images
    assert not found.duplicates and not found.others and said(found) == ""
    assert [step.split()[:3] for step in next_steps(found)] == [
        ["boxless", "find", str(scenes)],
        ["boxless", "train", "cam"],
        ["boxless", "find", str(scenes)],
        ["boxless", "evaluate", "auto"],
    ]


def test_broken_files_and_strangers_are_named(data: Path) -> None:
    broken = first(data, "train", "star")
    broken.write_bytes(broken.read_bytes()[:200])
    (data / "train" / "star" / "empty.png").touch()
    (data / "train" / "star" / "notes.docx").write_bytes(b"x")
    (data / "README").write_bytes(b"x")
    found = check(data)
    assert set(found.broken) == {f"train/star/{broken.name}", "train/star/empty.png"}
    assert found.others == {".docx": 1, "README": 1}
    assert "2 images cannot be read" in said(found) and "1 .docx" in said(found)
    assert sum(sum(counts.values()) for counts in found.classes.values()) == found.readable == found.images - 2


def test_duplicates_overlaps_and_contradictions(data: Path) -> None:
    twin, leak, both = (first(data, "train", "beetle", place) for place in range(3))
    shutil.copy(twin, data / "train" / "beetle" / "twin.jpg")
    shutil.copy(leak, data / "test" / "beetle" / "leak.jpg")
    Image.open(both).resize((40, 40)).save(data / "train" / "star" / "both.png")
    found = check(data)
    below = [path.relative_to(data).as_posix() for path in (twin, leak, both)]
    groups = {tuple(group.names): group for group in found.duplicates}
    assert set(groups) == {
        (below[0], "train/beetle/twin.jpg"),
        (below[1], "test/beetle/leak.jpg"),
        (below[2], "train/star/both.png"),
    }
    assert [group.names[0] for group in found.overlaps] == [below[1]]
    assert [group.names[0] for group in found.contradictions] == [below[2]]
    assert [group.exact for group in groups.values()] == [True, True, False]
    words = said(found)
    assert "the same file in two splits" in words and "the same file more than once" in words
    assert "nearly the same picture (within 7 of 128 bits) in two classes" in words


def test_pictures_in_which_there_is_nothing_to_find_are_told(data: Path) -> None:
    Image.new("RGB", (90, 90), "green").save(data / "train" / "star" / "flat.png")
    Image.new("RGB", (1, 1)).save(data / "train" / "star" / "dot.png")
    found = check(data)
    assert found.flat == ["train/star/flat.png"] and found.small == ["train/star/dot.png"]
    assert "1 image of one flat colour, in which" in said(found) and "1 image of less than 18 pixels" in said(found)


def test_contrast_is_not_proposed_beside_itself(scenes: Path) -> None:
    found = check(scenes)
    assert any("contrast" in step for step in next_steps(found, {"contrast", "ddt"}))
    assert not any("contrast" in step for step in next_steps(found, {"contrast"}))


def test_a_closer_look_is_proposed_where_photographs_have_the_pixels(scenes: Path, tmp_path: Path) -> None:
    for folder, side in (("small", 60), ("large", 400)):
        (tmp_path / folder).mkdir()
        for index, colour in enumerate(("red", "green", "blue")):
            Image.new("RGB", (side, side // 2), colour).save(tmp_path / folder / f"{index}.png")
    small, large = (next(preview(read_data(tmp_path / name, "all"), Progress())) for name in ("small", "large"))
    assert (small.closer, large.closer) == (False, True) and large.to_dict()["closer"]
    found = check(scenes)
    assert not any("--closer" in step for step in next_steps(found, {"ddt"}))
    assert any("--closer" in step for step in next_steps(found, {"ddt"}, closer=True))


def test_a_near_copy_in_the_other_split_is_an_overlap(data: Path) -> None:
    Image.open(first(data, "train", "star")).save(data / "test" / "star" / "again.jpg", quality=60)
    (group,) = check(data).overlaps
    assert not group.exact and group.splits == ["test", "train"] and group.names[1] == "test/star/again.jpg"


ROWS = {
    "empty": "20,30,10,40",
    "outside": "70,5,90,20",
    "reaching out": "50,50,70,60",
    "tiny": "5,5,7,60",
    "": "5,5,30,30",
}


@pytest.mark.parametrize("kind", ROWS)
def test_boxes_that_are_none_are_told_by_kind_though_readers_refuse_them(data: Path, kind: str) -> None:
    name = first(data, "train", "beetle").relative_to(data).as_posix()
    for path in data.glob("boxes*.csv"):
        path.unlink()
    for header, size in (("image,class,width,height,x0,y0,x1,y1", "beetle,64,64,"), ("image,x0,y0,x1,y1", "")):
        (data / "boxes.csv").write_text(f"{header}\n{name},{size}{ROWS[kind]}\n")
        found = check(data)
        assert dict(found.wrong_boxes) == ({kind: [name]} if kind else {})
        evaluated = any("evaluate" in step for step in next_steps(found))
        assert evaluated == (kind not in ("empty", "outside"))
        assert bool(said(found)) == bool(kind)


def test_a_size_that_is_not_the_picture_s_is_told(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = first(data, "train", "beetle")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(picture).resize((64, 32)).save(picture, exif=exif)
    name = picture.relative_to(data).as_posix()
    for path in data.glob("boxes*.csv"):
        path.unlink()
    (data / "boxes.csv").write_text(f"image,class,width,height,x0,y0,x1,y1\n{name},beetle,64,32,5,40,20,60\n")
    found = check(data)
    assert dict(found.wrong_boxes) == {"stated for another size": [name]} and found.sizes["smallest"] == (32, 64)
    with pytest.raises(SystemExit) as ended:  # the network's look needs no boxes
        app.meta(["check", str(data)])
    out = capfd.readouterr().out
    assert not ended.value.code and picture.name in out and "find would choose" in out


def test_classes_without_a_pair_and_images_without_a_class(data: Path) -> None:
    (data / "train" / "leaf").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(data / "train/leaf/1.png")
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (32, 32, 3), np.uint8)).save(data / "train/loose.png")
    found = check(data)
    assert found.small_classes == ["leaf"] and found.unlabelled == 1
    assert "1 class with less than 2 training images" in said(found) and "train refuses such data" in said(found)
    assert not any("train" in step.split()[:2] for step in next_steps(found))


def test_annotations_that_cannot_be_read_are_told_and_the_images_are_looked_at_all_the_same(data: Path) -> None:
    (data / "boxes_train.csv").write_text("image,x0,y0,x1,y1\ntrain/beetle/missing.jpg,1,2,3,4\n")
    found = check(data)
    assert list(found.absent) == ["train/beetle/missing.jpg"] and "1 image named by annotations and not there" in said(
        found
    )
    (data / "boxes_train.csv").write_text("image,x0,y0\n")
    found = check(data)
    assert len(found.unreadable) == 2 and "no column x1" in said(found) and said(found).count("not read") == 1
    assert found.readable == found.images > 0 and set(found.classes) == {"beetle", "star"}


def test_zip_coco_lists_and_shards_are_looked_at_as_the_folder_is(scenes: Path, tmp_path: Path) -> None:
    folder = check(scenes)
    zipped = shutil.make_archive(str(tmp_path / "scenes"), "zip", scenes)
    (tmp_path / "set").mkdir()
    for split in ("train", "test"):
        with tarfile.open(tmp_path / "set" / f"{split}-000000.tar", "w") as shard:
            for path in sorted((scenes / split).rglob("*.jpg")):
                member = tarfile.TarInfo(path.relative_to(scenes / split).as_posix())
                member.size = path.stat().st_size
                shard.addfile(member, BytesIO(path.read_bytes()))
    for path in (Path(zipped), tmp_path / "set"):
        found = check(path)
        assert (found.splits, found.classes, found.sizes) == (folder.splits, folder.classes, folder.sizes)
        assert said(found) == ""
    names = sorted(path.relative_to(scenes).as_posix() for path in scenes.rglob("*.jpg"))
    content: dict[str, Any] = {"categories": [{"id": 1, "name": "thing"}], "annotations": []}
    content["images"] = [{"id": i, "file_name": name, "width": 64, "height": 64} for i, name in enumerate(names)]
    content["annotations"] = [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [60, 60, 30, 30]}]
    shutil.copytree(scenes, tmp_path / "coco")
    (tmp_path / "coco" / "boxes.json").write_text(json.dumps(content))
    found = check(tmp_path / "coco" / "boxes.json")
    assert found.images == len(names) and dict(found.wrong_boxes) == {"reaching out": [names[0]]}
    (tmp_path / "lists" / "train").mkdir(parents=True)
    (tmp_path / "lists" / "train" / "image_ids.txt").write_text(names[0] + "\n")
    (tmp_path / "lists" / "train" / "class_labels.txt").write_text(f"{names[0]},0\n")
    shutil.copytree(scenes, tmp_path / "lists", dirs_exist_ok=True)
    found = check(tmp_path / "lists")
    assert found.splits["train"] == 1 and found.unlisted == len(list((scenes / "train").rglob("*.jpg"))) - (
        names[0].startswith("train/")
    )


def test_where_nothing_can_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "notes.txt"):
        with pytest.raises(BoxlessError):
            check(path)
    (tmp_path / "a.jpg").touch()
    found = check(tmp_path)
    assert found.readable == 0 and list(next_steps(found)) == ["Nothing can be done before some images can be read."]


def test_the_page_and_the_json_and_names_that_are_markup(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (data / "train" / "[bold]red").mkdir()
    shutil.copy(first(data, "train", "star"), data / "train" / "[bold]red" / "[red]a.jpg")
    for arguments in ([], ["--json", "--quick"]):
        with pytest.raises(SystemExit) as ended:
            app.meta(["check", str(data), *arguments])
        out, err = capfd.readouterr()
        assert not ended.value.code and not err
        assert "[bold]red" in out and "[red]a.jpg" in out
    found = json.loads(out)
    assert found.pop("seen by the network") == []
    assert found == json.loads(json.dumps(plain(check(data))))
    assert found["duplicates"]["in two classes"] and found["classes"]["[bold]red"] == {"train": 1}


def test_a_quick_check_needs_no_torch(scenes: Path) -> None:
    code = (
        "import sys\nfrom boxless.cli import app\n"
        "try: app.meta(['check', sys.argv[1], '--quick'])\nexcept SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(scenes)], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Nothing seems wrong." in done.stdout


def test_what_the_network_sees_is_said_first(scenes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two made categories of twelve: too many to be few, and no two kinds in one."""
    with pytest.raises(SystemExit):
        app.meta(["check", str(scenes)])
    first, second, *_ = capfd.readouterr().out.splitlines()
    assert "ImageNet" in first and "limit 2" in first
    assert "find would choose" in second and "next would be" in second


def test_few_images_and_images_all_alike_are_not_compared_with_imagenet(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    for folder, count in (("few", 3), ("alike", 8)):
        (tmp_path / folder).mkdir()
        for index in range(count):
            Image.fromarray(picture).save(tmp_path / folder / f"{index}.png")
    (few,) = preview(read_data(tmp_path / "few", "all"), Progress())
    (alike,) = preview(read_data(tmp_path / "alike", "all"), Progress())
    assert "too few images to compare" in few.words()[0] and "too few images to choose by (3)" in few.words()[1]
    assert "all images look the same" in alike.words()[0] and alike.to_dict()["distance from ImageNet"] is None
