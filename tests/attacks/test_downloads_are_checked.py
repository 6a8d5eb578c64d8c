"""Promise: downloads never leave https for http, and must have the size and digest that are recorded."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from neurosim import NeurosimError
from neurosim.data import catalog
from neurosim.data.download import DownloadSource, fetch_file
from neurosim.data.transfer import RetryPolicy, may_follow

CONTENT = b"what was published" * 100
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
HASTE = RetryPolicy(attempts=2, pause=0.0, timeout=10.0, max_bytes=1 << 16)


class Handler(BaseHTTPRequestHandler):
    """Paths choose the lie."""

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.strip("/")
        if path in ("file", "ftp", "data"):
            target = {"file": "file:///etc/passwd", "ftp": "ftp://127.0.0.1/x", "data": "data:,x"}[path]
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = {"other": CONTENT[:-1] + b"?", "short": CONTENT[:-9], "longer": CONTENT + b"more"}.get(path, b"")
        self.send_response(200)
        if path == "endless":
            self.end_headers()
            for _ in range(64):
                self.wfile.write(bytes(1 << 14))
            return
        self.send_header("Content-Length", str(1 << 60 if path == "claims" else len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("lie", ["other", "short", "longer", "endless", "claims", "file", "ftp", "data"])
@pytest.mark.filterwarnings("default::ResourceWarning")
def test_a_server_that_sends_something_else(lie: str, url: str, tmp_path: Path) -> None:
    source = DownloadSource(f"{url}/{lie}", "data.bin", SHA256, "data.bin")
    with pytest.raises(NeurosimError):
        fetch_file(source, tmp_path, HASTE, quiet=True)
    assert not (tmp_path / "data.bin").exists()


@pytest.mark.parametrize(
    "new", ["http://a/b", "ftp://a/b", "file:///b", "//a/b", "data:,b", "javascript:b", "HTTP://a"]
)
def test_https_is_never_left(new: str) -> None:
    assert not may_follow("https://a/b", new)
    assert may_follow("https://a/b", "https://c/d")


def test_every_archive_of_the_catalogue_has_a_digest() -> None:
    sources = [source for dataset in catalog.datasets().values() for source in dataset.sources]
    assert sources
    for source in sources:
        assert source.checksum.startswith(("md5:", "sha256:")), source.file
        assert all(address.startswith(("https://", "http://")) for address in source.addresses), source.file
