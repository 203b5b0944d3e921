"""What a machine may lack around a command, and how many classes data may have: every command is run in each.

    python benchmarks/reliability/surroundings.py [out.json] [--only WORDS] [--classes 2000]

TMPDIR that is missing or full, no HOME, a reader of stdout that has had enough, stdout closed. With --json, in success
and in failure, stdout is one JSON document and nothing else. A full TMPDIR needs a small disk, which only root may
mount.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from disks import Writing, commands, disk, fill, prepare

from boxless.runtime.provenance import provenance

TRAIN = "--backbone tiny --weights none --size 32 --resize 32 --batch-size 64 --epochs 1 --workers 1"


WAYS = ("find coco", "predict", "train cam", "train sn-dcgan", "evaluate", "score")
"""The commands that run in every surrounding."""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    said: str


def boxless(command: list[str], *, environ: dict[str, str] | None = None, shell: str = '"$@"') -> Ended:
    """Run `boxless COMMAND` through a line of shell, in which it is "$@"."""
    line = ["bash", "-o", "pipefail", "-c", shell, "bash", sys.executable, "-m", "boxless", *command]
    done = subprocess.run(line, capture_output=True, text=True, env=environ, timeout=600, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


def wrong(ended: Ended, codes: tuple[int, ...]) -> list[str]:
    """What is wrong with how a command ended, whatever it printed."""
    faults = [word for word in ("Traceback", "mistake in boxless", "Exception ignored") if word in ended.said]
    return ([] if ended.code in codes else [f"exit code {ended.code}: {ended.said[-300:]}"]) + faults


def wrong_json(ended: Ended) -> list[str]:
    """What is wrong with stdout as one JSON document, which has an error where the exit code is one."""
    try:
        content = json.loads(ended.out)
    except ValueError:
        return [f"stdout is not one JSON document: {ended.out[:200]!r}"]
    if not isinstance(content, dict):
        return [f"stdout is {type(content).__name__}, not an object"]
    failed = ended.code != 0
    return [] if ("error" in content) == failed else [f"exit code {ended.code} and {sorted(content)[:5]}"]


def without(name: str, **more: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != name} | more


def chosen(root: Path, only: str) -> list[Writing]:
    return [one for one in commands(root) if one.name in WAYS and only in one.name]


def around(root: Path, only: str) -> dict[str, list[str]]:
    """Every command that writes, without a temporary folder, without a home, and where nobody reads."""
    found: dict[str, list[str]] = {}
    for one in chosen(root, only):

        def out(way: str, one: Writing = one) -> list[str]:
            return [*one.command, one.to, str(root / "ways" / f"{one.name} {way}" / one.file)]

        ways = {
            "TMPDIR missing": (out("missing"), {"environ": without("TMPDIR", TMPDIR="/nonexistent/tmp")}, (0,)),
            "HOME unset": (out("home"), {"environ": without("HOME")}, (0,)),
            "stdout read to its first line": (out("head"), {"shell": '"$@" | head -1'}, (0, 141)),
            "stdout closed": (out("closed"), {"shell": '"$@" >&-'}, (0,)),
        }
        for way, (command, how, codes) in ways.items():
            (root / "ways").mkdir(exist_ok=True)
            found[f"{one.name}, {way}"] = wrong(boxless(command, **how), codes)
    return found


def full(root: Path, only: str) -> dict[str, list[str]]:
    """A TMPDIR with room for a file and not for the descriptors of 20 pictures, and one with none."""
    found: dict[str, list[str]] = {}
    for one in chosen(root, only):
        for left in (0, 8192):
            with disk(root / "small", "1m") as at:
                fill(at, left)
                (root / "full").mkdir(exist_ok=True)
                place = str(root / "full" / f"{one.name} {left}" / one.file)
                ended = boxless([*one.command, one.to, place], environ=without("TMPDIR", TMPDIR=str(at)))
                found[f"{one.name}, TMPDIR with {left} bytes left"] = wrong(ended, (0, 1))
    return found


def documents(root: Path, only: str) -> dict[str, list[str]]:
    """--json of commands that succeed and that fail."""
    pictures, scenes, away = str(root / "pictures"), str(root / "scenes"), str(root / "away")
    out, run = ["--out", str(root / "json")], str(root / "network")
    lines = [
        (0, ["check", pictures]), (1, ["check", away]),
        (0, ["find", pictures, "--method", "contrast", *out]), (2, ["find", pictures, "--method", "contrast", *out]),
        (1, ["find", away]), (2, ["find", pictures, "--bogus"]), (2, ["find", pictures, "--size", "0"]),
        (0, ["predict", run, pictures, "--out", str(root / "json predict")]), (1, ["predict", away, pictures]),
        (0, ["evaluate", "contrast", scenes]), (1, ["evaluate", "contrast", pictures]),
        (0, ["score", str(root / "maps.npz"), f"{scenes}/boxes_test.csv"]), (1, ["score", away, away]),
        (0, ["train", "cam", pictures, *TRAIN.split(), "--out", str(root / "json train")]), (1, ["train", "cam", away]),
        (1, ["calibrate", scenes, "--boxes", away]), (2, ["review", away, pictures]), (0, ["methods"]),
    ]  # fmt: skip
    found = {}
    for code, line in lines:
        if only in f"json {line[0]}":
            ended = boxless([*line, "--json"])
            found[f"json {' '.join(line)}".replace(f"{root}/", "")] = wrong(ended, (code,)) + wrong_json(ended)
    return found


def many_classes(root: Path, classes: int) -> dict[str, Any]:
    """Two photographs of each of very many classes, through five commands; the seconds of each."""
    from kills import counted
    from soak import make_pictures

    make_pictures(root / "drawn", 2 * classes, 0)
    rows = ["image,class,width,height,x0,y0,x1,y1\n"]
    for number, path in enumerate(sorted(root.glob("drawn/*/*.png"))):
        name = f"kind {number // 2:05}/{number}.png"
        (root / "many" / name).parent.mkdir(parents=True, exist_ok=True)
        path.rename(root / "many" / name)
        rows.append(f"{name},kind {number // 2:05},32,32,0,0,{8 + number % 24},16\n")
    (root / "many" / "boxes.csv").write_text("".join(rows))
    many, found, run, predicted = (str(root / name) for name in ("many", "many found", "many run", "many predicted"))
    steps = {
        "check": ["check", many],
        "find": ["find", many, "--method", "contrast", "--format", "yolo", "--report", "--out", found],
        "train": ["train", "cam", many, *TRAIN.split(), "--out", run],
        "predict": ["predict", run, many, "--out", predicted],
        "evaluate": ["evaluate", "contrast", many, "--json"],
    }
    seconds, faults = {}, {}
    for name, command in steps.items():
        began = time.monotonic()
        faults[name] = wrong(boxless(["--quiet", *command]), (0,))
        seconds[name] = round(time.monotonic() - began, 1)
    for name in (found, predicted):
        if Path(name).is_dir() and (images := counted(Path(name))) != 2 * classes:
            faults[name] = [f"{images} images of {2 * classes}"]
    return {"classes": classes, "seconds": seconds, "wrong": {name: what for name, what in faults.items() if what}}


def measure(only: str, classes: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="boxless-surroundings-") as folder:
        root = Path(folder)
        prepare(root)
        ways = around(root, only) | documents(root, only) | (full(root, only) if os.geteuid() == 0 else {})
        many = many_classes(root, classes) if classes else None
    bad = {name: what for name, what in ways.items() if what}
    return {"ways": sorted(ways), "wrong": bad} | ({"many classes": many} if many else {})


def with_others(content: dict[str, Any], out: Path | None) -> dict[str, Any]:
    """The ways beside those that an earlier run with --only wrote into `out`."""
    earlier = json.loads(out.read_text()) if out and out.exists() else {"ways": [], "wrong": {}}
    kept = {name: what for name, what in earlier["wrong"].items() if name not in content["ways"]}
    both = {"ways": sorted({*earlier["ways"], *content["ways"]}), "wrong": kept | content["wrong"]}
    return earlier | content | both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--only", default="", help="commands whose names hold these words; others in `out` stay")
    parser.add_argument("--classes", type=int, default=2000, help="0: leave the many classes out")
    given = parser.parse_args()
    content = with_others(measure(given.only, given.classes), given.out) | provenance()
    if given.out:
        given.out.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content, indent=1))
    sys.exit(bool(content["wrong"]) or bool(content.get("many classes", {}).get("wrong")))


if __name__ == "__main__":
    main()
