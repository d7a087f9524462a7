"""Headless Chromium, driven over its DevTools protocol: for tests of pages, and for pictures of them."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib import image
from services import PATIENCE
from websockets.sync.client import ClientConnection, connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One tab; what happens in it is kept in ``events``."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(timeout=PATIENCE))
            if said.get("id") == number:
                assert "error" not in said, said
                return dict(said["result"])
            self.events.append(said)

    def open(self, page: Path, width: int, theme: str) -> None:
        """Load ``page`` and wait until it has been drawn."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self.events.clear()
        self.send("Page.navigate", url=page.as_uri())
        while not self.named("Page.loadEventFired"):
            self.events.append(json.loads(self._socket.recv(timeout=PATIENCE)))
        self.ask("new Promise(done => requestAnimationFrame(() => setTimeout(done, 200)))")

    def ask(self, expression: str) -> Any:
        """Value of a JavaScript expression in the page; the page's own policy does not bind the protocol."""
        said = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def pixel(self, x: float, y: float) -> list[int]:
        """Colour of one pixel of the page, as it is drawn."""
        clip = {"x": x, "y": y, "width": 1, "height": 1, "scale": 1}
        drawn = base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"])
        return [round(255 * float(value)) for value in image.imread(io.BytesIO(drawn))[0, 0][:3]]

    def named(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event.get("method") == method]

    def picture(self) -> bytes:
        """The whole page as PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"])


@contextlib.contextmanager
def opened(profile: Path) -> Iterator[Browser]:
    """A browser with one tab, whose settings and caches are in ``profile``."""
    quiet = [
        "--headless",
        "--no-sandbox",
        "--hide-scrollbars",
        "--disable-gpu",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
    ]
    process = subprocess.Popen([str(CHROMIUM), *quiet, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        said, deadline = profile / "DevToolsActivePort", time.monotonic() + PATIENCE
        while not (said.is_file() and said.read_text().count("\n")):
            assert process.poll() is None, "Chromium ended"
            assert time.monotonic() < deadline, "Chromium did not open its port"
            time.sleep(0.1)
        port = said.read_text().split("\n")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
            (tab,) = (tab for tab in json.load(answer) if tab["type"] == "page")
        with connect(tab["webSocketDebuggerUrl"], max_size=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        process.wait(PATIENCE)
