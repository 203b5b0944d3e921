#!/usr/bin/env bash
# A photograph in AVIF that is turned by its orientation is upright in Pillow and lies in OpenCV.
#
# Guess: OpenCV 5 turns AVIF upright as it does JPEG, PNG and WebP, so that boxes made on one library's picture fit the
# other's, and `IMREAD_UNCHANGED` is the way to the stored picture.
# Seen (opencv-python-headless 5.0.0.93, Pillow 13.0.0): imread and imdecode give AVIF as it is stored, 64 x 40, and the other
# three upright, 40 x 64. Pillow's exif_transpose turns all four. A trainer that reads with OpenCV sees a lying picture beside
# the upright box.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "opencv-python-headless==5.0.0.93" "numpy==2.4.6" "pillow==13.0.0"
cd "$work"
venv/bin/python - <<'SCRIPT'
import cv2
import numpy as np
import PIL
from PIL import Image, ImageOps

exif = Image.Exif()
exif[0x0112] = 6
pixels = np.zeros((40, 64, 3), np.uint8)
pixels[:, :32] = 255  # white at the left of the stored picture, at the top of the upright one
read, transposed, white_on_top = {}, {}, {}
for suffix in ("jpg", "png", "webp", "avif"):
    name = f"turned.{suffix}"
    Image.fromarray(pixels).save(name, exif=exif)
    picture = cv2.imread(name)
    same = cv2.imdecode(np.fromfile(name, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == same.shape
    read[suffix] = picture.shape[1::-1]
    white_on_top[suffix] = bool(picture[:10, -10:].mean() > 200)
    transposed[suffix] = ImageOps.exif_transpose(Image.open(name)).size
print("OpenCV", cv2.__version__, "Pillow", PIL.__version__)
print("guess: 40 x 64 from both for all")
print("OpenCV:", read, "white on top:", white_on_top)
print("Pillow:", transposed)
assert set(transposed.values()) == {(40, 64)}
assert read == {"jpg": (40, 64), "png": (40, 64), "webp": (40, 64), "avif": (64, 40)}
assert white_on_top == {"jpg": True, "png": True, "webp": True, "avif": False}
SCRIPT
