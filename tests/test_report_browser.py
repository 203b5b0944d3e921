"""report.html as a browser runs it: opened from disk, sorted, filtered, stepped through by keyboard, and attacked."""

import numpy as np
import pytest

from boxless.boxes.from_heatmap import Detections
from boxless.report.html import Accuracy, Charts, Curve, ScoreTable, TableRow, make_card, write_report

EVIL = "<img src=x onerror=alert(1)>"
NAMES = "[...document.querySelectorAll('.card .file')].map((name) => name.textContent)"
PICTURE = np.full((60, 90, 3), 180, np.uint8)
HEAT = np.arange(24, dtype=np.float32).reshape(4, 6)


def card(index, *, label, iou, score):
    boxes = np.array([[10, 10, 50, 40]], np.float32)
    found = Detections(f"{label}/{index}.jpg", (90, 60), boxes, np.array([score], np.float32), label)
    return make_card(found, PICTURE, HEAT, truth=boxes + 5, iou=iou)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    rng = np.random.default_rng(0)
    cards = [
        card(index, label=("bird", EVIL)[index % 2], iou=float(iou), score=float(1 - iou / 2))
        for index, iou in enumerate(rng.permutation(np.linspace(0, 1, 150)))
    ]
    write_report(
        path,
        title=EVIL,
        summary=[EVIL],
        tables=[
            ScoreTable(
                EVIL,
                ["IoU 0.5"],
                [TableRow(EVIL, [Accuracy(70, 60, 80)]), TableRow("whole", [Accuracy(40)], control=True)],
            )
        ],
        charts=Charts(Curve([0.0, 1.0], {EVIL: [90.0, 10.0]}, 0.3), [1, 2, 3], {EVIL: 3}),
        cards=cards,
    )
    return path


@pytest.fixture
def opened(tab, report):
    tab.window(1200, 800)
    tab.call("Network.enable")
    tab.open(report.as_uri())
    tab.until("document.querySelector('.card image')")
    yield tab
    tab.call("Network.disable")
    assert not tab.complaints  # no exception, no alert, nothing that its policy had to forbid
    assert not [address for address in tab.requests if not address.startswith(("file:", "data:"))]


def choose(tab, select, text):
    """Choose an option as a person does -> how many cards there are at once, before the page draws any more."""
    return tab.js(f"""(() => {{
        const list = document.getElementById({select!r});
        list.value = [...list.options].find((option) => option.text.startsWith({text!r})).value;
        list.dispatchEvent(new Event("change"));
        return document.querySelectorAll(".card").length;
    }})()""")


def scroll_to_the_end(tab):
    tab.until("(scrollTo(0, document.body.scrollHeight), document.querySelectorAll('.card').length === shown.length)")


def test_names_that_are_markup_are_text(opened):
    assert opened.js("document.title") == opened.js("document.querySelector('h1').textContent") == EVIL
    assert EVIL in opened.js("document.getElementById('label').options[1].text")
    assert opened.js("document.querySelectorAll('img, .card img, [onerror]').length") == 0
    choose(opened, "label", EVIL)
    opened.js("document.querySelector('.card').click()")
    assert opened.js("document.querySelector('#viewer dd').textContent") == EVIL
    assert opened.js("document.querySelector('#viewer .title p').textContent").startswith("<img src=x onerror=")


def test_cards_are_sorted_and_those_far_away_hold_no_pictures(opened):
    choose(opened, "sort", "lowest IoU")
    scroll_to_the_end(opened)
    ious = opened.js("[...document.querySelectorAll('.card')].map((card) => card.image.iou)")
    assert len(ious) == 150 and ious == sorted(ious)
    opened.until("document.querySelectorAll('.card')[149].querySelector('image')")
    opened.until("!document.querySelectorAll('.card')[0].querySelector('image')")
    assert choose(opened, "sort", "highest score") == 60  # a new order begins with one batch, whatever was drawn
    scores = opened.js("[...document.querySelectorAll('.card')].map((card) => card.image.score)")
    assert scores == sorted(scores, reverse=True)


def test_cards_are_filtered_by_class_outcome_and_name(opened):
    choose(opened, "label", "bird")
    choose(opened, "outcome", "hit")
    kept = opened.js("shown.map((image) => [image.label, image.outcome])")
    assert kept and all(pair == ["bird", "hit"] for pair in kept)
    assert opened.js("document.getElementById('count').textContent") == f"{len(kept)} of 150 images"
    choose(opened, "label", "all")
    choose(opened, "outcome", "all")
    opened.click("#search")
    for key in "d/14":
        opened.press(key)
    assert sorted(opened.js(NAMES)) == ["14.jpg", "140.jpg", "142.jpg", "144.jpg", "146.jpg", "148.jpg"]


def test_the_keyboard_walks_and_steps(opened):
    choose(opened, "sort", "name")
    opened.js("document.activeElement.blur()")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        opened.press(key)
    here = opened.js("[...document.getElementById('cards').children].indexOf(document.activeElement)")
    assert here == 1 + opened.js(
        "getComputedStyle(document.getElementById('cards')).gridTemplateColumns.split(' ').length"
    )
    opened.press("Enter")
    title = "document.querySelector('#viewer h2').textContent"
    assert opened.js("document.getElementById('viewer').open")
    assert opened.js(title) == opened.js(f"shown[{here}].name.split('/').pop()")
    opened.press("ArrowRight")
    assert opened.js(title) == opened.js(f"shown[{here + 1}].name.split('/').pop()")
    opened.press("End")
    opened.press("ArrowRight")  # nothing is after the last one
    assert opened.js("document.querySelector('#viewer nav span').textContent") == "150 of 150"
    assert opened.js("document.querySelectorAll('#viewer image').length") == 4  # picture, heat map, both
    assert opened.js("document.querySelectorAll('#viewer rect.found, #viewer rect.truth').length") == 4
    opened.press("Escape")
    opened.until("!document.getElementById('viewer').open && document.activeElement.image === shown[149]")


@pytest.mark.parametrize(("width", "phone", "dark"), [(390, True, True), (390, True, False), (1200, False, True)])
def test_nothing_is_wider_than_the_window_and_text_stands_out(opened, width, phone, dark):
    opened.window(width, 844, phone=phone, dark=dark)
    assert opened.js("document.documentElement.scrollWidth") <= width
    ink, paper = (
        sum(map(float, opened.js(f"getComputedStyle(document.documentElement).{part}.match(/\\d+/g).slice(0, 3)")))
        for part in ("color", "backgroundColor")
    )
    assert (ink > paper + 300) if dark else (paper > ink + 300)
    opened.js("document.querySelector('.card').click()")
    assert opened.js("document.getElementById('viewer').scrollWidth") <= width
