"""Writing that leaves the old file or the new one; settings; the one door to every format."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from neurosim import Spikes
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, NeurosimWriteError
from neurosim.base.atomic import replacing, write_text
from neurosim.base.json_toml import read_json, read_toml, write_json, write_toml
from neurosim.base.raw import read_blocks, read_bytes
from neurosim.data import read, read_sonata, write, write_csv, write_nmnist, write_sonata
from neurosim.data.files.formats import find_format

SPIKES = Spikes([0.0, 0.001, 0.25], [5, 2311, 0], 2312, 0.25, (2, 34, 34))
WRITERS = {
    "json": lambda path: write_json(path, {"a": [1, 2.5]}),
    "toml": lambda path: write_toml(path, {"a": {"b": 1}}),
    "txt": lambda path: write_text(path, "text"),
    "bin": lambda path: write_nmnist(path, SPIKES),
    "csv": lambda path: write_csv(path, SPIKES),
    "h5": lambda path: write_sonata(path, {"input": SPIKES}),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_writing_replaces_and_leaves_nothing_else(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / f"file.{suffix}"
    WRITERS[suffix](path)
    first = path.read_bytes()
    path.write_bytes(b"old")
    # In another second: HDF5 keeps the times of objects unless it is told not to.
    time.sleep(1.0 if suffix == "h5" else 0.0)
    WRITERS[suffix](path)
    assert path.read_bytes() == first and os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_full_or_read_only_disk_changes_nothing(
    suffix: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(b"old")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        # A full disk often shows only when the data are flushed; a read-only one when the file is made.
        patch.setattr(*((tempfile, "mkstemp") if code == errno.EROFS else (os, "fsync")), refuse)
        with pytest.raises(NeurosimWriteError, match=f"{path}: could not be written .*; the old file is"):
            WRITERS[suffix](path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("suffix", ["csv", "h5"])
def test_a_write_that_fails_half_way(suffix: str, tmp_path: Path) -> None:
    # The system itself refuses bytes past a limit, as a full disk would.
    code = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from neurosim import Spikes
from neurosim.base import errors
from neurosim.data import write
spikes = Spikes([i * 1e-3 for i in range(4000)], [0] * 4000, 1, 4.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    write({str(tmp_path / f"file.{suffix}")!r}, spikes)
except errors.NeurosimWriteError as error:
    sys.exit(40 + error.exit_code)
"""
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(b"old")
    # numba's cache would be cut short by the limit too.
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=False)
    assert run.returncode == 41
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [path.name]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_kill_minus_nine_leaves_one_whole_version(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    code = f"""
import itertools
from neurosim import Spikes
from neurosim.data import write_sonata
versions = [Spikes([i * 1e-4 for i in range(n)], [0] * n, 1, 1.0) for n in (10, 9000)]
for spikes in itertools.cycle(versions):
    write_sonata({str(path)!r}, {{"a": spikes}})
"""
    rng = np.random.default_rng(0)
    for wait in rng.uniform(0.0, 0.05, 6):
        path.unlink(missing_ok=True)
        writer = subprocess.Popen([sys.executable, "-c", code])
        deadline = time.monotonic() + 600
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(float(wait))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert len(read_sonata(path)) in (10, 9000)


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="mine"), replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path and temporary.suffix == ".txt"
        raise RuntimeError("mine")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NeurosimWriteError, match="is a folder"):
        write_text(tmp_path, "text")
    (tmp_path / "file").touch()
    with pytest.raises(NeurosimWriteError, match="Free some space or choose another folder"):
        write_text(tmp_path / "file" / "below", "text")


def test_settings_round_trip(tmp_path: Path) -> None:
    table = {"a": 1, "b": {"c": [1.5, 2.5], "d": "é"}}
    write_toml(tmp_path / "a.toml", table)
    assert read_toml(tmp_path / "a.toml") == table
    write_json(tmp_path / "a.json", {"x": np.float32(0.5), "y": np.arange(3), "z": tmp_path, "n": None})
    assert read_json(tmp_path / "a.json") == {"x": 0.5, "y": [0, 1, 2], "z": str(tmp_path), "n": None}


@pytest.mark.parametrize(
    ("reader", "text", "message"),
    [
        (read_json, b'{"a": 1,\n "b"}', r"line 2, column 5: expected JSON"),
        (read_json, b"", r"line 1, column 1: expected JSON"),
        (read_json, b"\xff{}", r"byte 0: expected UTF-8 text, got 0xff"),
        (read_json, b"[" * 100_000, r"nested less deeply"),
        (read_toml, b"a = 1\na = 2\n", r"expected TOML: .*; correct or restore the file"),
        (read_toml, b"a = [" * 1000, r"expected TOML"),
        (read_toml, b"a = " + b"9" * 5000, r"expected TOML: nested or an integer too long"),
        (read_json, b"9" * 5000, r"expected integers of fewer digits"),
        (read_toml, b".".join([b"a"] * 20_000) + b" = 1", r"expected TOML: a key of more than 64 parts"),
        (read_toml, b"[" + b" . ".join([b"a"] * 20_000) + b"]", r"expected TOML: a key of more than 64 parts"),
        (read_toml, b"a = { " + b".".join([b'"="', b"','"] * 9_000) + b" = 1 }", r"a key of more than 64 parts"),
    ],
)
def test_settings_that_are_none(reader, text: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_bytes(text)
    with pytest.raises(NeurosimFormatError, match=message) as caught:
        reader(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_settings_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(NeurosimInputError, match="cannot be written as JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    with pytest.raises(NeurosimInputError, match="cannot be written as TOML"):
        write_toml(tmp_path / "a.toml", {"a": None})
    assert not os.listdir(tmp_path)


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(NeurosimMissingError, match="no such file; check the path"):
        read_bytes(tmp_path / "absent")
    with pytest.raises(NeurosimInputError, match="could not be read"):
        read_bytes(tmp_path)
    with pytest.raises(NeurosimInputError, match="is not a valid path"):
        read_bytes("a\0b")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.bin")
        with pytest.raises(NeurosimFormatError, match="an empty file"):
            read(tmp_path / "pipe.bin")


@pytest.mark.parametrize("block", [1, 7, 100, 1 << 22])
def test_blocks_hold_every_byte_once(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neurosim.base import raw

    monkeypatch.setattr(raw, "BLOCK", block)
    rng = np.random.default_rng(block)
    contents = [rng.bytes(int(n)) for n in (0, 3, 250, 0, 7, 100, 1, 64)]
    paths = [tmp_path / str(i) for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    found = [
        block.raw[a:b].tobytes()
        for block in read_blocks(paths)
        for a, b in zip(block.bounds[:-1], block.bounds[1:], strict=True)
    ]
    assert found == contents


@pytest.mark.parametrize("suffix", [".bin", ".csv", ".h5"])
def test_every_written_format_comes_back(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"file{suffix}"
    write(path, SPIKES)
    back = read(path)
    assert back.digest() == SPIKES.digest() and back.shape == SPIKES.shape and back.duration == SPIKES.duration


def test_formats_are_a_closed_table(tmp_path: Path) -> None:
    with pytest.raises(NeurosimInputError, match=r"unknown suffix '.bim'; did you mean '.bin'\?"):
        read(tmp_path / "a.bim")
    with pytest.raises(NeurosimInputError, match=r"read\.format: unknown name 'nmnst'; did you mean 'nmnist'"):
        read(tmp_path / "a", format="nmnst")
    with pytest.raises(
        NeurosimInputError, match="this format is only read; give format= one of aedat4, csv, dat, evt2, nmn"
    ):
        write(tmp_path / "a.es", SPIKES)
    write(tmp_path / "a.h5", SPIKES)
    with pytest.raises(NeurosimInputError, match=r"read\.shape: must be left out"):
        read(tmp_path / "a.h5", shape=(2, 34, 34))


@pytest.mark.parametrize(
    ("start", "format"),
    [
        (b"#!AER-DAT2.0\r\n", "aedat"),
        (b"% evt 3.0\n", "prophesee"),
        (b"Event Stream\x02", "event-stream"),
        (b"MATLAB 5.0 MAT-file", "matlab"),
        (b"\x93NUMPY\x01\x00", "numpy"),
        (b"t,x,y,p\n", "csv"),
        (b"", "csv"),
    ],
)
def test_first_bytes_come_before_the_suffix(start: bytes, format: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(start)
    assert find_format(path) == format and find_format(path, "dat") == "dat"


def test_hdf5_without_a_suffix(tmp_path: Path) -> None:
    write(tmp_path / "recording", SPIKES, format="sonata")
    assert read(tmp_path / "recording").digest() == SPIKES.digest()


def test_dots_in_strings_comments_and_numbers_are_no_parts_of_keys(tmp_path: Path) -> None:
    words = "a." * 200
    numbers = ", ".join(["0.5"] * 200)
    text = f"""a.b.c = "{words}"  # {words}
n = [{numbers}]
s = \'\'\'
{words}"\'\'\'
"""
    (tmp_path / "a.toml").write_text(text)
    found = read_toml(tmp_path / "a.toml")
    assert found["a"] == {"b": {"c": words}} and len(found["n"]) == 200 and found["s"] == f'{words}"'
