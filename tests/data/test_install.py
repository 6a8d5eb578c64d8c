"""Datasets that are downloaded, unpacked and put in place, or put there by hand."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.download_server import HASTE, Server, running

from neurosim import NeurosimError
from neurosim.base import NeurosimWriteError
from neurosim.data import download
from neurosim.data.download import DownloadSource, install


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def archive(server: Server) -> DownloadSource:
    """A zip of Train/0/a.bin, Train/1/b.bin and something else, served."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("Train/0/a.bin", b"first")
        zipped.writestr("Train/1/b.bin", b"second")
        zipped.writestr("Train/.DS_Store", b"not a recording")
    server.content = buffer.getvalue()
    checksum = "md5:" + hashlib.md5(server.content).hexdigest()
    return DownloadSource(f"{server.url}/whole", "train.zip", checksum, "Train", files=2, suffix=".bin")


def unpack(path: Path, folder: Path) -> None:
    shutil.unpack_archive(path, folder, "zip")


def test_install_leaves_what_the_archive_holds(server: Server, archive: DownloadSource, tmp_path: Path) -> None:
    assert install([archive], tmp_path, unpack, HASTE, quiet=True) == [tmp_path / "Train"]
    assert (tmp_path / "Train/1/b.bin").read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["Train"]
    install([archive], tmp_path, unpack, HASTE, quiet=True)
    assert len(server.asked) == 1


def test_install_takes_an_archive_put_there_by_hand_and_leaves_it(
    server: Server, archive: DownloadSource, tmp_path: Path
) -> None:
    (tmp_path / "train.zip").write_bytes(server.content)
    install([archive], tmp_path, unpack, HASTE, quiet=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Train", "train.zip"]
    assert server.asked == []


def test_install_counts_files_before_anything_moves(archive: DownloadSource, tmp_path: Path) -> None:
    fewer = DownloadSource(archive.url, archive.file, archive.checksum, archive.holds, files=3, suffix=".bin")
    with pytest.raises(NeurosimError, match=r"train\.zip: holds 2 files in Train, not 3; remove it and fetch again"):
        install([fewer], tmp_path, unpack, HASTE, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["train.zip"]


def test_install_leaves_nothing_of_a_failed_unpacking(archive: DownloadSource, tmp_path: Path) -> None:
    def break_off(path: Path, folder: Path) -> None:
        unpack(path, folder)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(NeurosimWriteError, match=r"Train: could not be written \(No space left on device\)"):
        install([archive], tmp_path, break_off, HASTE, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["train.zip"]


def test_what_a_killed_process_left_goes_after_a_day(tmp_path: Path) -> None:
    old = tmp_path / ".goal-old"
    young = tmp_path / ".goal-young"
    for folder in (old, young):
        (folder / "Train").mkdir(parents=True)
    os.utime(old, (0, 0))
    with download.scratch(tmp_path / "goal") as folder:
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == [young]
