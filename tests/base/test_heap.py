"""Freed memory goes back to the system."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
import pytest

from neurosim.base.heap import trim_heap


def resident() -> int:
    """Return the bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed blocks and returns them")
def test_freed_blocks_are_returned() -> None:
    """Blocks below one that lives stay with the process until they are trimmed."""
    trim_heap()
    blocks = [np.ones(8192) for _ in range(1000)]
    assert blocks[-1].nbytes == 65_536
    del blocks[:-1]
    before = resident()
    trim_heap()
    assert resident() < before - 30_000_000
