"""I2C's Tables 1 and 2 and its Figure 3 on tiny trees in the layouts of ILSVRC and CUB."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from trials import SMALL, never, small_data

from boxless.data.folder import read_data
from boxless.reproduce.classifier_tables import reproduce
from boxless.reproduce.grid import TimeBudget
from boxless.reproduce.i2c import comparisons, figure_3
from boxless.reproduce.i2c.published import TABLE_1, TABLE_2, PublishedRow
from boxless.reproduce.recipes import RECIPES
from boxless.reproduce.trial_results import TrialResult

QUICK: dict[str, Any] = SMALL | {"epochs": 1, "seeds": [0]}
ROWS = (
    PublishedRow("cam", "tiny", 53.71, 41.81, 37.32, 26.7, 8.2),
    PublishedRow("nothing", "tiny", 51.40),
    PublishedRow("i2c", "tiny", 46.89),
)
TABLE_1_SMALL, TABLE_2_SMALL = (replace(table, rows=ROWS) for table in comparisons.TABLES)  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("scenes"))


def as_ilsvrc(data: Path, root: Path) -> Path:
    images, lines = root / "ILSVRC/Data/CLS-LOC", ["ImageId,PredictionString"]
    for sample in read_data(data, "train").samples:
        wnid = ("n01", "n02")[sample.label or 0]
        (images / "train" / wnid).mkdir(parents=True, exist_ok=True)
        shutil.copy(data / sample.name, images / "train" / wnid / f"{Path(sample.name).stem}.JPEG")
    (images / "val").mkdir()
    for number, sample in enumerate(read_data(data, "test").samples):
        name = f"ILSVRC2012_val_{number:08d}"
        shutil.copy(data / sample.name, images / "val" / f"{name}.JPEG")
        assert sample.boxes is not None
        x0, y0, x1, y1 = sample.boxes[0].astype(int)
        lines.append(f"{name},{('n01', 'n02')[sample.label or 0]} {x0} {y0} {x1 - 1} {y1 - 1} ")
    (root / "LOC_val_solution.csv").write_text("\n".join([*lines, ""]))
    return root


def as_cub(data: Path, root: Path) -> Path:
    lists: dict[str, list[str]] = {name: [] for name in ("images", "image_class_labels", "train_test_split")}
    boxes, number = list[str](), 0
    for split, flag in (("train", 1), ("test", 0)):
        for sample in read_data(data, split).samples:
            number += 1
            name = f"00{(sample.label or 0) + 1}.bird/{split}_{Path(sample.name).name}"
            (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(data / sample.name, root / "images" / name)
            lists["images"].append(f"{number} {name}")
            lists["image_class_labels"].append(f"{number} {(sample.label or 0) + 1}")
            lists["train_test_split"].append(f"{number} {flag}")
            assert sample.boxes is not None
            x0, y0, x1, y1 = sample.boxes[0]
            boxes.append(f"{number} {x0} {y0} {x1 - x0} {y1 - y0}")
    for file, lines in {**lists, "bounding_boxes": boxes, "classes": ["1 001.bird", "2 002.bird"]}.items():
        (root / f"{file}.txt").write_text("\n".join([*lines, ""]))
    return root


def row_of(text: str, *starts: str) -> list[str]:
    lines = ([entry.strip() for entry in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| "))
    return next(line for line in lines if tuple(line[: len(starts)]) == starts)


def test_table_1_on_ilsvrc_s_layout_trains_without_boxes(data: Path, tmp_path: Path) -> None:
    root = as_ilsvrc(data, tmp_path / "ilsvrc")
    text = reproduce(TABLE_1_SMALL, [root], tmp_path / "out", TimeBudget(), **QUICK)
    assert "2 of 2 trials run" in text
    assert row_of(text, "cam", "tiny")[4:] == ["53.71", "41.81", "37.32", "26.70", "8.20"]
    assert row_of(text, "i2c", "tiny")[5:] == ["-"] * 4
    assert "boxless has no nothing" in text
    assert "fixed: the paper's 20 %" in text
    assert text.count("| boxless, thresholds from the test boxes |") == 2
    result = json.loads((tmp_path / "out/cells/cam-tiny_0.json").read_text())["result"]
    ours = [float(entry) for entry in row_of(text, "", "", "boxless", "1")[4:]]
    assert ours == pytest.approx(TrialResult.from_json(result).errors("headline"), abs=0.006)
    gt, class_1 = result["measurement"]["metrics"]["GT-known@0.5"], result["measurement"]["metrics"]
    assert ours[2] == pytest.approx(100 - gt, abs=0.006)
    assert ours[3] == pytest.approx(class_1["Top-1 classification error"], abs=0.006)
    again = reproduce(TABLE_1_SMALL, [root], tmp_path / "out", TimeBudget(), begun=never, **QUICK)
    assert again == text


def test_table_2_on_cub_s_layout_transfers_its_threshold(data: Path, tmp_path: Path) -> None:
    root = as_cub(data, tmp_path / "cub")
    text = reproduce(TABLE_2_SMALL, [root], tmp_path / "out", TimeBudget(), **QUICK)
    assert "2 of 2 trials run" in text
    assert "12 test images of cub; transferred from 20 other images" in text
    stopped = reproduce(TABLE_2_SMALL, [root], tmp_path / "later", TimeBudget(1e-9), **QUICK)
    assert row_of(stopped, "", "", "boxless")[4] == "not run"


def test_the_published_numbers_are_the_papers() -> None:
    """Spot checks against the text of section 4.2: I2C's gains over ADL and SPG."""
    found = {(row.method, row.backbone): row for row in TABLE_1}
    assert len(found) == len(TABLE_1) == 19
    best = {key: row.top_1 or 0.0 for key, row in found.items()}
    assert best["adl", "resnet50_se"] - best["i2c", "resnet50"] == pytest.approx(6.30)
    assert best["adl", "inception_v3"] - best["i2c", "inception_v3"] == pytest.approx(4.40)
    assert best["acol", "vgg16"] - best["i2c", "vgg16"] == pytest.approx(1.58)
    two = {row.method: row for row in TABLE_2}
    assert (two["adl"].top_1 or 0) - (two["i2c"].top_1 or 0) == pytest.approx(2.95)
    assert (two["danet"].top_5 or 0) - (two["i2c"].top_5 or 0) == pytest.approx(6.38)


def test_i2c_comes_first_and_only_rows_that_can_be_run(data: Path) -> None:
    grid = comparisons.TABLES[0].trials(read_data(data, "train"), RECIPES["paper"], [0])
    assert (grid[0].method, grid[0].training.backbone) == ("i2c", "inception_v3")
    assert len({trial.name for trial in grid}) == len(grid)
    assert {trial.training.resize for trial in grid} == {256}


def test_figure_3_is_drawn_from_the_results(data: Path, tmp_path: Path) -> None:
    table = figure_3.Figure3()
    text = reproduce(table, [data], tmp_path, TimeBudget(), **QUICK)
    methods = re.search(r"png: (\w+) \| (\w+);", text)
    assert methods is not None
    assert methods.groups()[0] == "i2c"
    drawn = np.asarray(Image.open(tmp_path / "i2c-figure-3.png"))
    assert drawn.shape[1] > 6 * 32
    red, green = (np.abs(drawn.astype(int) - colour).sum(2) == 0 for colour in (figure_3.RED, figure_3.FOUND))
    assert red.any()
    assert green.any()
    (tmp_path / "i2c-figure-3.png").unlink()
    assert reproduce(table, [data], tmp_path, TimeBudget(), begun=never, **QUICK) == text
    assert np.array_equal(np.asarray(Image.open(tmp_path / "i2c-figure-3.png")), drawn)
