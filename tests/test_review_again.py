"""Finding again from a review: offered after ten boxes, run beside the decisions, and never at their cost."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from boxless.review.opening import opened
from boxless.review.server import make_app
from boxless.runtime.errors import BoxlessError

IMAGES = 14
HEADER = "image,class,width,height,x0,y0,x1,y1,score\n"


def rows(x0):
    return HEADER + "".join(f"bee/{i:02d}.png,bee,60,40,{x0},6,25,26,0.5\n" for i in range(IMAGES))


@pytest.fixture
def paths(tmp_path):
    """Fourteen photos, each with the found box 5 6 25 26."""
    found, photos = tmp_path / "found", tmp_path / "photos"
    (photos / "bee").mkdir(parents=True)
    found.mkdir()
    for i in range(IMAGES):
        Image.fromarray(np.full((40, 60, 3), 10 * i, np.uint8)).save(photos / f"bee/{i:02d}.png")
    (found / "boxes.csv").write_text(rows(5))
    return found, photos, tmp_path / "reviewed"


class Finder:
    """A second search that moves every box to x0 = 9, when it is allowed to end."""

    def __init__(self, error=None):
        self.error, self.begun, self.go, self.given = error, threading.Event(), threading.Event(), ""

    def __call__(self, given, out, counting):
        self.given = Path(given).read_text()
        with counting("looking") as progress:
            progress(3, 12)
            self.begun.set()
            while not self.go.wait(0.01):
                progress(3, 12)
        if self.error:
            raise self.error
        out.mkdir()
        (out / "boxes.csv").write_text(rows(9))
        return ["contrast is chosen."]


@asynccontextmanager
async def serving(paths, finder):
    with opened(*paths) as one, ThreadPoolExecutor(2) as workers:
        async with TestClient(TestServer(make_app(one, "t", workers, finder))) as client:

            async def ask(path, content=None):
                method = "GET" if content is None else "POST"
                async with client.request(method, f"/t/{path}", json=content) as answer:
                    return json.loads(await answer.read())

            yield ask


async def decide(ask, *indices, x0=5):
    for index in indices:
        await ask("decide", {"index": index, "accepted": True, "boxes": [[x0, 6, 25, 26]]})


async def over(ask):
    while (state := await ask("again"))["running"]:
        await asyncio.sleep(0.01)
    return state


async def begun(ask, finder):
    state = await ask("again", {})
    assert await asyncio.to_thread(finder.begun.wait, 10)
    return state


def lefts(images):
    return [image["boxes"][0][0] for image in images]


def test_what_nobody_has_looked_at_is_found_again_and_stays_so(paths):
    async def work():
        finder = Finder()
        async with serving(paths, finder) as ask:
            await decide(ask, *range(9))
            assert "Decide on 10 first" in (await ask("again", {}))["error"]
            await decide(ask, 9, x0=7)
            assert (await begun(ask, finder))["running"]
            state = await ask("again")
            assert (state["stage"], state["done"], state["total"]) == ("looking", 3, 12)
            assert "already" in (await ask("again", {}))["error"]
            await decide(ask, 10)  # while it searches
            await decide(ask, 11)
            await ask("undo", {})
            finder.go.set()
            state = await over(ask)
            assert state["words"] == ["contrast is chosen."] and state["enough"] == 20 and not state["failure"]
            images = await ask("images")
            assert lefts(images) == [5] * 9 + [7, 5] + [9] * 3
            assert [image["outcome"] for image in images] == ["accepted"] * 9 + ["corrected", "accepted"] + [
                "to review"
            ] * 3
            await decide(ask, 11, x0=9)
            undone = await ask("undo", {})
            again = await ask("undo", {})
            assert (lefts([undone, again]), again["index"]) == ([9, 9], 10)
        assert finder.given.count("\n") == 11 and "bee/10.png" not in finder.given
        async with serving(paths, None) as ask:  # the same after a restart
            assert lefts(await ask("images")) == [5] * 9 + [7] + [9] * 4
            assert (await ask("again"))["enough"] == 0

    asyncio.run(work())


@pytest.mark.parametrize(
    ("error", "words"),
    [(BoxlessError("Too dark."), "Too dark."), (ValueError("odd"), "failed (ValueError: odd). Your decisions are all")],
)
def test_a_failure_gives_a_sentence_and_costs_nothing(paths, error, words):
    async def work():
        finder = Finder(error)
        async with serving(paths, finder) as ask:
            await decide(ask, *range(10))
            await begun(ask, finder)
            await decide(ask, 10)
            finder.go.set()
            assert words in (await over(ask))["failure"]
            images = await ask("images")
            assert lefts(images) == [5] * IMAGES and images[10]["outcome"] == "accepted"

    asyncio.run(work())


def test_a_review_that_ends_does_not_wait_for_the_search(paths):
    async def work():
        finder = Finder()
        async with serving(paths, finder) as ask:
            await decide(ask, *range(10))
            await begun(ask, finder)  # and it is never allowed to end by itself

    asyncio.run(asyncio.wait_for(work(), 20))
    assert (paths[2] / "review.jsonl").read_text().count("\n") == 10


@contextmanager
def in_a_thread(paths, finder):
    """The address of a review that runs in a thread."""
    from test_review_browser import serving as serving_in_a_thread

    with serving_in_a_thread(*paths, finder) as (address, _):
        yield address


def test_the_bar_comes_after_the_tenth_box_and_brings_new_boxes(tab, paths):
    finder = Finder()
    with in_a_thread(paths, finder) as address:
        tab.window(1200, 800)
        tab.open(address)
        tab.until("images.length && document.querySelector('.card image')")
        tab.click("#begin")
        tab.until("document.getElementById('editor').open && editor.boxes.length === 1")
        bar = "document.getElementById('again')"
        for _ in range(9):
            tab.press("a")
            tab.until("unsaved === 0")
        assert tab.js(f"{bar}.hidden")
        tab.press("a")
        tab.until(f"unsaved === 0 && !{bar}.hidden && !{bar}.lastChild.hidden")
        assert tab.js(f"{bar}.lastChild.textContent") == "Use these 10 boxes to do the rest better"
        x, y, width, height = tab.box("#again")
        assert x >= 0 and y >= 0 and x + width <= 1200 and y + height <= 800 and tab.js(f"!!{bar}.closest('dialog')")
        tab.click("#again button")
        tab.until(f"{bar}.firstChild.textContent.includes('looking: 3 of 12')")
        tab.press("a")  # decisions go on
        tab.until("unsaved === 0")
        finder.go.set()
        tab.until(f"{bar}.firstChild.textContent === 'contrast is chosen.' && editor.boxes[0][0] === 9")
        assert tab.js("images.map((image) => image.boxes[0][0])") == [5] * 11 + [9] * 3
        assert not tab.complaints
