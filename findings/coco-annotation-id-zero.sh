#!/usr/bin/env bash
# Label Studio's COCO export counts annotations from 0, and COCO's evaluators take the annotation 0 for "no match".
#
# Guess: ids are keys and nothing else. Detections equal to the annotations of an export of label-studio-sdk 2.1.2 have AP
# 1 and AR 1, in pycocotools 2.0.11 and in faster-coco-eval 1.8.0.
# Seen: the first annotation never counts as found. With two images AP is 0.25 and AR 0.5 in both, and 1 and 1 once 1 is
# added to the ids. faster-coco-eval warns; pycocotools says nothing.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "label-studio-sdk==2.1.2" "pycocotools==2.0.11" "faster-coco-eval==1.8.0"
cd "$work"
venv/bin/python - <<'SCRIPT'
import contextlib
import io
import json
import warnings
from importlib.metadata import version

import faster_coco_eval
from label_studio_sdk.converter import Converter
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

warnings.simplefilter("ignore")
CONFIG = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image"><Label value="cat"/>
</RectangleLabels></View>"""


def task(number):
    Image.new("RGB", (100, 100)).save(f"{number}.jpg")
    value = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["cat"]}
    box = {"id": "a", "type": "rectanglelabels", "from_name": "box", "to_name": "image", "value": value}
    box |= {"original_width": 100, "original_height": 100}
    annotation = {"id": number, "completed_by": 1, "was_cancelled": False, "result": [box]}
    return {"id": number, "data": {"image": f"{number}.jpg"}, "annotations": [annotation]}


def measured(first):
    """AP and AR of detections that are the annotations, of both evaluators, with the ids moved up by `first`."""
    found = json.load(open("out/result.json"))
    for one in found["annotations"]:
        one["id"] += first
    keys = ("image_id", "category_id", "bbox")
    detections = [{key: one[key] for key in keys} | {"score": 0.9} for one in found["annotations"]]
    truth = COCO()
    truth.dataset = found
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        other = faster_coco_eval.COCO(json.loads(json.dumps(found)))
        results = []
        for evaluator, annotations in ((COCOeval, truth), (faster_coco_eval.COCOeval_faster, other)):
            run = evaluator(annotations, annotations.loadRes([dict(one) for one in detections]), "bbox")
            run.evaluate()
            run.accumulate()
            run.summarize()
            results += [(round(float(run.stats[0]), 2), round(float(run.stats[8]), 2))]
    return results


json.dump([task(1), task(2)], open("tasks.json", "w"))
Converter(CONFIG, ".", download_resources=False).convert("tasks.json", "out", "COCO", is_dir=False)
ids = [one["id"] for one in json.load(open("out/result.json"))["annotations"]]
print(*(f"{name} {version(name)}" for name in ("label-studio-sdk", "pycocotools", "faster-coco-eval")))
print("guess: AP and AR are 1 whatever the ids")
print("ids of the annotations:", ids)
for first in (0, 1):
    print(f"ids from {first}: AP and AR of pycocotools and of faster-coco-eval:", measured(first))
assert ids == [0, 1]
assert measured(0) == [(0.25, 0.5)] * 2 and measured(1) == [(1.0, 1.0)] * 2
SCRIPT
