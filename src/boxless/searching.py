"""A finder over a folder -> boxes on disk, a summary of what happened, and a report to look at, in one stream."""

import json
import pickle
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from boxless import __version__
from boxless.boxes import Found, Heat
from boxless.data.images import read_shrunk
from boxless.data.sample import Dataset
from boxless.data.streaming import Watch, ahead
from boxless.errors import BoxlessError
from boxless.export import Format, write_boxes
from boxless.predicting import Finder, Mapped, found_in
from boxless.report import THUMBNAIL, Card, make_card, write_report
from boxless.writing import write_whole

REPORT_LIMIT = 5000
"""Images shown in a report; the rest are in the boxes."""


@dataclass(slots=True)
class Summary:
    """What a search did: counts, what was found nowhere, what could not be read, and how the boxes were drawn."""

    method: str
    images: int
    threshold: dict[str, Any]
    boxes: int = 0
    nothing: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        return {
            "boxless": __version__,
            "method": self.method,
            "images": self.images,
            "boxes": self.boxes,
            "nothing_found": self.nothing,
            "broken": self.broken,
            "threshold": self.threshold,
            "seconds": round(self.seconds, 2),
        }

    def words(self) -> list[str]:
        """The same, for people: a sentence each."""
        done = self.images - len(self.broken)
        rate = f" ({done / self.seconds:.0f} a second)" if self.seconds else ""
        hit = done - len(self.nothing)
        told = [f"{self.boxes} boxes in {hit} of {self.images} images, {self.seconds:.1f} s{rate}."]
        if self.nothing:
            told.append(f"Nothing found in {len(self.nothing)}: {_some(self.nothing)}.")
        if self.broken:
            told.append(f"Not readable, skipped: {len(self.broken)}: {_some(list(self.broken))}.")
        told.append(f"Method {self.method}; threshold {self.threshold['threshold']:g}, {self.threshold['origin']}.")
        return told


def search(
    finder: Finder,
    dataset: Dataset,
    out: Path,
    watch: Watch,
    *,
    format: Format,
    report: bool = False,
    multiple: bool = False,
    overwrite: bool = False,
) -> Summary:
    """Write boxes for every readable image into `out`, with summary.json and, if asked for, report.html.

    Raises BoxlessError when there is no image or none could be read, and what `write_boxes` raises.
    """
    if not dataset.samples:
        raise BoxlessError(f"No image in {dataset.source.root}. Expected jpg, png, webp, bmp, gif or tif files.")
    summary = Summary(finder.name, len(dataset), finder.readout.to_dict(), broken=watch.broken)
    classes = _classes(finder, dataset)
    started = time.monotonic()
    with tempfile.TemporaryFile(prefix="boxless-cards-") as cards:
        found = _found(finder, dataset, watch, summary, multiple, cards if report else None)
        pictures = dataset.source.root if dataset.source.root.is_dir() else None
        write_boxes(found, out, format, classes, pictures=pictures, overwrite=overwrite)
        summary.seconds = time.monotonic() - started
        content = json.dumps(summary.to_dict(), indent=1, ensure_ascii=False) + "\n"
        write_whole(out / "summary.json", [content], "the summary")
        if report:
            write_report(
                out / "report.html",
                title=f"{finder.name} on {dataset.source.root.name}",
                summary=summary.words(),
                cards=_read_cards(cards),
                images=len(dataset) - len(watch.broken),
                limit=REPORT_LIMIT,
            )
    return summary


def _classes(finder: Finder, dataset: Dataset) -> list[str]:
    return finder.classes or dataset.classes or ["object"]


def _found(
    finder: Finder, dataset: Dataset, watch: Watch, summary: Summary, multiple: bool, cards: IO[bytes] | None
) -> Iterator[Found]:
    classes = _classes(finder, dataset)

    def box(mapped: Mapped) -> tuple[Found, Heat]:
        return found_in(mapped, finder.readout, classes[mapped.label], multiple=multiple), mapped.heat

    done = 0
    for found, heat in ahead(box, finder.maps(dataset, watch), workers=2, window=32):
        summary.boxes += len(found.boxes)
        if not len(found.boxes):
            summary.nothing.append(found.name)
        if cards is not None and done < REPORT_LIMIT:
            picture, _ = read_shrunk(dataset.source.read(found.name), found.name, THUMBNAIL)
            pickle.dump(make_card(found, picture, heat, normalisation=finder.readout.normalisation), cards)
        done += 1
        yield found
    if not done:
        reasons = "; ".join(list(watch.broken.values())[:3])
        raise BoxlessError(f"None of the {len(dataset)} images could be read: {reasons}")


def _read_cards(file: IO[bytes]) -> Iterator[Card]:
    file.seek(0)
    while True:
        try:
            yield pickle.load(file)  # our own temporary file, written above
        except EOFError:
            return


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more (all in summary.json)"
