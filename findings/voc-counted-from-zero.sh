#!/usr/bin/env bash
# The same Pascal VOC xml is another box in datumaro than in supervision, and datumaro's own xml is no VOC.
#
# Guess: VOC counts pixels from 1 and includes the last one, as every description of it says, so that 1 1 60 40 in a picture
# of 60 x 40 is the whole picture for both.
# Seen (datumaro 1.13.12, supervision 0.31.2): supervision reads 0 0 60 40. datumaro by default reads 1 1 60 40 and so
# leaves out the first column and the first row; it writes the whole picture as 0.0 0.0 60.0 40.0. Only with
# coordinate_mode="voc-one-based", which it does not use by itself, it reads 0 0 60 40.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "datumaro==1.13.12" "supervision==0.31.2"
cd "$work"
venv/bin/python - <<'SCRIPT'
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.simplefilter("ignore")
import datumaro
import supervision
from PIL import Image

for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
    Path("voc", folder).mkdir(parents=True)
Image.new("RGB", (60, 40)).save("voc/JPEGImages/a.jpg")
Path("voc/ImageSets/Main/train.txt").write_text("a\n")
Path("voc/Annotations/a.xml").write_text(
    "<annotation><filename>a.jpg</filename><size><width>60</width><height>40</height><depth>3</depth></size>"
    "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>60</xmax><ymax>40</ymax></bndbox></object>"
    "</annotation>"
)


def by_datumaro(**options):
    (item,) = datumaro.Dataset.import_from("voc", "voc_detection", **options)
    return [one.points for one in item.annotations if one.type.name == "bbox"][0]


dataset = supervision.DetectionDataset.from_pascal_voc("voc/JPEGImages", "voc/Annotations")
by_supervision = next(iter(dataset.annotations.values())).xyxy[0].tolist()
whole = datumaro.Dataset.from_iterable(
    [datumaro.DatasetItem("a", media=datumaro.Image.from_file("voc/JPEGImages/a.jpg"),
                          annotations=[datumaro.Bbox(0, 0, 60, 40, label=0)])], categories=["cat"])
whole.export("written", "voc_detection", save_media=True)
text = Path("written/Annotations/a.xml").read_text()
written = [float(text.partition(f"<{side}>")[2].partition("<")[0]) for side in ("xmin", "ymin", "xmax", "ymax")]
print("datumaro", version("datumaro"), "supervision", version("supervision"))
print("guess: 0 0 60 40 from both, and datumaro writes 1 1 60 40")
print("supervision reads", by_supervision)
print("datumaro reads", by_datumaro(), "and with voc-one-based", by_datumaro(coordinate_mode="voc-one-based"))
print("datumaro writes the whole picture as", written)
assert by_supervision == [0, 0, 60, 40]
assert by_datumaro() == [1, 1, 60, 40] and by_datumaro(coordinate_mode="voc-one-based") == [0, 0, 60, 40]
assert written == [0, 0, 60, 40]
SCRIPT
