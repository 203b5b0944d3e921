#!/usr/bin/env bash
# Pillow multiplies the values of a PGM whose largest value is 4095 to 65535; of PNG and TIFF it gives those of the file.
#
# Guess: the values of a 12-bit sensor are the same whatever file they lie in, as Pillow's 16-bit modes have room for them,
# and a file of 16-bit colours comes with 16 bits or is refused.
# Seen (Pillow 13.0.0, opencv-python-headless 5.0.0.93): of one grey picture of 0..4095, Pillow gives 4095 at most from PNG
# and TIFF (mode I;16) and 65535 from PGM (mode I), where OpenCV gives 4095 from all three. Of colours it gives 8 bits in
# silence: the upper ones of PNG and TIFF, 15 at most of 255, almost black; from a PPM that says 4095, scaled, 255 at most.
# A range or a threshold in the sensor's counts is right for one file format and wrong for the next.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "opencv-python-headless==5.0.0.93" "numpy==2.4.6" "pillow==13.0.0"
cd "$work"
venv/bin/python -W error - <<'SCRIPT'
import cv2
import numpy as np
import PIL
from PIL import Image

values = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
colours = np.dstack([values] * 3)
for suffix in ("png", "tiff"):
    cv2.imwrite(f"grey.{suffix}", values)
    cv2.imwrite(f"colours.{suffix}", colours)
with open("grey.pgm", "wb") as file:
    file.write(b"P5\n64 64\n4095\n" + values.astype(">u2").tobytes())
with open("colours.ppm", "wb") as file:
    file.write(b"P6\n64 64\n4095\n" + colours.astype(">u2").tobytes())

seen = {}
for name in ("grey.png", "grey.tiff", "grey.pgm", "colours.png", "colours.tiff", "colours.ppm"):
    image = Image.open(name)
    pillow, opencv = np.asarray(image), cv2.imread(name, cv2.IMREAD_UNCHANGED)
    seen[name] = (image.mode, int(pillow.max()), str(opencv.dtype), int(opencv.max()))
print("Pillow", PIL.__version__, "OpenCV", cv2.__version__)
print("guess: a largest value of 4095 from both for all")
for name, (mode, largest, dtype, other) in seen.items():
    print(f"{name}: Pillow {mode} {largest}, OpenCV {dtype} {other}")
assert seen == {
    "grey.png": ("I;16", 4095, "uint16", 4095),
    "grey.tiff": ("I;16", 4095, "uint16", 4095),
    "grey.pgm": ("I", 65535, "uint16", 4095),
    "colours.png": ("RGB", 15, "uint16", 4095),
    "colours.tiff": ("RGB", 15, "uint16", 4095),
    "colours.ppm": ("RGB", 255, "uint16", 4095),
}
SCRIPT
