"""Exports of boxless through the tools that people use, and back: docs/results/tools/TOOL.json.

    python benchmarks/tools/run.py [TOOL ...] [--environments DIR] [--out DIR]

Each tool is installed at its pinned version into an environment of its own, in a temporary folder that goes at the end
or in DIR, where it stays. The table in docs/formats.md is made from the json by docs/make_tools.py.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import photographs

from boxless.data.annotation_files import read_truth
from boxless.data.folder import splits
from boxless.data.layouts import recognise
from boxless.runtime.errors import BoxlessError

HERE = Path(__file__).parent
TOOLS = {
    "ultralytics": ["ultralytics==8.4.190", "torch==2.13.0", "torchvision==0.28.0"],
    "fiftyone": ["fiftyone==1.22.1"],
    "label_studio": ["label-studio-sdk==2.1.2"],
    "datumaro": ["datumaro==1.13.12"],
    "supervision": ["supervision==0.31.2"],
    "labelme": ["labelme==6.3.1"],
}
"""What pip installs for a script; its environment has nothing else, and no boxless."""
NEAR = 5.0
"""Pixels; a box that is further away from all others is another one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tools", nargs="*", default=list(TOOLS))
    parser.add_argument("--environments", type=Path)
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "docs/results/tools")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    kept = given.environments
    with tempfile.TemporaryDirectory() as work, nullcontext(kept) if kept else tempfile.TemporaryDirectory() as place:
        for tool in given.tools:
            exports, written = Path(work, tool, "exports"), Path(work, tool, "written")
            photographs.make(exports)
            written.mkdir()
            python = environment(Path(place, tool), TOOLS[tool])
            subprocess.run([python, HERE / f"with_{tool}.py", exports, written], check=True, cwd=Path(work, tool))
            result = judged(json.loads((written / "seen.json").read_text()), written)
            origin = {"python": platform.python_version(), "command": f"benchmarks/tools/run.py {tool}"}
            text = json.dumps(origin | result, indent=1).replace(str(Path(work, tool)), "...")
            (given.out / f"{tool}.json").write_text(text + "\n")


def environment(folder: Path, packages: list[str]) -> Path:
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def judged(seen: dict[str, Any], written: Path) -> dict[str, Any]:
    truth = [{"file": name, "boxes": labelled(name)} for name in photographs.BOXES]
    for entry in seen["reads"]:
        if "refused" not in entry:
            scored = entry["format"] == "coco"
            entry |= compared(truth, by_photograph(entry.pop("images")), scored=scored)
    for entry in seen["writes"]:
        held = entry.pop("images", None)
        folder = written / entry.pop("folder")
        if "refused" not in entry:
            expected = truth if held is None else [one | {"file": name} for name, one in by_photograph(held).items()]
            entry |= read_back(expected, folder)
    return seen


def labelled(name: str) -> list[list[Any]]:
    return [[name.partition("/")[0], *box, photographs.SCORE] for box in photographs.BOXES[name]]


def by_photograph(images: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Images by the photograph that they are: the end of their path tells, or else their size."""
    found = {}
    for image in images:
        tail = next((name for name in photographs.SIZES if f"/{image['file']}".endswith(f"/{name}")), None)
        sized = next(
            (name for name, size in photographs.SIZES.items() if list(size) == list(image["size"] or [])), None
        )
        if tail or sized:
            found[tail or sized or ""] = image | {"named": tail is not None}
    return found


def compared(truth: list[dict[str, Any]], found: dict[str, dict[str, Any]], *, scored: bool) -> dict[str, Any]:
    """How many images there are, how far their boxes are off at most, and what is lost."""
    lost, furthest = set(), 0.0
    for one in truth:
        image = found.get(one["file"])
        if image is None:
            lost.add("images without boxes" if not one["boxes"] else "images")
            continue
        if not image["named"]:
            lost.add("sub-folders")
        if image["size"] and tuple(image["size"]) != photographs.SIZES[one["file"]]:
            lost.add("the upright size")
        rest = [list(box) for box in image["boxes"]]
        for label, *box, _ in one["boxes"]:
            distances = [float(np.abs(np.subtract(other[1:5], box)).max()) for other in rest]
            nearest = int(np.argmin(distances)) if distances else -1
            if nearest < 0 or distances[nearest] > NEAR:
                lost.add("boxes, which lie elsewhere")
                continue
            furthest = max(furthest, distances[nearest])
            other = rest.pop(nearest)
            lost |= {"classes"} if other[0] != label else set()
            lost |= {"scores"} if scored and other[5] is None else set()
    return {"images": len(found), "of": len(truth), "pixels": furthest, "lost": sorted(lost)}


def read_back(expected: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """What boxless reads of a folder that a tool wrote, and whether its commands take it."""
    layout = recognise(folder)
    try:
        truth = read_truth(folder)
    except BoxlessError as error:
        return {"layout": layout.name if layout else "", "refused": str(error)}
    images = []
    for name, size, label, boxes in zip(truth.names, truth.sizes, truth.labels, truth.boxes, strict=True):
        named = "" if label is None else truth.classes[label]
        found = [] if boxes is None else boxes.tolist()
        images.append({"file": name, "size": size, "boxes": [[named, *box, None] for box in found]})
    maps = folder.with_name(f"{folder.name}.npz")
    np.savez(
        maps, **{name: np.ones(size[::-1], np.float32) for name, size in zip(truth.names, truth.sizes, strict=True)}
    )
    split = ["--split", "all", "--fit", "none"] if splits(folder) else ["--fit", "none"]
    commands = {
        "check": ["check", str(folder)],
        "evaluate": ["evaluate", "contrast", str(folder), *split],
        "score": ["score", str(maps), str(folder)],
    }
    ended = {name: boxless(*words) for name, words in commands.items()}
    compares = compared(expected, by_photograph(images), scored=False)
    return {"layout": layout.name if layout else "FiftyOne's labels.json", "commands": ended} | compares


def boxless(*words: str) -> str:
    """Nothing, or the last line of what a command said when it failed."""
    ended = subprocess.run([sys.executable, "-m", "boxless", *words], capture_output=True, text=True)
    return "" if ended.returncode == 0 else (ended.stderr.strip().splitlines() or ["failed"])[-1]


if __name__ == "__main__":
    main()
