"""What boxless makes of a corpus of malformed images, annotations, zips and maps, one process a case, under limits.

    python benchmarks/reliability/malformed.py [out.json] [--seed 0] [--workers 2] [--only WORDS]

A case is handled when it is read, skipped by name, or refused in a sentence that names the file at fault; it is not
when the reader raises anything else, ends by a signal, takes more than 5 s or more than 2 GB. Seconds are those of the
processor, so that other work on the machine cannot make a hang of a slow moment.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cases import Bytes, Case
from malformed_annotations import malformed_annotations
from malformed_archives import malformed_archives
from malformed_images import malformed_images

from boxless.data.annotation_files import read_truth
from boxless.data.folder import read_data
from boxless.data.images import read_picture, read_resized
from boxless.evaluation.map_files import MapFiles
from boxless.runtime.errors import BoxlessError, BrokenImageError

SECONDS = 5
MEMORY = 2 * 10**9
SEAT_BELT = 12 * 10**9
"""Bytes of address space after which a case ends in any case, lest it takes the machine with it."""


def corpus(seed: int) -> Iterator[Case]:
    yield from malformed_images(seed)
    yield from malformed_annotations(seed)
    yield from malformed_archives(seed)


def handle(case: Case) -> dict[str, Any]:
    """The outcome of one case in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="boxless-malformed-"))
    try:
        for name, content in case.files.items():
            write(folder / "data" / name, content)
        return judged(case, *limited(case, folder))
    finally:
        shutil.rmtree(folder)


def write(path: Path, content: Bytes) -> None:
    """Write one file; a bomb is made by a process of its own, whose memory the reader would else seem to have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    child = os.fork()
    if not child:
        path.write_bytes(content())
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{path.name} could not be made")


def limited(case: Case, folder: Path) -> tuple[dict[str, Any], resource.struct_rusage]:
    """What the reader said, and what it used."""
    answer = folder / "answer.json"
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (SEAT_BELT, SEAT_BELT))
        resource.setrlimit(resource.RLIMIT_CPU, (4 * SECONDS, 4 * SECONDS))
        signal.alarm(60 * SECONDS)
        os.dup2(os.open(folder / "stderr", os.O_CREAT | os.O_WRONLY), 2)
        try:
            answer.write_text(json.dumps(read(case, folder / "data" / case.data)))
        finally:
            os._exit(0)
    _, status, used = os.wait4(child, 0)
    if not answer.is_file():
        return {
            "crash": f"ended by {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else "?"
        }, used
    return json.loads(answer.read_text()), used


def read(case: Case, path: Path) -> dict[str, Any]:
    """What boxless reads of the data: annotations, and each image in both of the ways it is read (a bomb in one)."""
    broken = {}
    try:
        if case.reader == "truth":
            read_truth(path)
        elif case.reader == "maps":
            list(MapFiles(path, ["1.jpg"]))
        else:
            data = read_data(path, "all")
            for sample in data.samples:
                try:
                    content = data.source.read(sample.name)
                    if case.reader == "whole" or not case.heavy:
                        read_picture(content, sample.name)
                    if case.reader == "data":
                        read_resized(content, sample.name, 288)
                except BrokenImageError as error:
                    broken[sample.name] = str(error)
    except BoxlessError as error:
        return {"refused": str(error)}
    except BaseException as error:
        return {"crash": f"{type(error).__name__}: {error}"[:300]}
    return {"skipped": broken} if broken else {"read": True}


def judged(case: Case, said: dict[str, Any], used: resource.struct_rusage) -> dict[str, Any]:
    seconds, memory = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
    outcome, message = next(iter(said.items()))
    words = " ".join(message.values()) if isinstance(message, dict) else str(message)
    wrong = [words] if outcome == "crash" else []
    wrong += (
        [f"does not name {case.culprit}: {words}"]
        if outcome in ("refused", "skipped") and case.culprit not in words
        else []
    )
    wrong += ["was read"] if outcome == "read" and case.refuse else []
    wrong += [f"a message of {len(words)} letters"] if len(words) > 600 else []
    wrong += [f"{seconds:.1f} s"] if seconds > SECONDS else []
    wrong += [f"{memory / 1e9:.1f} GB"] if memory > MEMORY else []
    return {"name": case.name, "outcome": outcome, "words": words, "seconds": seconds, "memory": memory, "wrong": wrong}


def summary(handled: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """The figures that are committed."""
    slowest = max(handled, key=lambda one: one["seconds"])
    largest = max(handled, key=lambda one: one["memory"])
    kinds = Counter(one["name"].partition(",")[0].partition(":")[0].split(" ")[0] for one in handled)
    return {
        "seed": seed,
        "cases": len(handled),
        "kinds": dict(kinds),
        "outcomes": dict(Counter(one["outcome"] for one in handled)),
        "limits": {"seconds": SECONDS, "memory": MEMORY},
        "not handled": {one["name"]: one["wrong"] for one in handled if one["wrong"]},
        "slowest": {"name": slowest["name"], "processor seconds": round(slowest["seconds"], 2)},
        "largest": {"name": largest["name"], "bytes": largest["memory"]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default="", help="cases whose names hold these words")
    parser.add_argument("--light", action="store_true", help="without bombs that take seconds to make")
    parser.add_argument("--every", type=int, default=1, help="every so manieth case")
    parser.add_argument("--verbose", action="store_true", help="what became of each")
    given = parser.parse_args()
    chosen = [case for case in corpus(given.seed) if given.only in case.name and not (given.light and case.heavy)]
    CASES.extend(chosen[:: given.every])
    handled = []
    with multiprocessing.get_context("fork").Pool(given.workers) as pool:
        for one in pool.imap(_handle, range(len(CASES))):
            handled.append(one)
            if one["wrong"]:
                print(one["name"], *one["wrong"], sep=" | ", file=sys.stderr)
            if given.verbose:
                print(f"{one['name']}: {one['outcome']}: {one['words']}", file=sys.stderr)
    content = summary(handled, given.seed)
    if given.out:
        from boxless.runtime.provenance import (
            provenance,  # not before: it loads torch, whose memory every case would have
        )

        given.out.write_text(json.dumps(provenance() | content, indent=1) + "\n")
    print(json.dumps(content, indent=1))
    sys.exit(bool(content["not handled"]))


CASES: list[Case] = []
"""The corpus, which the forked workers of the pool share; a case is asked for by its number."""


def _handle(number: int) -> dict[str, Any]:
    return handle(CASES[number])


if __name__ == "__main__":
    main()
