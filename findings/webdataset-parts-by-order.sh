#!/usr/bin/env bash
# webdataset parts a picture from its boxes when a shard was written in the order in which a shell lists files.
#
# Guess: `tar -cf shard.tar *.jpg *.json` makes a good shard: files of one key belong to one sample, or a file that comes late
# is an error.
# Seen (webdataset 1.0.2): two keys give four samples, each with one of its two files, without a word, as only neighbours are put
# together. With the files sorted by name there are two.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "webdataset==1.0.2"
cd "$work"
venv/bin/python - <<'SCRIPT'
import subprocess
from importlib.metadata import version
from pathlib import Path

import webdataset

for name in ("a", "b"):
    Path(f"{name}.jpg").write_bytes(b"picture")
    Path(f"{name}.json").write_text("{}")


def samples(order):
    subprocess.run(f"tar -cf shard.tar {order}", shell=True, check=True)
    dataset = webdataset.WebDataset("shard.tar", shardshuffle=False)
    return [(one["__key__"], sorted(key for key in one if not key.startswith("__"))) for one in dataset]


parted, whole = samples("*.jpg *.json"), samples("a.* b.*")
print("webdataset", version("webdataset"))
print("guess: two samples of two files, or an error")
print("*.jpg *.json:", parted)
print("a.* b.*:", whole)
assert parted == [("a", ["jpg"]), ("b", ["jpg"]), ("a", ["json"]), ("b", ["json"])]
assert whole == [("a", ["jpg", "json"]), ("b", ["jpg", "json"])]
SCRIPT
