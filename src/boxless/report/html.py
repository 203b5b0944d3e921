"""report.html: one self-contained page about a result, to look at and to judge by.

Summary in words, scores beside their controls, curves, and a gallery in which every picture can be looked at. The page
opens from disk and is forbidden the network by its own content security policy; the cards are streamed into it. The
gallery keeps a small picture and a small heat map per image; the browser lays the boxes and the overlay over them.
"""

import base64
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from markupsafe import Markup
from PIL import Image

from boxless.boxes.from_heatmap import Detections, Normalisation
from boxless.data.dataset import Boxes
from boxless.data.images import shrink
from boxless.report.drawing import colours
from boxless.report.pages import render
from boxless.runtime.files import write_text_atomic

THUMBNAIL = 288
"""The longer side of a picture in the gallery, in pixels."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A score and its 95 % interval, in percent."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class TableRow:
    """A method, or a control that no method made, with a score for every column of its table (None = not measured)."""

    name: str
    scores: Sequence[Accuracy | None]
    control: bool = False
    note: str = ""
    """The threshold and its origin, or what the control is."""


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Scores in percent: methods and their controls by IoU."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[TableRow]
    note: str = ""

    @property
    def best_controls(self) -> list[float | None]:
        """The highest score of any control, column by column: what a method has to beat."""
        controls = [row.scores for row in self.rows if row.control]
        columns = [[score.value for score in column if score] for column in zip(*controls, strict=True)]
        return [max(column, default=None) for column in columns] or [None] * len(self.columns)


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy in percent at each threshold, one line per IoU, and the threshold in use."""

    thresholds: Sequence[float]
    lines: Mapping[str, Sequence[float]]
    chosen: float | None = None


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number beside its limit, on a scale from `low` to `high`; `against`: it lies on the wrong side."""

    name: str
    value: float
    limit: float
    low: float
    high: float
    against: bool

    def place(self, value: float) -> float:
        """Where a value lies on the scale, 0 to 1."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for a category, what would have been next, and the numbers that decided."""

    category: str
    chosen: str
    runner_up: str
    gauges: Sequence[Gauge]


@dataclass(frozen=True, slots=True)
class Bars:
    """Values by group, each with what the reader sees when pointing at it; `most` is the end of the scale."""

    caption: str
    label: str
    groups: Sequence[tuple[str, float, str]]
    most: float


@dataclass(frozen=True, slots=True)
class Charts:
    """The pictures of a measurement; each is left out when empty."""

    curve: Curve | None = None
    iou_counts: Sequence[int] = ()
    """Images per equal bin of IoU from 0 to 1."""
    error_types: Mapping[str, int] = field(default_factory=dict)
    """Images per kind of outcome: hit, too small, too large, ..."""
    choices: Sequence[Choice] = ()
    """Of a method, for each category."""
    bars: Sequence[Bars] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """One image of the gallery, ready to be written: what is known of it, and its pictures as WebP."""

    known: Mapping[str, object]
    picture: bytes
    heat: bytes | None


def make_card(
    found: Detections,
    picture: UInt8[np.ndarray, "height width 3"],
    heat: Float[np.ndarray, "h w"] | None = None,
    *,
    truth: Boxes | None = None,
    iou: float | None = None,
    outcome: str = "",
    normalisation: Normalisation = "minmax",
    longest: int = THUMBNAIL,
) -> Card:
    """The card of an upright RGB picture and its raw heat map, the thumbnail's longer side `longest` pixels.

    `outcome` is a word to filter by; without one it is hit or miss at IoU 0.5, found, or nothing found.
    """
    known = {
        "name": found.name,
        "size": found.size,
        "label": found.label,
        "note": found.note,
        "found": _tenths(found.boxes),
        "truth": [] if truth is None else _tenths(truth),
        "score": _rounded(found.scores.min()) if len(found.scores) else None,
        "iou": _rounded(iou),
        "outcome": outcome or _outcome(found, iou),
    }
    warm = None if heat is None else _webp(colours(heat, _fit(found.size, longest // 3), normalisation))
    return Card(known, _webp(shrink(picture, longest)), warm)


def write_report(
    path: Path,
    *,
    title: str,
    summary: Sequence[str],
    tables: Sequence[ScoreTable] = (),
    charts: Charts | None = None,
    cards: Iterable[Card] = (),
    images: int | None = None,
    limit: int = 5000,
) -> None:
    """Write the page to `path`, whole or not at all, with the first `limit` of the cards, one in memory at a time.

    `summary` is a list of paragraphs; `images` is how many images there are in all, where the cards are fewer, and the
    page says so. Raises BoxlessError when the file cannot be written.
    """
    content = {
        "title": title,
        "summary": summary,
        "tables": tables,
        "charts": charts or Charts(),
        "cards": map(_lines, islice(cards, limit)),
        "images": images,
        "version": version("boxless"),
    }
    styles, scripts = ("report/gallery.css", "report/report.css"), ("report/gallery.js", "report/report.js")
    pieces = render("report/report.html.jinja", styles=styles, scripts=scripts, content=content)
    write_text_atomic(path, pieces, "the report", errors="replace")


def _lines(card: Card) -> Markup:
    """Three lines of ASCII: JSON in which no `<` is left to end its script element, and the two pictures in base64."""
    known = json.dumps(card.known, allow_nan=False).replace("<", "\\u003c")
    heat = base64.b64encode(card.heat).decode() if card.heat else "-"
    return Markup(f"{known}\n{base64.b64encode(card.picture).decode()}\n{heat}")


def _webp(picture: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """As WebP, three fifths of the size of a JPEG that looks the same; method 2 takes 2 ms for a thumbnail."""
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "WEBP", quality=70, method=2)
    return encoded.getvalue()


def _fit(size: tuple[int, int], longest: int) -> tuple[int, int]:
    return max(1, round(size[0] * longest / max(size))), max(1, round(size[1] * longest / max(size)))


def _outcome(found: Detections, iou: float | None) -> str:
    if not len(found.boxes):
        return "nothing found"
    if iou is None:
        return "found"
    return "hit" if iou >= 0.5 else "miss"


def _tenths(boxes: Boxes) -> list[list[float]]:
    rounded: list[list[float]] = np.round(boxes.astype(float), 1).tolist()
    return rounded


def _rounded(value: float | np.floating | None) -> float | None:
    """To four digits; JSON has no NaN."""
    return round(float(value), 4) if value is not None and math.isfinite(value) else None
