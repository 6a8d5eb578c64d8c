"""A headless Chromium driven over its DevTools pipe: no driver program, no package, no port."""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
# Chromium reads commands from 3 and writes to 4.
CONNECT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
# Pictures that are not there, by address: <img> not loaded or of no size on the page, and <image> within SVG,
# which document.images leaves out and which has to be loaded once more to be seen to fail.
MISSING = """
(async () => {
  const missing = [];
  for (const picture of document.images) {
    const box = picture.getBoundingClientRect();
    if (!picture.complete || !picture.naturalWidth || !box.width || !box.height)
      missing.push(picture.currentSrc || picture.getAttribute('src') || '(no source)');
  }
  for (const picture of document.querySelectorAll('svg image')) {
    const box = picture.getBoundingClientRect(), probe = new Image();
    probe.src = picture.href.baseVal;
    const loaded = await probe.decode().then(() => probe.naturalWidth > 0, () => false);
    if (!loaded || !box.width || !box.height) missing.push(picture.href.baseVal || '(no source)');
  }
  for (const chart of document.querySelectorAll('svg')) {
    const box = chart.getBoundingClientRect();
    if (!box.width || !box.height) missing.push('svg ' + (chart.getAttribute('aria-label') || ''));
  }
  return {missing: missing.map(s => s.slice(0, 80)), images: document.images.length,
          charts: document.querySelectorAll('svg').length,
          wide: document.documentElement.scrollWidth - document.documentElement.clientWidth};
})()
"""


@dataclass
class Visit:
    """What happened while a page was open.

    Attributes:
        console: errors and warnings of the console, exceptions, refusals of the page's policy.
        requests: addresses asked for, other than the page itself and data within it.
        missing: pictures that did not load or have no size.
        images, charts: pictures and SVG charts on the page.
        overflow: CSS pixels by which the page is wider than the window.
        screenshot: of the whole page, PNG.
    """

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    images: int = 0
    charts: int = 0
    overflow: int = 0
    screenshot: str = ""


class Browser:
    """A context: `with Browser(path) as browser: visit = browser.open(page)`."""

    def __init__(self, chromium: str, seconds: float = 60.0) -> None:
        self.chromium = chromium
        self.seconds = seconds
        self.count = 0
        self.buffer = b""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        self.profile = tempfile.mkdtemp(prefix="chromium-")
        to_browser, from_us = os.pipe()
        to_us, from_browser = os.pipe()
        # High numbers, or moving one to 3 could close the other.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in (to_browser, from_browser)]
        chromium = [self.chromium, *FLAGS, f"--user-data-dir={self.profile}", "about:blank"]
        command = [sys.executable, "-c", CONNECT, *map(str, ends), *chromium]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command,
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            pass_fds=ends,
            start_new_session=True,
        )
        for end in (to_browser, from_browser, *ends):
            os.close(end)
        self.output = from_us
        self.input = to_us
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError, TimeoutError, RuntimeError):
            self.call("Browser.close")
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        with suppress(ProcessLookupError):  # its helpers, if any are left
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.output)
        os.close(self.input)
        shutil.rmtree(self.profile, ignore_errors=True)

    def open(self, page: Path | str, width: int = 1200, height: int = 900, dark: bool = False) -> Visit:
        """Load a page (a file or an address), let it settle and look at it."""
        if isinstance(page, Path):
            address = page.resolve().as_uri()
        else:
            address = page
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Security"):
            self.call(f"{domain}.enable", session=session)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", size, session)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", {"features": scheme}, session)
        self.events.clear()
        self.call("Page.navigate", {"url": address}, session)
        self.wait("Page.loadEventFired")
        looked = {"expression": MISSING, "awaitPromise": True, "returnByValue": True}
        found = self.call("Runtime.evaluate", looked, session)["result"]["value"]
        shot = self.call("Page.captureScreenshot", {"captureBeyondViewport": True}, session)["data"]
        visit = Visit(screenshot=shot, missing=found["missing"], images=found["images"], charts=found["charts"])
        visit.overflow = found["wide"]
        self.call("Target.closeTarget", {"targetId": target})
        for event in self.events:
            _note(visit, event, address)
        return visit

    def call(self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come before it are kept."""
        self.count += 1
        message: dict[str, Any] = {"id": self.count, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        os.write(self.output, json.dumps(message).encode() + b"\0")
        limit = time.monotonic() + self.seconds
        while True:
            answer = self.receive(limit, method)
            if answer.get("id") == self.count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def wait(self, method: str) -> None:
        """Until an event has come."""
        limit = time.monotonic() + self.seconds
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.receive(limit, method))

    def receive(self, limit: float, what: str) -> dict[str, Any]:
        """The next message of the browser, before the clock passes `limit`."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.input, selectors.EVENT_READ)
            while b"\0" not in self.buffer:
                if not selector.select(max(limit - time.monotonic(), 0)):
                    raise TimeoutError(f"no answer from Chromium to {what} within {self.seconds} s")
                data = os.read(self.input, 1 << 20)
                if not data:
                    raise RuntimeError(f"Chromium ended before it answered {what}")
                self.buffer += data
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)


def _note(visit: Visit, event: dict[str, Any], address: str) -> None:
    """Sort one event into what the visit reports."""
    method = event.get("method")
    values = event.get("params", {})
    if method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
        visit.console.append(" ".join(str(a.get("value", a.get("description"))) for a in values["args"]))
    elif method == "Runtime.exceptionThrown":
        visit.console.append(values["exceptionDetails"]["text"])
    elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
        visit.console.append(values["entry"]["text"])
    elif method == "Network.requestWillBeSent":
        url = values["request"]["url"]
        if not url.startswith("data:") and url.split("#")[0] != address:
            visit.requests.append(url)
