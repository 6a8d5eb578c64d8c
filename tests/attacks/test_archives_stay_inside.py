"""Promise: archives write inside their folder, whatever their members are called and claim to be."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from neurosim.base import NeurosimFormatError
from neurosim.data import extract


def zip_file(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tar_file(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "/out", "//out", "C:/out", "..\\out", "a\\..\\..\\out", ".", ""]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_outside_the_target_are_refused(kind: str, name: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            info = zipfile.ZipInfo("x")
            info.filename = name
            packed.writestr(info, b"secret")
    else:
        tar_file(archive, {name: b"secret"})
    target = tmp_path / "deep" / "target"
    with pytest.raises(NeurosimFormatError, match=r"expected .*; (this archive is not safe|it is damaged)"):
        extract(archive, target)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p != archive]


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


@pytest.mark.parametrize(
    "member",
    [
        special("a", tarfile.SYMTYPE, "/etc/passwd"),
        special("a", tarfile.LNKTYPE, "../b"),
        special("a", tarfile.FIFOTYPE),
        special("a", tarfile.CHRTYPE),
    ],
    ids=["symlink", "hard link", "pipe", "device"],
)
def test_links_and_devices_are_refused(member: tarfile.TarInfo, tmp_path: Path) -> None:
    archive = tar_file(tmp_path / "archive", {"a": member})
    with pytest.raises(NeurosimFormatError, match=r"member 'a': expected a plain file, got a link or device; this"):
        extract(archive, tmp_path / "target")
    info = zipfile.ZipInfo("a")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(NeurosimFormatError, match=r"member 'a': expected a plain file, got a link or device; this"):
        extract(archive, tmp_path / "target")


def test_a_link_that_lies_in_the_target_leads_nowhere(tmp_path: Path) -> None:
    target = tmp_path / "target"
    outside = tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "Train").symlink_to(outside)
    with pytest.raises(NeurosimFormatError, match=r"member 'Train/1/a.bin': expected a name inside the target"):
        extract(zip_file(tmp_path / "archive", {"Train/1/a.bin": b"abcde"}), target)
    assert not os.listdir(outside)


def test_a_member_longer_than_it_claims(tmp_path: Path) -> None:
    archive = zip_file(tmp_path / "archive", {"a": bytes(5000)})
    data = archive.read_bytes()
    # Both heads of the member, the local one and the one in the directory, claim 5 bytes.
    archive.write_bytes(data.replace((5000).to_bytes(4, "little"), (5).to_bytes(4, "little")))
    with pytest.raises(NeurosimFormatError, match=r"archive: expected an intact zip or tar file"):
        extract(archive, tmp_path / "target")
    assert not [p for p in (tmp_path / "target").rglob("*") if p.is_file()]
