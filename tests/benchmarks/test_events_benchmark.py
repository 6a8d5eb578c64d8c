"""The bookkeeping of benchmarks/events.py: rates, ratios, and made recordings where there are no real ones."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import events
import pytest

from neurosim.data.files.nmnist import read_nmnist_many
from neurosim.data.files.shd import read_shd

pytestmark = pytest.mark.slow


def test_rates_are_work_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LONG_ENOUGH", 0.0)
    now = [0.0]
    timed = partial(events.frame.seconds, clock=lambda: now[0])
    monkeypatch.setattr(events.frame, "seconds", timed)

    def slow() -> None:
        now[0] += 0.02

    def quick() -> None:
        now[0] += 0.005

    row = events.run(events.Contest("sleep", 1000, "events", quick, slow), 3)
    assert row["tonic"] == pytest.approx(1000 / 0.02) and row["neurosim"] == pytest.approx(1000 / 0.005)
    assert row["ratio"] == pytest.approx(row["neurosim"] / row["tonic"]) and row["ratio_best"] > 1
    alone = events.run(events.Contest("sleep", 1000, "samples", quick, None), 1)
    assert "tonic" not in alone
    text = events.table([row, alone])
    assert len(text) == 3 and json.loads(json.dumps(row)) == row


def test_recordings_are_made_where_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEUROSIM_DATA", raising=False)
    name, paths = events.nmnist_files(tmp_path)
    assert name.startswith("made") and len(read_nmnist_many(paths[:5])) == 5
    name, path = events.shd_file(tmp_path)
    assert name.startswith("made") and len(read_shd(path)) == 300
