"""A disk that is full at any write, below every writer: a run says so, continues with room, and is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.full_disk import KINDS, build, fill_many


@pytest.mark.slow
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """`benchmarks/full_disk.py` tries the other kinds of run, ten times as long each."""
    if build(tmp_path) is None:
        pytest.skip("needs Linux and a compiler of C")
    counts = fill_many(KINDS["network"], tmp_path, every=10)
    assert counts["wrong"] == []
    # A full disk that no run meets would prove nothing.
    assert counts["writes"] > 20 and counts["refused"] > 2
