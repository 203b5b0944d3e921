#!/usr/bin/env bash
# The one command for a GPU machine: unpacks what fetch.sh packed into CARRIED, then runs everything into OUT.
#   bash benchmarks/device/run.sh CARRIED OUT            (on the machine with the GPU)
#   bash benchmarks/device/run.sh --dry-run OUT          (anywhere: in small, on the processor, with what is installed)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
carried=${1:?the folder that fetch.sh made, or --dry-run}
out=${2:?folder for the results}
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1
if [ "$carried" = --dry-run ]; then
  exec env PYTHONPATH="$root/src" "$python" "$root/benchmarks/device/run.py" --out "$out" --dry-run "${@:3}"
fi
site=$(mktemp -d)
"$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --no-cache-dir \
  --target "$site" "$carried"/wheels/*.whl
export PYTHONPATH="$root/src:$site"
exec "$python" "$root/benchmarks/device/run.py" --out "$out" \
  --tiny28 "$carried/data/tiny28.zip" --tiny200 "$carried"/data/tiny200_*.zip "${@:3}"
