#!/usr/bin/env bash
# Albumentations refuses boxes at the left or upper edge that have YOLO's usual six digits, and takes the mirrored ones.
#
# Guess: a box from the edge, 16 pixels wide in 96, is `0.083333 0.5 0.166667 0.5` with six digits; half a millionth beyond the
# picture is rounding, and accepted.
# Seen (albumentationsx 2.5.1): ValueError, x_min is -4.99e-07. At the right edge, 0.916667 0.5 0.166667 0.5, which ends at
# 1.0000005, it is accepted: the check is relative there, and 0 has no neighbours. One millionth less width is accepted at the
# left.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "albumentationsx==2.5.1" "opencv-python-headless==5.0.0.93" "torch==2.13.0" "numpy==2.4.6"
cd "$work"
venv/bin/python - <<'SCRIPT'
import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations
import numpy as np

mirror = albumentations.Compose(
    [albumentations.HorizontalFlip(p=1)], bbox_params=albumentations.BboxParams(coord_format="yolo", label_fields=["labels"])
)


def said(box):
    try:
        mirror(image=np.zeros((96, 96, 3), np.uint8), bboxes=[box], labels=[0])
        return "accepted"
    except ValueError as error:
        return " ".join(str(error).split())


left, right, narrower = (said([x, 0.5, w, 0.5]) for x, w in ((0.083333, 0.166667), (0.916667, 0.166667), (0.083333, 0.166666)))
print("albumentationsx", albumentations.__version__)
print("guess: accepted, accepted, accepted")
print("at the left edge:", left)
print("at the right edge:", right)
print("at the left edge, a millionth narrower:", narrower)
assert left.startswith("Expected x_min") and right == narrower == "accepted"
SCRIPT
