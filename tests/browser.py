"""A real browser for tests: the chromium of the machine without a window, driven over its own DevTools protocol.

aiohttp, which serves the review, also speaks the protocol's WebSocket, so that no driver has to be installed.
"""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-headless-shell", "google-chrome"))), None)
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "ArrowUp": 38, "ArrowDown": 40, "Escape": 27, "Enter": 13, "Delete": 46}
KEYS |= {"Home": 36, "End": 35}


class Browser:
    """One tab. Calls return when the browser has answered; what a page throws or logs gathers in `complaints`."""

    def __init__(self, port: int) -> None:
        self.port, self.loop = port, asyncio.new_event_loop()
        self.ids, self.complaints, self.requests = count(1), [], []
        self._run(self._connect(port))
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    async def _connect(self, port: int) -> None:
        self.session = aiohttp.ClientSession()
        async with self.session.put(f"http://127.0.0.1:{port}/json/new") as answer:
            address = (await answer.json(content_type=None))["webSocketDebuggerUrl"]
        self.socket = await self.session.ws_connect(address, max_msg_size=0)

    def _run(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its result."""
        return self._run(self._call(method, parameters))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self.ids)
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self.socket.receive()).data)
            self._note(message)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def _note(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(message["params"]["exceptionDetails"]["exception"]["description"])
            case "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])
            case "Page.javascriptDialogOpening":
                self.complaints.append(f"dialog: {message['params']['message']}")
            case "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])

    def open(self, address: str) -> None:
        """Load a page; returns when its scripts have run."""
        self.complaints.clear()
        self.requests.clear()
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page, promises awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, condition: str, seconds: float = 20) -> None:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + seconds
        while not self.js(f"!!({condition})"):
            assert time.monotonic() < end, f"never came true: {condition}; {self.complaints}"
            time.sleep(0.02)

    def press(self, key: str, *, control: bool = False) -> None:
        """Press and release a key."""
        code = KEYS.get(key, ord(key[0].upper()))
        text = {} if key in KEYS.keys() - {"Enter"} or control else {"text": "\r" if key == "Enter" else key}
        held = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if control else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", **held, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **held)

    def drag(self, *places: tuple[float, float]) -> None:
        """Press the left button at the first place, move through the others, release at the last one."""
        self._mouse("mouseMoved", places[0], 0)
        self._mouse("mousePressed", places[0], 1)
        for place in places[1:]:
            self._mouse("mouseMoved", place, 1)
        self._mouse("mouseReleased", places[-1], 0)

    def click(self, selector: str) -> None:
        """Click the middle of an element, scrolled to where it shows."""
        self.js(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'nearest'}})")
        x, y, width, height = self.box(selector)
        self.drag((x + width / 2, y + height / 2))

    def _mouse(self, kind: str, place: tuple[float, float], buttons: int) -> None:
        x, y = place
        button = "none" if kind == "mouseMoved" and not buttons else "left"
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=buttons, clickCount=1)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """x, y, width, height of an element in the window."""
        place = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        found = self.js(f"(({{x, y, width, height}}) => [x, y, width, height])({place})")
        x, y, width, height = found
        return x, y, width, height

    def window(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Set the size of the window in CSS pixels, the colour scheme, and whether it is a phone's."""
        scale = 2 if phone else 1
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def shot(self, path: Path) -> None:
        """What the window shows, as a png."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    @contextmanager
    def another(self) -> Iterator["Browser"]:
        """A second tab of the same browser, which ends with the block."""
        second = Browser(self.port)
        try:
            yield second
            second.call("Page.close")
        finally:
            second.close()

    def close(self) -> None:
        """Leave the tab's socket."""
        self._run(self.socket.close())
        self._run(self.session.close())
        self.loop.close()


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a new profile that ends with the block."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(prefix="boxless-browser-", ignore_cleanup_errors=True) as profile:
        flags = ["--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}", "--disable-gpu"]
        flags += ["--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars"]
        flags += ["--no-sandbox"] if os.geteuid() == 0 else []  # chromium refuses its sandbox to root
        program = subprocess.Popen([CHROMIUM, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            tab = Browser(_port(Path(profile) / "DevToolsActivePort"))
            yield tab
            tab.close()
        finally:
            program.terminate()
            program.wait(timeout=10)


def _port(file: Path, seconds: float = 30) -> int:
    end = time.monotonic() + seconds
    while not file.is_file() or not file.read_text():
        assert time.monotonic() < end, "chromium did not start"
        time.sleep(0.05)
    return int(file.read_text().split()[0])
