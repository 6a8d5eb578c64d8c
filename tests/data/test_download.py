"""Downloads against a server on this machine that drops, lies, redirects and sends wrong bytes."""

from __future__ import annotations

import errno
import hashlib
import http.client
import io
import os
import re
import time
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from urllib.request import Request

import pytest
from helpers.download_server import CONTENT, HASTE, Handler, Server, running

from neurosim import NeurosimError
from neurosim.base import NeurosimWriteError
from neurosim.data import download, transfer
from neurosim.data.download import DownloadSource, fetch_file
from neurosim.data.transfer import RetryPolicy, may_follow

MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


def get(server: Server, path: str, folder: Path, checksum: str = SHA256, retries: RetryPolicy = HASTE) -> Path:
    return fetch_file(DownloadSource(f"{server.url}/{path}", "data.bin", checksum, "data"), folder, retries, quiet=True)


def failure(server: Server, path: str, folder: Path, retries: RetryPolicy = HASTE) -> str:
    with pytest.raises(NeurosimError) as error:
        get(server, path, folder, retries=retries)
    assert error.value.exit_code == 1
    text = str(error.value)
    assert "\n" not in text and f"put it at {folder / 'data.bin'}, and run this again" in text
    assert not (folder / "data.bin").exists()
    return text


@pytest.mark.parametrize("checksum", [MD5, SHA256])
def test_a_file_arrives_whole_and_alone(server: Server, tmp_path: Path, checksum: str) -> None:
    path = get(server, "whole", tmp_path / "new" / "folder", checksum)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    get(server, "whole", path.parent, checksum)
    assert len(server.asked) == 1, "what is there and fits is not asked for again"


def test_mirrors_are_tried_in_order(server: Server, tmp_path: Path) -> None:
    source = DownloadSource(
        f"{server.url}/missing",
        "data.bin",
        SHA256,
        "data",
        mirrors=(f"{server.url}/wrong-bytes", f"{server.url}/whole"),
    )
    assert fetch_file(source, tmp_path, HASTE, quiet=True).read_bytes() == CONTENT
    paths = [path for path, _ in server.asked]
    assert paths[-1] == "/whole" and list(dict.fromkeys(paths)) == ["/missing", "/wrong-bytes", "/whole"]


def test_all_addresses_that_fail_are_named(server: Server, tmp_path: Path) -> None:
    source = DownloadSource(f"{server.url}/missing", "data.bin", SHA256, "data", mirrors=(f"{server.url}/wrong-bytes",))
    with pytest.raises(NeurosimError) as error:
        fetch_file(source, tmp_path, HASTE, quiet=True)
    text = str(error.value)
    assert text.startswith(f"{server.url}/missing: ") and f"; {server.url}/wrong-bytes: " in text
    assert f"put it at {tmp_path / 'data.bin'}, and run this again" in text


def test_a_wrong_file_of_that_name_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"an older version")
    assert get(server, "whole", tmp_path).read_bytes() == CONTENT


def test_dropped_connections_are_taken_up_where_they_broke(server: Server, tmp_path: Path) -> None:
    assert get(server, "drops", tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/drops", None), ("/drops", "bytes=100000-"), ("/drops", "bytes=200000-")]


def test_a_download_goes_on_after_the_process_ended(server: Server, tmp_path: Path) -> None:
    text = failure(server, "always-short", tmp_path)
    assert "the connection was dropped after 50000 of 300000 bytes (3 tries)" in text
    assert (tmp_path / "data.bin.part").stat().st_size == 50_000
    assert get(server, "whole", tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == ("/whole", "bytes=50000-")
    assert not (tmp_path / "data.bin.part").exists()


def test_a_part_that_is_already_whole_is_only_checked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert get(server, "whole", tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_server_that_ignores_range_starts_again(server: Server, tmp_path: Path) -> None:
    assert get(server, "ignores-range", tmp_path).read_bytes() == CONTENT
    assert server.asked[1] == ("/ignores-range", "bytes=120000-")


@pytest.mark.parametrize("stale", [b"other bytes" * 1000, CONTENT + b"and more"])
def test_a_stale_part_costs_one_more_try(server: Server, tmp_path: Path, stale: bytes) -> None:
    (tmp_path / "data.bin.part").write_bytes(stale)
    assert get(server, "whole", tmp_path).read_bytes() == CONTENT


def test_a_part_that_was_not_asked_for_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:100])
    text = failure(server, "wrong-part", tmp_path)
    assert "the server sent a part that was not requested (bytes 5-299999/300000)" in text


def test_wrong_bytes_never_get_the_name(server: Server, tmp_path: Path) -> None:
    text = failure(server, "wrong-bytes", tmp_path)
    assert f"the bytes that arrived do not fit its checksum (expected {SHA256}, got sha256:" in text
    assert len(server.asked) == 1
    assert (tmp_path / "data.bin.part").stat().st_size == 0, "wrong bytes are not resumed"


def test_a_server_that_states_no_length(server: Server, tmp_path: Path) -> None:
    assert get(server, "no-length", tmp_path).read_bytes() == CONTENT


def test_redirects_are_followed_as_far_as_they_are_no_weaker(server: Server, tmp_path: Path) -> None:
    assert get(server, "moved", tmp_path).read_bytes() == CONTENT
    text = failure(server, "moved-to-ftp", tmp_path / "ftp")
    assert "redirects to ftp://127.0.0.1/whole, a weaker connection; refused" in text
    assert "is not allowed" in failure(server, "moved-to-file", tmp_path / "file")  # urllib refuses this itself
    assert "redirect" in failure(server, "moved-in-circles", tmp_path / "circles")


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ("https://a.org/x", "https://b.org/y", True),
        ("http://a.org/x", "https://a.org/x", True),
        ("http://a.org/x", "http://b.org/x", True),
        ("https://a.org/x", "http://a.org/x", False),
        ("https://a.org/x", "HTTP://a.org/x", False),
        ("http://a.org/x", "ftp://a.org/x", False),
        ("https://a.org/x", "file:///x", False),
        ("https://a.org/x", "data:,x", False),
        ("ftp://a.org/x", "ftp://a.org/y", False),
    ],
)
def test_may_follow(old: str, new: str, allowed: bool) -> None:
    assert may_follow(old, new) is allowed


def test_the_opener_asks_may_follow() -> None:
    handler = transfer.NoDowngrade()
    headers = Message()
    arguments = (io.BytesIO(), 302, "Found", headers)
    with pytest.raises(transfer.Permanent, match=r"redirects to http://b\.org/x, a weaker connection; refused"):
        handler.redirect_request(Request("https://a.org/x"), *arguments, "http://b.org/x")
    followed = handler.redirect_request(Request("https://a.org/x"), *arguments, "https://b.org/x")
    assert followed is not None and followed.full_url == "https://b.org/x"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "file:///etc/hostname", "data:,x", "x"])
def test_only_http_is_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(NeurosimError, match="is neither http nor https"):
        fetch_file(DownloadSource(url, "data.bin", SHA256, "data"), tmp_path, HASTE, quiet=True)


def test_answers_that_may_change_are_tried_again(server: Server, tmp_path: Path) -> None:
    assert get(server, "busy-once", tmp_path).read_bytes() == CONTENT
    text = failure(server, "always-busy", tmp_path / "busy")
    assert "the server answered 503 Service Unavailable (3 tries)" in text
    assert [path for path, _ in server.asked].count("/always-busy") == 3


def test_answers_that_will_not_change_are_not(server: Server, tmp_path: Path) -> None:
    assert "the server answered 404 Not Found" in failure(server, "missing", tmp_path)
    assert len(server.asked) == 1


def test_waiting_grows_and_is_bounded(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(transfer.time, "sleep", waits.append)
    failure(server, "always-busy", tmp_path, RetryPolicy(attempts=9, pause=0.5))
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_silence_and_garbage_end(server: Server, tmp_path: Path) -> None:
    retries = RetryPolicy(attempts=2, pause=0.0, timeout=0.1)
    assert "could not be reached (timed out) (2 tries)" in failure(server, "silent", tmp_path, retries)
    assert "could not be reached (" in failure(server, "garbage", tmp_path, retries)


@pytest.mark.parametrize(
    ("path", "reason"), [("drips", "only .* bytes arrived in 0.2 s"), ("drips-a-header", "no whole answer in 0.2 s")]
)
def test_a_byte_now_and_then_is_given_up(server: Server, tmp_path: Path, path: str, reason: str) -> None:
    slow = RetryPolicy(attempts=2, pause=0.0, timeout=60.0, patience=0.2)
    start = time.monotonic()
    assert re.search(reason, failure(server, path, tmp_path, slow))
    assert time.monotonic() - start < 4 and len(server.asked) == 2


@pytest.mark.parametrize(("path", "size"), [("drips", "300,000"), ("drips-without-length", "400,000")])
def test_a_whole_transfer_has_an_end(
    server: Server, tmp_path: Path, path: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten bytes in .2 s are progress, again and again; all 300,000 would take 6,000 s."""
    monkeypatch.setattr(transfer, "MIN_PROGRESS", 10)
    slow = RetryPolicy(attempts=2, pause=0.0, timeout=60.0, patience=0.4, min_rate=1e6, max_bytes=400_000)
    start = time.monotonic()
    text = failure(server, path, tmp_path, slow)
    assert time.monotonic() - start < 4 and len(server.asked) == 1
    assert re.search(
        rf"\d+ bytes arrived in .* s, and a file of at most {size} bytes may take no longer at 1000 kB/s "
        r"\(RetryPolicy\.min_rate, --min-rate\); run this again to continue; get data\.bin by other means",
        text,
    )
    assert 0 < (tmp_path / "data.bin.part").stat().st_size < 1000, "what arrived is kept"


def test_tries_together_have_an_end(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try brings enough to count as progress."""
    monkeypatch.setattr(transfer, "MIN_PROGRESS", 1)
    monkeypatch.setattr(Handler, "do_drops", lambda self: self.ranged(self.tries()))
    text = failure(server, "drops", tmp_path, RetryPolicy(attempts=2, pause=0.0, patience=0.1, min_rate=1e6))
    assert 5 < len(server.asked) < 2000 and "a file of at most 300,000 bytes may take no longer at 1000 kB/s" in text


def test_the_content_of_a_redirect_is_not_waited_for(server: Server, tmp_path: Path) -> None:
    start = time.monotonic()
    assert get(server, "drips-a-redirect", tmp_path).read_bytes() == CONTENT
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("path", ["odd-length", "long-length"])
def test_a_length_that_is_no_number_is_no_length(server: Server, tmp_path: Path, path: str) -> None:
    assert get(server, path, tmp_path).read_bytes() == CONTENT


def test_no_network_is_one_line(tmp_path: Path) -> None:
    with Server() as gone:
        url = gone.url
    with pytest.raises(NeurosimError) as error:
        fetch_file(DownloadSource(f"{url}/whole", "data.bin", SHA256, "data"), tmp_path, HASTE, quiet=True)
    assert str(error.value) == (
        f"{url}/whole: could not be reached ([Errno {errno.ECONNREFUSED}] Connection refused) (3 tries); "
        f"get data.bin by other means, put it at {tmp_path / 'data.bin'}, and run this again"
    )


@pytest.mark.parametrize("path", ["huge", "endless"])
def test_more_bytes_than_allowed_are_refused(server: Server, tmp_path: Path, path: str) -> None:
    text = failure(server, path, tmp_path, RetryPolicy(attempts=2, pause=0.0, timeout=60.0, max_bytes=1_000_000))
    assert "is larger than the 1000000 bytes allowed" in text
    assert (tmp_path / "data.bin.part").stat().st_size == 0


def test_two_downloads_do_not_mix(server: Server, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with open(tmp_path / "data.bin.part", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(NeurosimError, match=r"data\.bin\.part: another download is writing it"):
            get(server, "whole", tmp_path)
    assert get(server, "whole", tmp_path).read_bytes() == CONTENT


def test_a_full_disk_keeps_what_arrived(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(download.os, "replace", full)
        with pytest.raises(NeurosimWriteError, match=r"data\.bin\.part: could not be written \(No space left"):
            get(server, "whole", tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NeurosimWriteError, match="could not be written"):
        get(server, "whole", tmp_path / "file" / "folder")


def test_progress_goes_to_stderr(server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = DownloadSource(f"{server.url}/whole", "data.bin", SHA256, "data")
    fetch_file(source, tmp_path, HASTE)
    assert capfd.readouterr().out == ""


def test_patience_is_checked() -> None:
    with pytest.raises(NeurosimError, match=r"RetryPolicy\.attempts: must be >= 1 \(got 0\)"):
        RetryPolicy(attempts=0)


def test_http_client_failures_are_network_failures() -> None:
    with pytest.raises(transfer.Retryable, match="could not be reached"), transfer._network():
        raise http.client.IncompleteRead(b"", 5)
