"""Unpacking archives: whole files inside the target, or one clear error."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from neurosim.base import NeurosimFormatError, NeurosimMissingError, NeurosimWriteError
from neurosim.data import extract
from neurosim.data.files import archives

CONTENT = {"Train/1/a.bin": b"abcde" * 500, "Train/2/b.bin": b"", "readme.txt": b"x" * 3_000_000}


def zip_file(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", b"")
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tar_file(path: Path, members: dict[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                info = content
            else:
                info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


KINDS = {
    "zip": zip_file,
    "tar.gz": tar_file,
    "tar": lambda path, members: tar_file(path, members, "w"),
    "tar.bz2": lambda path, members: tar_file(path, members, "w:bz2"),
    "tar.xz": lambda path, members: tar_file(path, members, "w:xz"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_comes_out_whole(kind: str, tmp_path: Path) -> None:
    # Known by their content, not their name.
    archive = KINDS[kind](tmp_path / "archive", CONTENT)
    target = tmp_path / "target"
    (target / "Train" / "1").mkdir(parents=True)
    (target / "Train" / "1" / "a.bin").write_bytes(b"old")
    written = extract(archive, target)
    assert written == [target / name for name in CONTENT]
    assert [path.read_bytes() for path in written] == list(CONTENT.values())
    assert sorted(p.name for p in target.rglob("*") if p.is_file()) == ["a.bin", "b.bin", "readme.txt"]


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zip_file(tmp_path / "archive", {"a": b"a", "bomb": bytes(30 * archives.PIECE)})
    with pytest.raises(NeurosimFormatError, match=r"member 'bomb': expected at most 999 bytes more and .* files"):
        extract(archive, tmp_path / "target", max_bytes=1000)
    monkeypatch.setattr(archives, "MIN_BOUND", 0)
    with pytest.raises(NeurosimFormatError, match=r"member 'bomb': expected at most \d+ bytes more"):
        extract(archive, tmp_path / "target")
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    with pytest.raises(NeurosimFormatError, match=r"member 'b': expected at most .* and 1 files"):
        extract(zip_file(archive, {"a": b"a", "b": b"b"}), tmp_path / "target", max_bytes=1000)
    assert os.listdir(tmp_path / "target") == ["a"]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18), b"\x1f\x8b" + bytes(30)])
def test_files_that_are_no_archive(content: bytes, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    if content.startswith(b"PK"):
        assert extract(archive, tmp_path / "target") == []
        return
    with pytest.raises(
        NeurosimFormatError, match=r"archive: expected an intact zip or tar file, got .*; it is damaged"
    ):
        extract(archive, tmp_path / "target")


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NeurosimMissingError, match=r"no such file; check the path"):
        extract(tmp_path / "absent", tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar"])
def test_an_archive_that_was_cut_short(kind: str, tmp_path: Path) -> None:
    archive = KINDS[kind](tmp_path / "archive", CONTENT)
    archive.write_bytes(archive.read_bytes()[:-700])
    # The end of a plain tar file is padding.
    with contextlib.nullcontext() if kind == "tar" else pytest.raises(NeurosimFormatError):
        extract(archive, tmp_path / "target")
    # What did come out is whole.
    for path in (tmp_path / "target").rglob("*"):
        assert not path.is_file() or path.read_bytes() == CONTENT[path.relative_to(tmp_path / "target").as_posix()]


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zip_file(tmp_path / "archive", CONTENT)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(NeurosimWriteError, match=r"No space left on device"):
        patch.setattr(os, "replace", refuse)
        extract(archive, tmp_path / "target")
    assert not [p for p in (tmp_path / "target").rglob("*") if p.is_file()]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_as_large_as_a_file_is_refused_unread(tmp_path: Path, kind: bytes) -> None:
    """tarfile would read it whole, and keep several copies."""
    info = tarfile.TarInfo("header")
    info.type = kind
    info.size = 20 << 20
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        archive.addfile(info, io.BytesIO(b"a" * info.size))
    tracemalloc.start()
    with pytest.raises(NeurosimFormatError, match="expected an intact zip or tar file, got a header of 20971520 bytes"):
        extract(tmp_path / "a.tgz", tmp_path / "out")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:xz", "w:bz2"])
def test_long_names_are_read(tmp_path: Path, mode: str) -> None:
    name = f"{'d' * 90}/{'f' * 90}.bin"
    path = tar_file(tmp_path / "a.tar", {name: b"abc"}, mode)
    assert [each.read_bytes() for each in extract(path, tmp_path / "out")] == [b"abc"]
