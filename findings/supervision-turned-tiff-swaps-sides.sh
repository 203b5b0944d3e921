#!/usr/bin/env bash
# supervision scales YOLO's boxes by swapped sides in a turned TIFF since Pillow gives such a file its upright size.
#
# Guess: supervision, which swaps width and height of a header for the orientations 5 to 8 itself, gives the same box in a turned
# TIFF as in a turned JPEG.
# Seen (supervision 0.31.2, Pillow 13.0.0): the fractions .5 .5 .5 .5 are 10 16 30 48 in the upright picture of 40 x 64 as JPEG,
# PNG and WebP, and 16 10 48 30 as TIFF, partly outside. Pillow's TIFF reader states the upright size already while the tag is still
# there, and supervision swaps once more. The picture itself comes upright from both.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "supervision==0.31.2" "pillow==13.0.0"
cd "$work"
venv/bin/python - <<'SCRIPT'
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.simplefilter("ignore")
from PIL import Image
from supervision import DetectionDataset

exif = Image.Exif()
exif[0x0112] = 6
boxes, sizes = {}, {}
for suffix in ("jpg", "png", "webp", "tif"):
    for kind in ("images", "labels"):
        Path(suffix, kind).mkdir(parents=True)
    Image.new("RGB", (64, 40)).save(f"{suffix}/images/a.{suffix}", exif=exif)
    Path(suffix, "labels/a.txt").write_text("0 .5 .5 .5 .5\n")
    Path(suffix, "data.yaml").write_text("names: [cat]\n")
    dataset = DetectionDataset.from_yolo(f"{suffix}/images", f"{suffix}/labels", f"{suffix}/data.yaml")
    ((_, picture, found),) = dataset
    boxes[suffix], sizes[suffix] = found.xyxy[0].tolist(), picture.shape[1::-1]
header = Image.open("tif/images/a.tif")
print("supervision", version("supervision"), "Pillow", version("pillow"))
print("guess: 10 16 30 48 in 40 x 64 for all")
print("pictures:", sizes)
print("boxes:", boxes)
print("the header of the TIFF in Pillow:", header.size, "orientation", header.getexif()[0x0112])
assert set(sizes.values()) == {(40, 64)} and header.size == (40, 64)
assert [boxes[suffix] for suffix in ("jpg", "png", "webp")] == [[10, 16, 30, 48]] * 3
assert boxes["tif"] == [16, 10, 48, 30]
SCRIPT
