"""Hundreds of mutated files a reader: each gives sound spikes or one clear error, soon and in little memory."""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.mutated_files import READERS, examine, mutate

from neurosim import NeurosimError

# Mutants of a file: a sample in the quick run.
SAMPLE = 100
FILES = 800
SECONDS = 1.0
MEGABYTE = 1 << 20
# Of the process, over all its files: 64 MB and this many times the largest file.
MEMORY = 64 * MEGABYTE
MULTIPLE = 100


def peak_memory() -> int:
    """The most memory the process has held since `forget_peak`, in bytes; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


def forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the system does not tell the peak of memory anew")


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    # What hangs in compiled code cannot be interrupted: better a stack and the end than a test without one.
    faulthandler.dump_traceback_later(300, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.parametrize("reader", READERS)
def test_mutated_files(reader: str, tmp_path: Path) -> None:
    mutate_and_read(reader, tmp_path, SAMPLE, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_many_mutated_files(reader: str, tmp_path: Path) -> None:
    mutate_and_read(reader, tmp_path, FILES, seed=1)


def mutate_and_read(reader: str, tmp_path: Path, count: int, seed: int) -> None:
    make, read = READERS[reader]
    sound = make()
    rng = np.random.default_rng([sum(map(ord, reader)), seed])
    path = tmp_path / "file.bin"
    path.write_bytes(sound)
    # Compiles, and is the one file that must be read.
    examine(read(path))
    survived = 0
    slowest = 0.0
    forget_peak() if sys.platform == "linux" else None
    before = peak_memory()
    for trial in range(count):
        content = b"" if trial == 0 else mutate(sound, rng)
        path.write_bytes(content)
        start = time.process_time()
        try:
            examine(read(path))
            survived += 1
        except NeurosimError as error:
            # NeurosimFormatError, but for a population that is gone, or a member of an archive whose name is taken by
            # a folder: all name the file in one line.
            text = str(error)
            assert text.startswith((f"{path}: ", f"{tmp_path}/out/")) and len(text.splitlines()) == 1, (trial, text)
        slowest = max(slowest, time.process_time() - start)
    assert slowest < SECONDS
    assert peak_memory() - before < MEMORY + MULTIPLE * 2 * len(sound)
    # A reader that refused or took everything would prove nothing.
    assert 0 < survived < count
    assert set(os.listdir(tmp_path)) <= {"file.bin", "out"}
