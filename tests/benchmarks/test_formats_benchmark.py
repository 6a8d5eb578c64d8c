"""The table of formats that are read right by default, and proof that a wrong reading would be noticed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::neurosim.base.errors.GuessWarning")
def test_every_format_is_read_right_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # the script adds to it
    import formats

    found = formats.rows(tmp_path)
    # Without rosbags, bags of ROS are left out.
    others = [name for name in formats.FORMATS if not name.startswith("ROS")]
    assert len(others) <= len(found) <= len(formats.FORMATS)
    assert [name for name, _, right in found if not right] == []
    events = formats.Events(*(np.array(column) for column in ([0, 5, 9], [0, 1, 1], [0, 3, 33], [1, 2, 33])))
    changed = formats.Events(events.t, events.p, events.x, events.y)
    folder = tmp_path / "changed"
    folder.mkdir()
    for name, _, _ in found:
        for file, write in formats.FORMATS[name].items():
            path = formats.write_events(folder / file, write, changed)
            assert not formats.is_right(path, events), file
