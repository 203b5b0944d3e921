#!/usr/bin/env bash
# A crowd in a COCO file is an ordinary object once sahi has read it, or has cut the images into tiles.
#
# Guess: what sahi reads from a COCO file it writes again as it was, boxes and areas with their decimals and `iscrowd`, as
# slicing is for training and scoring with pycocotools, where a crowd is an area in which nothing is judged.
# Seen (sahi 0.12.8): `Coco(...).json` and `slice_coco` write `iscrowd: 0` for every annotation, and whole numbers for the
# areas; boxes keep their decimals. With pycocotools 2.0.11 a perfect detector of the one true object, which also finds
# two people in the crowd, has AP 1 by the file itself and .168 by what sahi wrote of it.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "sahi==0.12.8" "pycocotools==2.0.11" "numpy==2.4.6" "shapely==2.1.2" "opencv-python==5.0.0.93"
cd "$work"
venv/bin/python - <<'SCRIPT'
import contextlib
import importlib.metadata
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sahi.slicing import slice_coco
from sahi.utils.coco import Coco

Image.fromarray(np.zeros((300, 400, 3), np.uint8)).save("a.png")
one = {"image_id": 1, "category_id": 1, "segmentation": []}
truth = {
    "images": [{"id": 1, "file_name": "a.png", "width": 400, "height": 300}],
    "categories": [{"id": 1, "name": "person"}],
    "annotations": [
        {**one, "id": 1, "bbox": [10.25, 20.5, 30.75, 40.25], "area": 30.75 * 40.25, "iscrowd": 0},
        {**one, "id": 2, "bbox": [40.0, 150.0, 100.0, 40.0], "area": 4000.0, "iscrowd": 1},
    ],
}
Path("truth.json").write_text(json.dumps(truth))
people = [[10.25, 20.5, 30.75, 40.25], [45.0, 152.0, 20.0, 36.0], [90.0, 152.0, 20.0, 36.0]]
found = [{"image_id": 1, "category_id": 1, "bbox": box, "score": 0.5 + 0.1 * i} for i, box in enumerate(people)]


def ap(path):
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(path)
        scores = COCOeval(known, known.loadRes(found), "bbox")
        scores.evaluate(), scores.accumulate(), scores.summarize()
    return float(scores.stats[0])


read = Coco.from_coco_dict_or_path("truth.json", image_dir=".").json
Path("read.json").write_text(json.dumps(read))
tiles, _ = slice_coco("truth.json", ".", "tiles", "out", slice_height=200, slice_width=200, verbose=False)
print("sahi", importlib.metadata.version("sahi"), "pycocotools", importlib.metadata.version("pycocotools"))
print("guess: iscrowd 0, 1; AP 1 both times")
crowds = [annotation["iscrowd"] for annotation in read["annotations"]]
in_tiles = {annotation["iscrowd"] for annotation in tiles["annotations"]}
print("iscrowd as read:", crowds, "of the tiles:", in_tiles, "areas:", [a["area"] for a in read["annotations"]])
before, after = ap("truth.json"), ap("read.json")
print(f"AP by the file {before:.3f}, by what sahi wrote {after:.3f}")
assert crowds == [0, 0] and in_tiles == {0}
assert read["annotations"][0]["bbox"] == [10.25, 20.5, 30.75, 40.25] and read["annotations"][0]["area"] == 1237
assert abs(before - 1) < 1e-6 and after < 0.5
SCRIPT
