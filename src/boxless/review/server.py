"""The review in a browser of this machine: pages, pictures and decisions over HTTP, for nobody else.

It listens on 127.0.0.1 alone. The address has a random token, without which everything is 404, so that neither other
users nor other pages of the browser can see or change anything; a request that was sent to another host name (DNS
rebinding) is refused, and so is a POST from another origin or without JSON.
"""

import asyncio
import hmac
import secrets
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, get_args

from aiohttp import web

from boxless.data.annotations import checked_box, numbers
from boxless.report.pages import render
from boxless.review.again import FindAgain, SecondSearch
from boxless.review.decisions import PERSON, SAME, Place
from boxless.review.opening import Export, Opened
from boxless.review.pictures import THUMBNAIL, VIEW
from boxless.runtime.errors import BoxlessError, BrokenImageError, UsageError

HOSTS = {"127.0.0.1", "localhost"}
BOXES_LIMIT = 1000
"""Boxes of one image."""

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(opened: Opened, port: int, announce: Callable[[str], None], find: FindAgain | None = None) -> None:
    """Serve until Ctrl-C; `announce` gets the address once, `find` finds again by what was decided.

    Raises UsageError when the port is taken.
    """
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
            listening.listen()
        except (OSError, OverflowError) as error:
            raise UsageError(f"Port {port} of 127.0.0.1 cannot be used ({error}). Choose another --port.") from error
        token = secrets.token_urlsafe(24)
        announce(f"http://127.0.0.1:{listening.getsockname()[1]}/{token}/")
        with ThreadPoolExecutor(2) as workers:
            app = make_app(opened, token, workers, find)
            web.run_app(app, sock=listening, print=None, access_log=None, shutdown_timeout=1)


def make_app(opened: Opened, token: str, workers: ThreadPoolExecutor, find: FindAgain | None = None) -> web.Application:
    """The application, whose every address begins with /token/."""
    again = SecondSearch(opened.review, find)
    pages = _Pages(opened, workers, again)
    app = web.Application(middlewares=[_guard(token)], client_max_size=1 << 20)
    app.add_routes(
        [
            web.get("/{token}/", pages.page),
            web.get("/{token}/images", pages.images),
            web.get(r"/{token}/{kind:thumbnail|view}/{index:\d{1,9}}", pages.picture),
            web.get(r"/{token}/size/{index:\d{1,9}}", pages.size),
            web.post("/{token}/decide", pages.decide),
            web.post("/{token}/undo", pages.undo),
            web.post("/{token}/export", pages.export),
            web.get("/{token}/again", pages.again_state),
            web.post("/{token}/again", pages.find_again),
        ]
    )

    async def end(_: web.Application) -> None:
        await again.end()

    app.on_shutdown.append(end)
    return app


def _guard(token: str) -> Any:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host.rpartition(":")[0] not in HOSTS and request.host not in HOSTS:
            return web.Response(status=403, text="This review is for this machine alone.", headers=HEADERS)
        if not hmac.compare_digest(request.match_info.get("token", "").encode(), token.encode()):
            return web.Response(status=404, headers=HEADERS)
        foreign = request.headers.get("Origin", f"http://{request.host}") != f"http://{request.host}"
        if foreign or (request.method == "POST" and request.content_type != "application/json"):
            return web.Response(status=403, text="Only the page of this review may decide.", headers=HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=error.reason)
        except BrokenImageError as error:
            response = web.json_response({"error": str(error)}, status=404)
        except BoxlessError as error:
            response = web.json_response({"error": str(error)}, status=409)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return guard


class _Pages:
    """What is answered to which request."""

    def __init__(self, opened: Opened, workers: ThreadPoolExecutor, again: SecondSearch) -> None:
        self.opened, self.review, self.pictures, self.workers = opened, opened.review, opened.pictures, workers
        self.again = again

    async def page(self, request: web.Request) -> web.Response:
        content = {
            "photos": self.opened.photos.name or str(self.opened.photos),
            "boxes": str(self.opened.boxes),
            "out": str(self.review.out),
            "links": self.opened.links,
            "version": version("boxless"),
        }
        styles, scripts = (
            ("report/gallery.css", "review/review.css"),
            ("report/gallery.js", "review/editor.js", "review/review.js"),
        )
        text = "".join(render("review/page.html.jinja", styles=styles, scripts=scripts, content=content))
        return web.Response(text=text.encode(errors="replace").decode(), content_type="text/html")

    async def images(self, request: web.Request) -> web.Response:
        """All of them, or with ?since=N those that changed after the turn N, as another window may have decided."""
        since = request.query.get("since", "-1")
        if not since.removeprefix("-").isdecimal():
            raise web.HTTPBadRequest(reason="expected since=N")
        changed = [index for index, turn in enumerate(self.review.turns) if turn > int(since)]
        return web.json_response([self._image(index) for index in changed])

    async def picture(self, request: web.Request) -> web.Response:
        longest = {"thumbnail": THUMBNAIL, "view": VIEW}[request.match_info["kind"]]
        loop = asyncio.get_running_loop()
        content = await loop.run_in_executor(self.workers, self.pictures.jpeg, self._index(request), longest)
        # Kept by the browser for an hour: the address, with its token, is never used for another picture.
        return web.Response(body=content, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    async def size(self, request: web.Request) -> web.Response:
        return web.json_response(self.pictures.size(self._index(request)))

    async def decide(self, request: web.Request) -> web.Response:
        content = await _json(request)
        match content:
            case {"index": int(index), "accepted": bool(accepted), "boxes": list(boxes)} if (
                0 <= index < len(self.review.proposals) and len(boxes) <= BOXES_LIMIT
            ):
                one, size = self.review.proposals[index], self.pictures.size(index)
            case _:
                raise web.HTTPBadRequest(reason="expected index, accepted and boxes")
        if one.size not in (None, size):
            raise BoxlessError(
                f"{one.name} has {size[0]} x {size[1]} pixels, but its boxes were found in a picture of "
                f"{one.size[0]} x {one.size[1]}. Find the boxes again."
            )
        turn = self.review.turns[index]
        if self.review.decision(index) is not None and content.get("turn", turn) != turn:
            raise BoxlessError(f"{one.name} was decided on in another window. Look at that, and decide again.")
        proposed = [list(box.place) for box in one.boxes]
        self.review.decide(index, accepted, [_place(box, size, one.name, proposed) for box in boxes], size)
        return web.json_response(self._image(index))

    async def undo(self, request: web.Request) -> web.Response:
        turn = max(self.review.turns)
        match await _json(request):
            case {"turn": seen} if seen != turn:
                raise BoxlessError("Another window has decided meanwhile. Undo once more to take that back.")
        index = self.review.undo()
        return web.json_response(None if index is None else self._image(index))

    async def export(self, request: web.Request) -> web.Response:
        match await _json(request):
            case {"format": str(format)} if format in get_args(Export):
                out = self.opened.export(format)  # type: ignore[arg-type]  # one of them, as just seen
            case _:
                raise web.HTTPBadRequest(reason="expected a format")
        return web.json_response({"out": str(out)})

    async def again_state(self, request: web.Request) -> web.Response:
        return web.json_response(self.again.state())

    async def find_again(self, request: web.Request) -> web.Response:
        self.again.begin()
        return web.json_response(self.again.state())

    def _index(self, request: web.Request) -> int:
        index = int(request.match_info["index"])
        if index >= len(self.review.proposals):
            raise web.HTTPNotFound
        return index

    def _image(self, index: int) -> dict[str, Any]:
        one, made = self.review.proposals[index], self.review.decision(index)
        boxes = one.boxes if made is None else made.boxes
        scores = [box.score for box in one.boxes if box.score is not None]
        return {
            "index": index,
            "name": one.name.encode(errors="replace").decode(),
            "label": one.label,
            "size": made.size if made else one.size,
            "score": min(scores, default=None),
            "outcome": self.review.status(index),
            "boxes": [[*box.place, box.source == PERSON] for box in boxes],
            "turn": self.review.turns[index],
            "methods": sorted({box.source for box in boxes} - {PERSON}),
        }


async def _json(request: web.Request) -> Any:
    try:
        return await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(reason="expected JSON") from error


def _place(box: Any, size: tuple[int, int], name: str, proposed: list[list[float]]) -> Place:
    """A box of a person, which must lie in the picture; one that was proposed is cut off at its edges."""
    if not isinstance(box, list) or len(box) != 4:
        raise web.HTTPBadRequest(reason="expected boxes of x0, y0, x1, y1")
    x0, y0, x1, y1 = numbers(box, name)
    place = checked_box(x0, y0, x1, y1, size, name)
    if box not in proposed and max(abs(a - b) for a, b in zip(place, (x0, y0, x1, y1), strict=True)) > SAME:
        raise BoxlessError(
            f"{name}: the box {x0:g},{y0:g},{x1:g},{y1:g} reaches out of the picture of {size[0]} x {size[1]} pixels."
        )
    return place
