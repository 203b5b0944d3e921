import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from boxless.boxes.from_heatmap import Detections
from boxless.report.html import (
    Accuracy,
    Bars,
    Card,
    Charts,
    Choice,
    Curve,
    Gauge,
    ScoreTable,
    TableRow,
    make_card,
    write_report,
)
from boxless.runtime.errors import BoxlessError

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}<!--"


class Page(HTMLParser):
    """The page as a browser takes it apart: elements, text, and what stands in script elements."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.scripts, self.words, self.stack = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.stack.append(tag)
        if tag == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_endtag(self, tag):
        self.stack.append(f"/{tag}")

    def handle_data(self, data):
        last = next((tag for tag in reversed(self.stack)), "")
        if last == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
        elif last != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def cards(self):
        found = [text.strip().split("\n") for attributes, text in self.scripts if attributes.get("class") == "image"]
        return [(json.loads(known), picture, heat) for known, picture, heat in found]


def found(name="a.jpg", boxes=((10, 20, 60, 70),), label="bird"):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(name, (120, 80), boxes, np.full(len(boxes), 0.5, np.float32), label)


PICTURE = np.full((80, 120, 3), 200, np.uint8)
HEAT = np.arange(12, dtype=np.float32).reshape(3, 4)


def table(name="method"):
    rows = [
        TableRow(name, [Accuracy(70, 64.5, 75.5), None], note="threshold 0.2, transferred"),
        TableRow("whole image", [Accuracy(40, 30, 50), Accuracy(10)], control=True),
        TableRow("centred box", [Accuracy(61.25), None], control=True),
    ]
    return ScoreTable("GT-known", ["IoU 0.5", "IoU 0.7"], rows)


def charts():
    thresholds = np.linspace(0, 1, 11).tolist()
    lines = {"IoU 0.3": [90 - 50 * t for t in thresholds], "IoU 0.5": [50 * t for t in thresholds]}
    return Charts(
        Curve(thresholds, lines, 0.3), [1, 2, 3, 4], {"hit": 7, "too small": 2, "missed": 1}, [chosen("bees")]
    )


def chosen(text):
    """A choice by two signs, one of them beyond its limit and off its scale."""
    gauges = [Gauge(text, 0.25, 0.4, 0, 1, against=True), Gauge("margin", 7, 0.2, -1, 1, against=False)]
    return Choice(text, text, text, gauges)


def test_the_page_holds_what_it_was_given(tmp_path):
    path = tmp_path / "new" / "report.html"
    cards = (make_card(found(f"{n}.jpg"), PICTURE, HEAT, iou=n / 10) for n in range(10))
    write_report(path, title="A title", summary=["One.", "Two."], tables=[table()], charts=charts(), cards=cards)
    page = Page(path)
    for words in (
        "A title",
        "One.",
        "Two.",
        "70.0",
        "64.5–75.5",
        "not measured",
        "threshold 0.2, transferred",
        "whole image",
    ):
        assert words in page.text
    for words in ("0.30 in use", "IoU 0.3", "too small", "2 · 20 %", "4 images with IoU 0.75–1.00"):
        assert words in page.text
    assert "bees: bees, next bees" in page.text and "bees 0.25, limit 0.40" in page.text
    dots = [attributes for tag, attributes in page.elements if tag == "circle"]
    assert [dot["class"] for dot in dots] == ["sign against", "sign"]
    assert [float(dot["cx"]) for dot in dots] == [150 + 180 * 0.25, 150 + 180]  # off the scale: at its end
    known, picture, heat = page.cards[7]
    assert known["name"] == "7.jpg" and known["iou"] == 0.7 and known["outcome"] == "hit" and known["score"] == 0.5
    assert known["found"] == [[10, 20, 60, 70]] and known["truth"] == [] and known["size"] == [120, 80]
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (120, 80)
    assert Image.open(io.BytesIO(base64.b64decode(heat))).size == (96, 64)


def test_bars_are_drawn_to_their_scale_and_a_card_shows_the_lowest_score_of_several_boxes(tmp_path):
    counting = Bars("counting", "found minus true", [("-1", 1, "1 image"), ("0", 4, "4 images")], 4)
    several = Detections("a.jpg", (120, 80), np.float32([[0, 0, 9, 9], [20, 20, 40, 40]]), np.float32([0.9, 0.2]))
    path = tmp_path / "report.html"
    write_report(path, title="", summary=[], charts=Charts(bars=[counting]), cards=[make_card(several, PICTURE)])
    page = Page(path)
    bars = [attributes for tag, attributes in page.elements if tag == "rect" and attributes.get("class") == "bar"]
    assert [float(bar["height"]) for bar in bars] == [45.5, 182]
    assert "found minus true" in page.text and "4 images" in page.text
    assert page.cards[0][0]["score"] == 0.2


def test_without_measurement_and_cards_there_are_none_of_their_parts(tmp_path):
    write_report(tmp_path / "r.html", title="t", summary=[])
    page = Page(tmp_path / "r.html")
    assert not {tag for tag, _ in page.elements} & {"table", "svg", "figure"} and not page.cards


def test_markup_in_any_text_does_nothing(tmp_path):
    clean, nasty = tmp_path / "clean.html", tmp_path / "nasty.html"
    for path, text in ((clean, "plain"), (nasty, NASTY)):
        card = make_card(Detections(text, (120, 80), label=text, note=text), PICTURE, HEAT, outcome=text)
        write_report(
            path,
            title=text,
            summary=[text],
            tables=[ScoreTable(text, [text], [TableRow(text, [Accuracy(1)], note=text)], note=text)],
            charts=Charts(Curve([0.0, 1.0], {text: [1.0, 2.0]}), [1], {text: 1}, [chosen(text)]),
            cards=[card],
        )
    one, other = Page(clean), Page(nasty)
    strip = [(tag, attributes) for tag, attributes in one.elements]
    assert [tag for tag, _ in strip] == [tag for tag, _ in other.elements]
    assert not any(name.startswith("on") for _, attributes in other.elements for name in attributes)
    assert other.cards[0][0]["name"] == other.cards[0][0]["label"] == NASTY
    assert NASTY in other.text


@settings(deadline=None, max_examples=30)
@given(st.text(st.characters(), max_size=60))
def test_any_name_comes_back_from_the_page(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("report") / "r.html"
    write_report(path, title=name, summary=[name], cards=[make_card(found(name, label=name), PICTURE)])
    ((known, _, heat),) = Page(path).cards
    assert known["name"] == known["label"] == name and heat == "-"


def test_the_page_asks_nobody_for_anything_and_runs_only_its_own_script(tmp_path):
    write_report(tmp_path / "r.html", title="t", summary=[], tables=[table()], charts=charts(), cards=[])
    page = Page(tmp_path / "r.html")
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "img-src data:" in policy and "http" not in policy
    ((_, script),) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert not any({"src", "href", "action"} & attributes.keys() for _, attributes in page.elements)
    text = (tmp_path / "r.html").read_text()
    assert "innerHTML" not in text and not re.search(r"@import|url\(|fetch\(|XMLHttp", text)


def test_cards_are_streamed_and_no_more_than_the_limit_made(tmp_path):
    made = []

    def cards():
        for number in range(1000):
            made.append(number)
            yield Card({"name": str(number)}, b"x", None)

    write_report(tmp_path / "r.html", title="t", summary=[], cards=cards(), images=1000, limit=20)
    page = Page(tmp_path / "r.html")
    assert len(page.cards) == 20 and len(made) == 20
    assert dict(page.elements)["section"]["data-images"] == "1000"


@pytest.mark.parametrize(
    ("boxes", "iou", "outcome"),
    [
        ((), None, "nothing found"),
        ((), 0.0, "nothing found"),
        ([(1, 2, 3, 4)], None, "found"),
        ([(1, 2, 3, 4)], 0.5, "hit"),
        ([(1, 2, 3, 4)], 0.49, "miss"),
    ],
)
def test_outcomes(boxes, iou, outcome):
    assert make_card(found(boxes=boxes), PICTURE, iou=iou).known["outcome"] == outcome


def test_numbers_that_json_does_not_know_are_left_out():
    card = make_card(
        Detections("a", (9, 9), np.ones((1, 4), np.float32), np.array([np.nan], np.float32)), PICTURE, iou=np.nan
    )
    assert card.known["score"] is None and card.known["iou"] is None


def test_the_tick_is_the_best_control_of_each_column():
    assert table().best_controls == [61.25, 10]
    assert ScoreTable("t", ["a"], [TableRow("m", [Accuracy(3)])]).best_controls == [None]


def test_a_failure_midway_keeps_the_old_report(tmp_path):
    path = tmp_path / "r.html"
    path.write_text("old")

    def cards():
        yield make_card(found(), PICTURE)
        raise BoxlessError("stop")

    with pytest.raises(BoxlessError, match="stop"):
        write_report(path, title="t", summary=[], cards=cards())
    assert path.read_text() == "old" and [entry.name for entry in tmp_path.iterdir()] == ["r.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(BoxlessError, match="Could not write the report"):
        write_report(tmp_path / "file" / "r.html", title="t", summary=[])
