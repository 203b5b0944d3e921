#!/usr/bin/env bash
# OpenCV 5.0.0 cannot open a TIFF that its EXIF orientation turns by a quarter, and decodes the same bytes.
#
# Guess: imread turns a TIFF of orientation 6 upright, as it does with JPEG, PNG and WebP; at worst it leaves it lying.
# Seen (opencv-python-headless 5.0.0.93): imread gives None for a picture that is not square, with IMREAD_COLOR,
# IMREAD_UNCHANGED and IMREAD_IGNORE_ORIENTATION; imdecode of the file's bytes gives the upright picture. A square one is read.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "opencv-python-headless==5.0.0.93" "numpy==2.4.6" "pillow==13.0.0"
cd "$work"
OPENCV_LOG_LEVEL=SILENT venv/bin/python - <<'SCRIPT'
import cv2
import numpy as np
from PIL import Image

exif = Image.Exif()
exif[0x0112] = 6
for suffix in ("jpg", "png", "webp", "tif"):
    Image.new("RGB", (64, 40)).save(f"turned.{suffix}", exif=exif)
Image.new("RGB", (64, 64)).save("square.tif", exif=exif)


def size(picture):
    return None if picture is None else picture.shape[1::-1]


FLAGS = ("IMREAD_COLOR", "IMREAD_UNCHANGED", "IMREAD_IGNORE_ORIENTATION")
read = {suffix: size(cv2.imread(f"turned.{suffix}")) for suffix in ("jpg", "png", "webp", "tif")}
flagged = {flag: size(cv2.imread("turned.tif", getattr(cv2, flag))) for flag in FLAGS}
decoded = size(cv2.imdecode(np.fromfile("turned.tif", np.uint8), cv2.IMREAD_COLOR))
print("OpenCV", cv2.__version__)
print("guess: 40 x 64 for all of them")
print("imread:", read)
print("imread of the TIFF:", flagged)
print("imdecode of the TIFF:", decoded, "and imread of a square one:", size(cv2.imread("square.tif")))
assert [read[suffix] for suffix in ("jpg", "png", "webp")] == [(40, 64)] * 3
assert set(flagged.values()) == {None} and decoded == (40, 64) and size(cv2.imread("square.tif")) == (64, 64)
SCRIPT
