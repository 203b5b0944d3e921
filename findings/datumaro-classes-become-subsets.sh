#!/usr/bin/env bash
# datumaro takes folders of classes below YOLO's images/ for subsets, and its exporters then refuse or scatter them.
#
# Guess: the layout images/cat/1.jpg, labels/cat/1.txt, on which ultralytics trains, comes in as the items cat/1 and dog/1
# of the one subset that data.yaml names.
# Seen (datumaro 1.13.12): two items, both called 1, in the subsets cat and dog, whatever `train` in data.yaml says. COCO
# comes out as instances_cat.json and instances_dog.json, which programs read as splits, and the export to
# yolo_ultralytics is refused.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "datumaro==1.13.12"
cd "$work"
venv/bin/python - <<'SCRIPT'
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.simplefilter("ignore")
import datumaro
from PIL import Image

for label, name in enumerate(("cat", "dog")):
    for kind in ("images", "labels"):
        Path("yolo", kind, name).mkdir(parents=True)
    Image.new("RGB", (60, 40)).save(f"yolo/images/{name}/1.jpg")
    Path(f"yolo/labels/{name}/1.txt").write_text(f"{label} .5 .5 .5 .5\n")
Path("yolo/data.yaml").write_text("train: images\nval: images\nnames: {0: cat, 1: dog}\n")
dataset = datumaro.Dataset.import_from("yolo", "yolo")
items = sorted((item.id, item.subset) for item in dataset)
dataset.export("coco", "coco_instances")
files = sorted(path.name for path in Path("coco/annotations").iterdir())
try:
    dataset.export("ultralytics", "yolo_ultralytics", save_media=True)
    refused = ""
except datumaro.components.errors.DatasetExportError as error:
    refused = str(error)
print("datumaro", version("datumaro"))
print("guess: the items cat/1 and dog/1 in one subset")
print("items and their subsets:", items)
print("COCO:", *files)
print("yolo_ultralytics:", refused)
assert items == [("1", "cat"), ("1", "dog")]
assert files == ["instances_cat.json", "instances_dog.json"] and refused
SCRIPT
