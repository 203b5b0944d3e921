#!/usr/bin/env bash
# Hugging Face's imagefolder drops images that its metadata does not name, and the classes of the folders with them.
#
# Guess: with metadata.jsonl for the images that have objects, the others stay with objects None, and the folders cat and dog
# still give the column `label`, at least with drop_labels=False.
# Seen (datasets 5.2.0): of four images the two with a row are loaded, without a word about the others; there is no label
# column, with drop_labels=False neither. Without the metadata there are four and the label. A detector is never shown an
# image without objects unless it has a row of its own.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "datasets==5.2.0" "pillow==13.0.0"
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" venv/bin/python - <<'SCRIPT'
import json
from importlib.metadata import version
from pathlib import Path

import datasets
from PIL import Image

datasets.disable_progress_bars()
for name in ("cat", "dog"):
    Path("photos", name).mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (60, 40)).save(f"photos/{name}/{number}.jpg")


def loaded(**options):
    found = datasets.load_dataset("imagefolder", data_dir="photos", split="train", cache_dir="cache", **options)
    return len(found), sorted(found.column_names)


without = loaded()
rows = [{"file_name": f"{name}/0.jpg", "objects": {"bbox": [[1, 2, 3, 4]], "categories": [0]}} for name in ("cat", "dog")]
Path("photos/metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
print("datasets", version("datasets"))
print("guess: 4 images with objects and label")
print("without metadata:", without)
print("with metadata:", loaded())
print("with metadata and drop_labels=False:", loaded(drop_labels=False))
assert without == (4, ["image", "label"])
assert loaded() == loaded(drop_labels=False) == (2, ["image", "objects"])
SCRIPT
