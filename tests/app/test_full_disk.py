"""A disk that is full at any write, below every writer: a run says so, continues with room, and is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.full_disk import KINDS, build, fill_many


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "every"), [("network", 12), ("simulate", 50)])
def test_a_full_disk_loses_nothing(kind: str, every: int, tmp_path: Path) -> None:
    if build(tmp_path) is None:
        pytest.skip("needs Linux and a compiler of C")
    counts = fill_many(KINDS[kind], tmp_path, every=every)
    assert counts["wrong"] == []
    # A full disk that no run meets would prove nothing.
    assert counts["writes"] > 20 and counts["refused"] > 2
