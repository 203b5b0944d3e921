"""The review as a person does it: boxes dragged with a real mouse in a real browser, and read back from boxes.csv."""

import asyncio
import csv
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from reviewed import make_review

from boxless.review.opening import opened
from boxless.review.server import make_app

EVIL = "<img src=x onerror=alert(1)>"
SAVED = "unsaved === 0"


@contextmanager
def serving(found, photos, out, find=None):
    """The address of a review that runs in a thread, and a function that ends it."""
    loop, port = asyncio.new_event_loop(), unused_port()
    with opened(found, photos, out) as one, ThreadPoolExecutor(2) as workers:
        runner = web.AppRunner(make_app(one, "token", workers, find), shutdown_timeout=0.1)
        loop.run_until_complete(runner.setup())
        loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", port).start())
        thread = threading.Thread(target=loop.run_forever)
        thread.start()

        def end():
            if thread.is_alive():
                asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
                loop.call_soon_threadsafe(loop.stop)
                thread.join()

        try:
            yield f"http://127.0.0.1:{port}/token/", end
        finally:
            end()
            loop.close()


@pytest.fixture
def paths(tmp_path):
    found, photos = make_review(tmp_path)
    return found, photos, tmp_path / "reviewed"


@pytest.fixture
def page(tab, paths):
    with serving(*paths) as (address, end):
        tab.window(1200, 800)
        tab.open(address)
        tab.until("images.length && document.querySelector('.card image')")
        tab.end = end
        yield tab


def saved(page, paths):
    page.until(SAVED)
    with (paths[2] / "boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    sides = [[float(row[side]) if row[side] else None for side in ("x0", "y0", "x1", "y1")] for row in rows]
    return [(row["image"], *box, row["source"]) for row, box in zip(rows, sides, strict=True)]


def at(page, x, y):
    """Where a pixel of the picture is in the window."""
    place = f"new DOMPoint({x}, {y}).matrixTransform(editor.svg.getScreenCTM())"
    return tuple(page.js(f"(({{x, y}}) => [x, y])({place})"))


def open_first(page):
    page.click("#begin")
    page.until("document.getElementById('editor').open && editor.boxes.length === 1")


def test_a_dragged_corner_side_and_middle_are_in_boxes_csv(page, paths):
    open_first(page)  # 5 6 25 26
    page.drag(at(page, 25, 26), at(page, 28, 28), at(page, 35, 30))
    assert saved(page, paths) == [("bee/0.png", 5, 6, 35, 30, "reviewed")]
    page.drag(at(page, 5, 15), at(page, 2, 15))
    assert saved(page, paths) == [("bee/0.png", 2, 6, 35, 30, "reviewed")]
    page.drag(at(page, 18, 18), at(page, 25, 20), at(page, 21, 99))  # no further than the edge of the picture
    assert saved(page, paths) == [("bee/0.png", 5, 16, 38, 40, "reviewed")]
    page.drag(at(page, 5, 30), at(page, 50, 30))  # over to the other side
    assert saved(page, paths) == [("bee/0.png", 38, 16, 50, 40, "reviewed")]
    for _ in range(4):
        page.press("z")
    assert saved(page, paths) == [] and page.js("editor.boxes") == [[5, 6, 25, 26, False]]
    assert not page.complaints


def test_boxes_are_drawn_removed_and_accepted_by_keyboard(page, paths):
    open_first(page)
    page.press("a")
    page.until("shown[at].name === 'bee/1.png' && editor.boxes[0][2] === 30.5")
    page.drag(at(page, 40, 5), at(page, 50, 10), at(page, 58, 35))
    assert saved(page, paths)[1:] == [
        ("bee/1.png", 10, 10, 30.5, 30, "ddt"),
        ("bee/1.png", 40, 5, 58, 35, "reviewed"),
    ]
    page.press("Delete")
    page.press("ArrowRight")
    page.press("r")
    page.until("shown[at].name === 'fly/3.png' && editor.boxes.length === 1")
    page.press("Delete")
    page.press("a")
    page.until("shown[at].name === 'fly/4.png'")
    assert saved(page, paths) == [
        ("bee/0.png", 5, 6, 25, 26, "ddt"),
        ("bee/1.png", 10, 10, 30.5, 30, "ddt"),
        ("fly/3.png", None, None, None, None, "reviewed"),
    ]
    assert page.js("images.map((image) => image.outcome)") == [
        "accepted", "accepted", "rejected", "no object", "to review", "to review"
    ]  # fmt: skip
    page.press("a")
    page.press("a")  # the last one; nothing was found there
    page.until("!document.getElementById('editor').open")
    page.until(SAVED)
    assert page.js("document.getElementById('done').textContent") == "6 of 6 reviewed"
    assert page.js("document.getElementById('begin').disabled")


def test_the_wheel_zooms_about_the_pointer_and_clicks_beside_boxes_draw_nothing(page, paths):
    open_first(page)
    place = at(page, 15, 16)
    page.call("Input.dispatchMouseEvent", type="mouseWheel", x=place[0], y=place[1], deltaX=0, deltaY=-400)
    page.until("editor.window[2] < 40")
    assert at(page, 15, 16) == pytest.approx(place, abs=1)
    page.drag(at(page, 15, 16), at(page, 17, 15))
    assert saved(page, paths) == [("bee/0.png", 7, 5, 27, 25, "reviewed")]
    page.drag(at(page, 29, 27))
    assert saved(page, paths) == [("bee/0.png", 7, 5, 27, 25, "reviewed")]


def test_what_is_not_saved_is_said(page, paths):
    open_first(page)
    page.end()
    page.drag(at(page, 15, 16), at(page, 17, 15))
    page.until("!document.getElementById('trouble').hidden")
    assert "boxless review has ended" in page.js("document.getElementById('trouble').textContent")
    assert page.js("document.getElementById('trouble').getBoundingClientRect().height") > 20


def test_two_windows_lose_no_decision_and_see_each_other_s(page, paths):
    with page.another() as other:
        other.window(1200, 800)
        other.open(page.js("location.href"))
        other.until("images.length && document.querySelector('.card image')")
        for window in (other, page):  # both look at the first one before either has decided
            window.call("Page.bringToFront")  # a browser does not draw for what lies behind, and takes no mouse there
            open_first(window)
        page.drag(at(page, 25, 26), at(page, 28, 28), at(page, 35, 30))
        mine = ("bee/0.png", 5, 6, 35, 30, "reviewed")
        assert saved(page, paths) == [mine]

        other.call("Page.bringToFront")
        other.press("r")
        other.until("document.getElementById('trouble').textContent.includes('decided on in another window')")
        other.until(f"{SAVED} && images[0].outcome === 'corrected'")
        assert saved(page, paths) == [mine]
        other.until("shown[at].name === 'bee/1.png'")
        other.press("a")
        theirs = ("bee/1.png", 10, 10, 30.5, 30, "ddt")
        assert saved(other, paths) == [mine, theirs]

        page.call("Page.bringToFront")
        page.until("images[1].outcome === 'accepted'")  # seen without reloading
        page.press("z")
        page.until(f"{SAVED} && images[1].outcome === 'to review'")  # undo takes back the last one, of whichever window
        assert saved(page, paths) == [mine]
        other.press("z")  # which does not know of that yet
        other.until("document.getElementById('trouble').textContent.includes('decided meanwhile')")
        assert saved(other, paths) == [mine]
        assert not page.complaints


def test_exports_and_filters(page, paths):
    open_first(page)
    page.press("a")
    page.press("Escape")
    page.until(f"{SAVED} && !document.getElementById('editor').open")
    page.click("#export")
    page.until("document.getElementById('exported').textContent.startsWith('Written to')")
    assert (paths[2] / "coco" / "boxes.json").is_file()
    page.js("(() => { const list = document.getElementById('outcome'); list.value = '\"accepted\"';"
            "list.dispatchEvent(new Event('change')); })()")  # fmt: skip
    assert page.js("shown.map((image) => image.name)") == ["bee/0.png"]


def test_names_that_are_markup_are_text_and_a_phone_shows_everything(tab, tmp_path):
    evil = f"{EVIL}\"'&"
    found, photos = make_review(tmp_path, first=f"{evil}/{evil}.png")
    with serving(found, photos, tmp_path / "reviewed") as (address, _):
        tab.window(390, 800, phone=True, dark=True)
        tab.open(address)
        tab.until("images.length && document.querySelector('.card image')")
        assert tab.js("document.documentElement.scrollWidth") <= 390
        tab.js(f"view(images.findIndex((image) => image.name.includes({evil!r} + '.png')))")
        tab.until("editor.boxes.length === 1")
        assert tab.js("document.querySelector('#editor h2').textContent") == f"{evil}.png"
        assert tab.js("document.querySelector('#editor .title p').textContent").startswith(evil)
        assert tab.js("document.querySelectorAll('img, [onerror]').length") == 0 and not tab.complaints
        assert tab.js("document.getElementById('editor').scrollWidth") <= 390
        x, y, width, height = tab.box("#editor footer")
        assert x >= 0 and x + width <= 390 and y + height <= 800
