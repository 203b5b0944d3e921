"""The review over HTTP: what is answered, to whom, and that nothing outside of the photos ever is."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image
from reviewed import make_review

from boxless.review.opening import opened
from boxless.review.pictures import Pictures
from boxless.review.server import make_app

TOKEN = "secret-token"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def paths(tmp_path):
    found, photos = make_review(tmp_path)
    return found, photos, tmp_path / "reviewed"


@asynccontextmanager
async def serving(paths):
    with opened(*paths) as one, ThreadPoolExecutor(2) as workers:
        async with TestClient(TestServer(make_app(one, TOKEN, workers))) as client:
            yield client


def asked(paths, *requests):
    """Status, headers and body of each request (method, path, and more for aiohttp), in order on one server."""

    async def work():
        answers = []
        async with serving(paths) as client:
            for method, path, *more in requests:
                async with client.request(method, path, **(more[0] if more else {})) as answer:
                    answers.append((answer.status, answer.headers, await answer.read()))
        return answers

    return asyncio.run(work())


def raw(paths, *requests):
    """The first lines of the answers to requests as they stand, with no client that tidies them up."""

    async def work():
        answers = []
        async with serving(paths) as client:
            for request in requests:
                reader, writer = await asyncio.open_connection(client.host, client.port)
                writer.write(request.replace("HOST", f"{client.host}:{client.port}").encode("latin-1"))
                answers.append(await asyncio.wait_for(reader.read(), 5))
                writer.close()
        return answers

    return asyncio.run(work())


def decision(index, boxes, accepted=True):
    return ("POST", f"/{TOKEN}/decide", {"json": {"index": index, "accepted": accepted, "boxes": boxes}})


def test_pages_pictures_and_sizes(paths):
    page, images, small, view, size = asked(
        paths, *(("GET", f"/{TOKEN}/{part}") for part in ("", "images", "thumbnail/3", "view/0", "size/5"))
    )
    assert page[0] == 200 and b"<title>photos" in page[2] and "script-src 'sha256-" in page[2].decode()
    listed = json.loads(images[2])
    assert [image["name"] for image in listed][::5] == ["bee/0.png", "fly/5.png"]
    assert listed[0]["boxes"] == [[5, 6, 25, 26, False]] and listed[0]["methods"] == ["ddt"]
    assert small[1]["Content-Type"] == view[1]["Content-Type"] == "image/jpeg"
    assert Image.open(io.BytesIO(small[2])).size == (60, 40) and json.loads(size[2]) == [60, 40]
    for status, headers, _ in (page, images, small, size):
        assert status == 200 and headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer" and headers["X-Frame-Options"] == "DENY"
        assert "Access-Control-Allow-Origin" not in headers


def test_decisions_undo_and_exports(paths):
    corrected, kept, undone, exported, nothing = asked(
        paths,
        decision(0, [[5, 6, 30, 26]]),
        decision(3, [[20, 5, 50, 35]]),
        ("POST", f"/{TOKEN}/undo", {"json": {}}),
        ("POST", f"/{TOKEN}/export", {"json": {"format": "voc"}}),
        ("POST", f"/{TOKEN}/undo", {"json": {}}),
    )
    assert json.loads(corrected[2])["outcome"] == "corrected" and json.loads(corrected[2])["methods"] == []
    assert json.loads(kept[2])["outcome"] == "accepted" and json.loads(undone[2])["outcome"] == "to review"
    assert exported[0] == 200 and (paths[2] / "voc" / "Annotations" / "bee" / "0.xml").is_file()
    assert json.loads(nothing[2])["name"] == "bee/0.png"
    assert (paths[2] / "boxes.csv").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"index": 6, "accepted": True, "boxes": []}, 400),
        ({"index": -1, "accepted": True, "boxes": []}, 400),
        ({"index": "0", "accepted": True, "boxes": []}, 400),
        ({"index": 0, "accepted": 1, "boxes": []}, 400),
        ({"index": 0, "accepted": True, "boxes": [[1, 2, 3]]}, 400),
        ({"index": 0, "accepted": True, "boxes": [[0, 0, 9, 9]] * 1001}, 400),
        ({"index": 0, "accepted": True, "boxes": [[1, 2, "a", 4]]}, 409),
        ({"index": 0, "accepted": True, "boxes": [[1, 2, float("nan"), 4]]}, 409),
        ({"index": 0, "accepted": True, "boxes": [[70, 2, 80, 4]]}, 409),
        ({"index": 0, "accepted": True, "boxes": [[5, 5, 5, 9]]}, 409),
        ({"index": 0, "accepted": True, "boxes": [[9, 5, 5, 9]]}, 409),
        ({"index": 0, "accepted": True, "boxes": [[-4, 5, 5, 9]]}, 409),
        ({"index": 0, "accepted": True, "boxes": [[4, 5, 61, 9]]}, 409),
        ({"index": 0, "accepted": True, "boxes": [[1, 2, 1e12, 4]]}, 409),
        ({"index": 0, "accepted": True, "boxes": [[1, 2, True, 4]]}, 409),
        ([], 400),
    ],
)
def test_decisions_that_are_none_change_nothing(paths, content, status):
    ((found, _, body),) = asked(paths, ("POST", f"/{TOKEN}/decide", {"data": json.dumps(content), "headers": JSON}))
    assert found == status and body
    assert (paths[2] / "review.jsonl").read_bytes() == b""


def test_what_two_windows_decide_is_seen_by_both_and_not_lost(paths):
    def turn(answer):
        return max(image["turn"] for image in json.loads(answer[2]))

    def sent(index, turn, boxes=()):
        content = {"index": index, "accepted": True, "boxes": list(boxes), "turn": turn}
        return ("POST", f"/{TOKEN}/decide", {"json": content})

    listed, mine, theirs, same, seen, again, early, undone, left = asked(
        paths,
        ("GET", f"/{TOKEN}/images"),
        sent(0, 0, [[5, 6, 30, 26]]),
        sent(1, 0),
        sent(0, 0),  # the other window has not seen what the first one decided
        ("GET", f"/{TOKEN}/images?since=0"),
        sent(0, 1),
        ("POST", f"/{TOKEN}/undo", {"json": {"turn": 2}}),
        ("POST", f"/{TOKEN}/undo", {"json": {"turn": 3}}),
        ("GET", f"/{TOKEN}/images?since=3"),
    )
    assert turn(listed) == 0 and mine[0] == theirs[0] == again[0] == undone[0] == 200
    assert same[0] == 409 and b"bee/0.png was decided on in another window" in same[2]
    assert [image["name"] for image in json.loads(seen[2])] == ["bee/0.png", "bee/1.png"] and turn(seen) == 2
    assert early[0] == 409 and b"Another window has decided meanwhile" in early[2]
    assert [image["boxes"] for image in json.loads(left[2])] == [[[5, 6, 30, 26, True]]]
    text = (paths[2] / "boxes.csv").read_text()
    assert "bee/0.png,bee,60,40,5,6,30,26" in text and "bee/1.png,bee,60,40,,,,,,reviewed" in text


def test_a_photograph_that_is_replaced_meanwhile_waits_again(paths):
    def replace(color):
        Image.new("RGB", (60, 40), color).save(paths[1] / "bee/0.png")

    async def work():
        async with serving(paths) as client:
            answers = []
            for color in (None, "red"):
                if color:
                    replace(color)
                async with client.post(f"/{TOKEN}/decide", json={"index": 0, "accepted": True, "boxes": []}) as answer:
                    answers.append((answer.status, await answer.text()))
            return answers

    asked(paths, decision(1, []), decision(0, []), decision(2, []))
    (first, _), (second, text) = asyncio.run(work())
    assert first == 200 and second == 409 and "bee/0.png was replaced while the review was open" in text
    for replaced in ([0], []):
        with opened(*paths) as one:
            assert one.review.replaced == replaced and one.review.decision(0) is None
            assert one.review.decision(1) is not None and "bee/0.png" not in (paths[2] / "boxes.csv").read_text()
    with opened(*paths) as one:
        assert one.review.undo() == 2 and one.review.undo() == 1 and one.review.undo() is None
    with opened(*paths) as one:
        assert one.review.counts() == {"to review": 6}


def test_a_proposed_box_that_reaches_out_is_cut_off(paths):
    name = paths[0] / "boxes.csv"
    name.write_text("image,class,x0,y0,x1,y1\nbee/0.png,bee,-3,2,99,20\n")
    ((status, _, body),) = asked(paths, decision(0, [[-3, 2, 99, 20]]))
    assert status == 200 and json.loads(body)["boxes"] == [[0, 2, 60, 20, True]]


def test_a_picture_of_another_size_is_not_decided_on(paths):
    Image.new("RGB", (30, 20)).save(paths[1] / "bee/0.png")
    ((status, _, body),) = asked(paths, decision(0, []))
    assert status == 409 and b"30 x 20 pixels, but its boxes were found in a picture of 60 x 40" in body


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/", {}, 404),
        ("/images", {}, 404),
        ("/wrong/images", {}, 404),
        (f"/{TOKEN[:-1]}/images", {}, 404),
        (f"/{TOKEN}/images", {"headers": {"Host": "evil.example"}}, 403),
        (f"/{TOKEN}/images", {"headers": {"Host": "evil.example:80"}}, 403),
        (f"/{TOKEN}/images", {"headers": {"Host": "127.0.0.1.evil.example"}}, 403),
        (f"/{TOKEN}/images", {"headers": {"Host": "localhost"}}, 200),
        (f"/{TOKEN}/images", {"headers": {"Origin": "http://evil.example"}}, 403),
        (f"/{TOKEN}/images?since=x", {}, 400),
        (f"/{TOKEN}/thumbnail/6", {}, 404),
        (f"/{TOKEN}/thumbnail/-1", {}, 404),
        (f"/{TOKEN}/thumbnail/1e3", {}, 404),
        (f"/{TOKEN}/nothing", {}, 404),
    ],
)
def test_only_this_page_is_answered(paths, path, more, status):
    ((found, headers, body),) = asked(paths, ("GET", path, more))
    assert found == status and headers["X-Content-Type-Options"] == "nosniff"
    assert status == 200 or b"bee" not in body


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/decide", JSON, 404),
        ("/wrong/decide", JSON, 404),
        (f"/{TOKEN}/decide", JSON | {"Origin": "http://evil.example"}, 403),
        (f"/{TOKEN}/decide", JSON | {"Origin": "null"}, 403),
        (f"/{TOKEN}/decide", {"Content-Type": "text/plain"}, 403),
        (f"/{TOKEN}/decide", {"Content-Type": "application/x-www-form-urlencoded"}, 403),
        (f"/{TOKEN}/decide", JSON, 200),
    ],
)
def test_deciding_needs_the_token_and_comes_from_the_page_alone(paths, path, headers, status):
    data = json.dumps({"index": 0, "accepted": True, "boxes": []})
    ((found, _, _),) = asked(paths, ("POST", path, {"data": data, "headers": headers}))
    assert found == status
    assert ((paths[2] / "review.jsonl").read_bytes() == b"") == (status != 200)


@pytest.mark.parametrize(
    "path",
    [
        "/{t}/../../../../etc/passwd", "/{t}/thumbnail/../../secret.txt", "/{t}/view/..%2f..%2fsecret.txt",
        "/{t}/view/%2e%2e/%2e%2e/secret.txt", "/{t}/view/..\\secret.txt", "/{t}//etc/passwd", "//etc/passwd",
        "/{t}/view//etc/passwd", "/{t}/view/%2fetc%2fpasswd", "/{t}/view/0%00.png", "/{t}/view/0\0",
        "/{t}/view/bee/0.png", "/{t}/view/%c0%ae%c0%ae/secret.txt", "/{t}/view/٣", "file:///etc/passwd", "http://127.0.0.1/etc/passwd",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_photos(paths, path):
    (paths[1].parent / "secret.txt").write_text("top secret root:")
    text = path.replace("{t}", TOKEN).encode().decode("latin-1")
    (answer,) = raw(paths, f"GET {text} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] in (b"400", b"403", b"404") and b"secret root" not in answer and b"root:" not in answer


def test_links_that_lead_out_of_the_photos_are_left_out_and_never_read(paths):
    found, photos, out = paths
    outside = photos.parent / "outside"
    outside.mkdir()
    Image.new("RGB", (60, 40), "red").save(outside / "private.png")
    (photos / "bee/link.png").symlink_to(outside / "private.png")
    (photos / "folder").symlink_to(outside)
    (photos / "bee/fine.png").symlink_to(photos / "bee/0.png")  # leads to where it may
    with opened(found, photos, out) as one:
        names = [proposal.name for proposal in one.review.proposals]
        assert "bee/fine.png" in names and not {"bee/link.png", "folder/private.png"} & set(names) and one.links == 2
    (photos / "bee/link.png").unlink()
    (photos / "folder").unlink()
    answers = asked(paths, ("GET", f"/{TOKEN}/view/0"))
    assert answers[0][0] == 200

    async def work():
        async with serving(paths) as client:  # put there while the review is under way
            (photos / "bee/0.png").unlink()
            (photos / "bee/0.png").symlink_to(outside / "private.png")
            async with client.get(f"/{TOKEN}/view/0") as picture, client.get(f"/{TOKEN}/size/0") as size:
                return picture.status, size.status, await picture.text()

    picture, size, text = asyncio.run(work())
    assert picture == size == 404 and "leads out of" in text


def test_pictures_are_kept_within_their_memory(paths):
    with opened(*paths) as one:
        large = len(one.pictures.jpeg(0, 60))
        few = Pictures(one.pictures.source, one.pictures.names, memory=3 * large)
        for index in (0, 1, 2, 3, 4, 5, 0, 5):
            assert few.jpeg(index, 60).startswith(b"\xff\xd8")
        assert 0 < few._bytes <= 3 * large and few._bytes == sum(map(len, few._kept.values())) and (5, 60) in few._kept


def test_a_file_that_is_no_picture_is_named(paths):
    (paths[1] / "bee/0.png").write_bytes(b"<script>alert(1)</script>")
    ((status, headers, body),) = asked(paths, ("GET", f"/{TOKEN}/view/0"))
    assert status == 404 and headers["Content-Type"].startswith("application/json")
    assert b"bee/0.png is not an image" in body and b"<script>" not in body


def review(paths):
    found, photos, out = map(str, paths)
    return ["-m", "boxless", "review", found, photos, "--out", out]


def started(paths):
    command = [sys.executable, "-X", "importtime", *review(paths)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = []
    while not (lines and "http://" in lines[-1]):
        lines.append(program.stderr.readline())
        assert lines[-1], "".join(lines[-9:])
    return program, lines


def test_the_command_begins_without_torch_saves_and_ends_on_interrupt(paths):
    program, lines = started(paths)
    modules = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time")}
    assert "aiohttp" in modules and not modules & {"torch", "numba", "torchvision"}
    address = lines[-1].strip()
    assert address.startswith("http://127.0.0.1:") and len(address.split("/")[3]) >= 32
    data = json.dumps({"index": 0, "accepted": True, "boxes": [[1, 2, 30, 20]]}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{address}decide", data, JSON), timeout=10) as answer:
        assert json.loads(answer.read())["outcome"] == "corrected"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(address.rpartition("/")[0][:-1] + "/images", timeout=10)
    command = [sys.executable, *review(paths)]
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert again.returncode == 2 and "Another boxless writes into" in again.stderr
    began = time.monotonic()
    os.kill(program.pid, signal.SIGINT)
    out, _ = program.communicate(timeout=10)
    assert program.returncode == 0 and time.monotonic() - began < 5
    assert "1 corrected, 5 to review" in out
    assert "bee/0.png,bee,60,40,1,2,30,20,,reviewed" in (paths[2] / "boxes.csv").read_text()
