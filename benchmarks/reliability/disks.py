"""Every command that writes, on a disk that is full and on one that is read-only: a sentence, and old files as before.

    sudo python benchmarks/reliability/disks.py [out.json] [--only WORDS]

The disk is a small tmpfs, which only root may mount. A command must end with code 1 or 2 and one sentence that names
the place or what is wrong with it, leave nothing to be taken for a result, and change no file of an earlier run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from children import begin, end
from kills import GAN, NETWORK, check_search
from soak import make_pictures

from boxless.runtime.provenance import provenance

RESULTS = ("result.json", "results.json", "report.html")
"""What makes a folder look like a result."""


class Writing(NamedTuple):
    """A command that writes into a place on the disk, and how it is told to write there again."""

    name: str
    command: list[str]
    again: list[str]
    to: str = "--out"
    file: str = ""
    """The file that is named, where a file is."""


def commands(root: Path) -> list[Writing]:
    pictures, run, scenes = str(root / "pictures"), str(root / "network"), str(root / "scenes")
    find = ["find", pictures, "--method", "contrast", "--report"]
    over = ["--overwrite"]
    small = ["--scenes", "10", "--gan-iterations", "2", "--epochs", "1"]
    table = ["reproduce", "gan-table-3", "--data", scenes, "--groups", "beetle", "--gans", "sn-dcgan"]
    table += ["--iterations", "2", "--width", "0.0625", "--size", "16", "--batch-size", "4"]
    return [
        *(Writing(f"find {kind}", [*find, "--format", kind], over) for kind in ("coco", "voc", "yolo", "csv")),
        Writing("predict", ["predict", run, pictures, "--report"], over),
        Writing("train cam", ["train", "cam", pictures, *NETWORK.split()], ["--resume"]),
        Writing("train sn-dcgan", ["train", "sn-dcgan", pictures, *GAN.split()], ["--resume"]),
        Writing("evaluate", ["evaluate", "contrast", scenes], []),
        Writing("evaluate maps", ["evaluate", "contrast", scenes], [], "--maps", "maps.npz"),
        Writing("score", ["score", str(root / "maps.npz"), f"{scenes}/boxes_test.csv"], [], "--out", "s.json"),
        Writing("demo", ["demo", *small], []),
        Writing("reproduce gan-table-3", table, []),
    ]


@contextmanager
def disk(at: Path, size: str) -> Iterator[Path]:
    """A tmpfs of `size`, mounted while this is open."""
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "boxless", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def fill(at: Path, left: int) -> None:
    """Leave `left` bytes of the disk."""
    (at / "filler").unlink(missing_ok=True)
    free = os.statvfs(at)
    with (at / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, free.f_bavail * free.f_frsize - left))


def contents(place: Path) -> dict[str, bytes]:
    """All files that are not hidden."""
    files = [place] if place.is_file() else sorted(place.rglob("*"))
    return {str(path): path.read_bytes() for path in files if path.is_file() and not path.name.startswith(".")}


def attempt(one: Writing, place: Path, more: list[str], log: Path) -> tuple[int, str]:
    log.unlink(missing_ok=True)
    code = end(begin([*one.command, one.to, str(place / one.file), *more], log), 120)
    return code, log.read_text()


def wrong(code: int, said: str, place: Path) -> list[str]:
    """What is wrong with how a command ended."""
    last = [line for line in said.splitlines() if line.startswith("boxless: ")]
    named = len(last) == 1 and any(words in last[0] for words in (str(place), "No space left", "Read-only"))
    return [
        *([] if code in (1, 2) else [f"exit code {code}"]),
        *([] if named else [f"no sentence that names the place: {said[-600:]}"]),
        *(["called a mistake in boxless"] if "mistake in boxless" in said or "Traceback" in said else []),
    ]


def fresh(one: Writing, at: Path, log: Path, left: int) -> list[str]:
    """On a disk with `left` bytes: what is wrong."""
    fill(at, left)
    code, said = attempt(one, at / "new", [], log)
    if code == 0 and left:  # it was enough
        return []
    found = wrong(code, said, at / "new")
    if (at / "new" / "summary.json").exists():  # whole boxes, before a report for which there was no room
        try:
            check_search(at / "new")
        except (AssertionError, ValueError) as error:
            found.append(f"left half a summary: {error}")
        return found
    return found + [f"left {path.name}" for path in (at / "new").rglob("*") if path.name in (*RESULTS, one.file)]


def over(one: Writing, at: Path, log: Path, *, readonly: bool) -> list[str]:
    """Over an earlier run, on a disk that is then full or read-only: what is wrong."""
    place = at / "old"
    code, said = attempt(one, place, [], log)
    if code:
        return [f"the run in peace ended with {code}: {said[-600:]}"]
    before = contents(place)
    if readonly:
        subprocess.run(["mount", "-o", "remount,ro", str(at)], check=True)
    else:
        fill(at, 0)
    code, said = attempt(one, place, one.again, log)
    if one.name == "demo":  # never over anything
        return [] if code == 2 and contents(place) == before else [f"exit code {code}"]
    after = contents(place)
    lost = sorted(name for name, content in before.items() if after.get(name) != content)
    return wrong(code, said, place) + [f"changed {name}" for name in lost]


def measure(only: str) -> dict[str, Any]:
    bad: dict[str, list[str]] = {}
    ways = 0
    with tempfile.TemporaryDirectory(prefix="boxless-disks-") as folder:
        root = Path(folder)
        prepare(root)
        chosen = [one for one in commands(root) if only in one.name]
        for one in chosen:
            with disk(root / "disk", "40m") as at:
                found = {f"{one.name}, {left} bytes left": fresh(one, at, root / "log", left) for left in (0, 8192)}
            with disk(root / "disk", "40m") as at:
                found[f"{one.name}, full, over an earlier run"] = over(one, at, root / "log", readonly=False)
            with disk(root / "disk", "40m") as at:
                found[f"{one.name}, read-only"] = over(one, at, root / "log", readonly=True)
            ways += len(found)
            bad |= {name: what for name, what in found.items() if what}
    return {"commands": [one.name for one in chosen], "ways": ways, "wrong": bad}


def with_others(content: dict[str, Any], out: Path | None) -> dict[str, Any]:
    """The commands beside those that an earlier run with --only wrote into `out`."""
    earlier = json.loads(out.read_text()) if out and out.exists() else {"commands": [], "ways": 0, "wrong": {}}
    again = tuple(f"{name}," for name in content["commands"])
    kept = {name: what for name, what in earlier["wrong"].items() if not name.startswith(again)}
    new = [name for name in content["commands"] if name not in earlier["commands"]]
    ways = earlier["ways"] + content["ways"] * len(new) // len(content["commands"])
    return content | {"commands": [*earlier["commands"], *new], "ways": ways, "wrong": kept | content["wrong"]}


def prepare(root: Path) -> None:
    """What the commands read: pictures, made scenes with boxes, a network, maps."""
    from boxless.data.synthetic import make_scenes

    make_pictures(root / "pictures", 20, 0)
    make_scenes(root / "scenes", 12, kinds=("beetle", "star"), size=64, test=0.5)
    log = root / "log"
    train = ["train", "cam", str(root / "pictures"), *NETWORK.split(), "--out", str(root / "network")]
    maps = ["evaluate", "contrast", str(root / "scenes"), "--maps", str(root / "maps.npz")]
    for command in (train, maps):
        if end(begin(command, log)):
            raise SystemExit(log.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--only", default="", help="commands whose names hold these words")
    given = parser.parse_args()
    content = provenance() | with_others(measure(given.only), given.out)
    if given.out:
        given.out.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content, indent=1))
    sys.exit(bool(content["wrong"]))


if __name__ == "__main__":
    main()
