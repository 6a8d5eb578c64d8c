"""The report in a real browser: no console error, no request, every picture there; and proof that each of these
would be noticed."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from helpers import pretend
from helpers.browser import Browser, Visit
from PIL import Image

from neurosim.app import write_page
from neurosim.app.report import png

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DOT = png.data_uri(np.full((2, 2, 4), 255, np.uint8))


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with Browser(chromium) as running:
        yield running


def faults(visit: Visit) -> list[str]:
    return visit.console + visit.requests + visit.missing


@pytest.mark.parametrize("shape", [pretend.CAMERA, pretend.SOUND], ids=["camera", "sound"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_the_report_opens_whole(
    browser: Browser, tmp_path: Path, shape: tuple[int, ...], width: int, dark: bool
) -> None:
    page = write_page(pretend.write(tmp_path, pretend.metrics(shape)))
    visit = browser.open(page, width=width, dark=dark)
    assert not faults(visit)
    assert visit.images == (6 if shape == pretend.CAMERA else 0)
    # A raster of each recording, four rates, two energy charts, the accuracy's interval.
    assert visit.charts == 2 + 4 + 2 + 1
    assert visit.overflow == 0, "the page scrolls sideways"
    shot = np.asarray(Image.open(io.BytesIO(base64.b64decode(visit.screenshot))).convert("L"))
    assert shot.shape[1] == width and shot.shape[0] > 2000
    # The paper, by its corner, is light or dark as the reader's system is; the ink on it is the opposite.
    assert shot[0, 0] < 60 if dark else shot[0, 0] > 200
    assert shot.max() > 180 and shot.min() < 70


def test_a_report_of_little_opens_whole(browser: Browser, tmp_path: Path) -> None:
    run = pretend.write(tmp_path)
    for name in ("spikes.h5", "config.toml", "manifest.json"):
        (run / name).unlink()
    (run / "metrics.json").write_text('{"dataset": "little"}')
    visit = browser.open(write_page(run))
    assert not faults(visit) and visit.images == 0


def test_hostile_values_do_nothing(browser: Browser, tmp_path: Path) -> None:
    evil = "<script>console.error('run')</script><img src=http://127.0.0.1:9/x><svg onload=console.error(1)>"
    found = pretend.metrics() | {"dataset": evil, "classes": [evil, evil, evil]}
    assert not faults(browser.open(write_page(pretend.write(tmp_path, found))))


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("<img src='data:image/png;base64,AAAA'>", "missing", "data:image/png;base64,AAAA"),
        ("<img alt='nothing'>", "missing", "(no source)"),
        (f"<img src='{DOT}' style='width:0'>", "missing", "data:image/png"),
        (f"<img src='{DOT}' style='display:none'>", "missing", "data:image/png"),
        ("<svg width=9 height=9><image width=9 height=9 href='data:image/png;base64,BBBB'/></svg>", "missing", "BBBB"),
        (f"<svg width=9 height=9><image width=0 height=9 href='{DOT}'/></svg>", "missing", "data:image/png"),
        ("<svg aria-label='chart' style='width:0'></svg>", "missing", "svg chart"),
        ("<script>console.error('wrong', 7)</script>", "console", "wrong 7"),
        ("<script>throw new Error('thrown')</script>", "console", "Uncaught"),
        ("<script>setTimeout(() => undefinedThing, 0)</script>", "console", "Uncaught"),
        ("<script>Promise.reject(new Error('rejected'))</script>", "console", "Uncaught (in promise)"),
        ("<img src='no-such-file.png'>", "requests", "no-such-file.png"),
        ("<link rel=stylesheet href='style.css'>", "requests", "style.css"),
        ("<style>@font-face{font-family:f;src:url(f.woff)} p{font-family:f}</style><p>f", "requests", "f.woff"),
        ("<script>fetch('https://127.0.0.1:9/data').catch(() => 0)</script>", "requests", "https://127.0.0.1:9/data"),
        ("<script>new Worker('worker.js')</script>", "console", "Uncaught"),
    ],
)
def test_a_fault_is_noticed(browser: Browser, tmp_path: Path, body: str, kind: str, words: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!DOCTYPE html><link rel=icon href='data:,'><body>{body}</body>")
    assert any(words in entry for entry in getattr(browser.open(page), kind))


def test_a_page_without_fault_has_none(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        f"<!DOCTYPE html><link rel=icon href='data:,'><img src='{DOT}'>"
        f"<svg width=9 height=9><image width=9 height=9 href='{DOT}'/></svg><script>console.log('fine')</script>"
    )
    visit = browser.open(page)
    assert not faults(visit) and visit.images == visit.charts == 1


def test_the_pages_own_policy_forbids_scripts_and_requests(browser: Browser, tmp_path: Path) -> None:
    page = write_page(pretend.write(tmp_path))
    source = page.read_text("utf-8")
    page.write_text(
        source.replace("<main>", "<main><script>document.title = 'run'</script><img src='http://127.0.0.1:9/a'>")
    )
    said = " ".join(browser.open(page).console)
    assert "inline script" in said and "http://127.0.0.1:9/a" in said


def test_served_over_http_it_asks_for_nothing_else(browser: Browser, tmp_path: Path) -> None:
    content = write_page(pretend.write(tmp_path)).read_bytes()
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        visit = browser.open(f"http://127.0.0.1:{server.server_port}/report.html")
        server.shutdown()
    assert not faults(visit)
    assert asked == ["/report.html"]
