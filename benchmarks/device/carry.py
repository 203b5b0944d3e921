"""Copies the part of the data sets that the GPU machine needs into zips that are small enough to be carried there.

    python benchmarks/device/carry.py TO --tiny28 tiny28.zip --tiny200 tiny200_a.zip tiny200_b.zip

Of every class the first images by number are taken, up to the numbers given; of the GAN paper's groups all that are
there for validation. The rows of boxes follow the images.
"""

import argparse
import csv
import io
import sys
import zipfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from boxless.data.published_datasets import GROUPS

CARRIED_GROUPS = ("bird", "artiodactyla", "vehicle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("to", type=Path)
    parser.add_argument("--tiny28", type=Path, required=True)
    parser.add_argument("--tiny200", type=Path, nargs="+", required=True)
    parser.add_argument("--gan-train", type=int, default=300, help="training images per class of a GAN's group")
    parser.add_argument("--train", type=int, default=25, help="training images per class of the 200")
    parser.add_argument("--val", type=int, default=5, help="validation images per class of the 200")
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    wanted = {name for group in CARRIED_GROUPS for name in GROUPS[group]}
    carry(asked.tiny28, asked.to / "tiny28.zip", {"train": asked.gan_train, "val": sys.maxsize}, wanted)
    for part in asked.tiny200:
        carry(part, asked.to / part.name, {"train": asked.train, "val": asked.val})


def carry(source: Path, target: Path, most: dict[str, int], classes: Collection[str] = ()) -> None:
    """Copy the first images of every class (of `classes`, if any are named) and their rows of boxes."""
    with zipfile.ZipFile(source) as read, zipfile.ZipFile(target, "w") as written:
        kept = chosen(read.namelist(), most, classes)
        for name in kept:
            written.writestr(name, read.read(name))
        for split in most:
            table = f"boxes_{split}.csv"
            rows = csv.DictReader(io.StringIO(read.read(table).decode()))
            text = io.StringIO()
            writer = csv.DictWriter(text, rows.fieldnames or [], lineterminator="\n")
            writer.writeheader()
            writer.writerows(row for row in rows if row["image"] in kept)
            written.writestr(table, text.getvalue(), zipfile.ZIP_DEFLATED)


def chosen(names: Collection[str], most: dict[str, int], classes: Collection[str]) -> dict[str, None]:
    """The images to keep, in the order of the archive."""
    seen = Counter[tuple[str, str]]()
    kept = dict[str, None]()
    for name in names:
        path = PurePosixPath(name)
        if len(path.parts) < 3:
            continue
        split, label = path.parts[0], path.parts[1]
        if (classes and label not in classes) or seen[split, label] >= most.get(split, 0):
            continue
        seen[split, label] += 1
        kept[name] = None
    return kept


if __name__ == "__main__":
    main()
