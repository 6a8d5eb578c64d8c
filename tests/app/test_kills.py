"""Runs of every kind that can continue, killed again and again, end with the figures of a run that was left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.killed import kill_many
from helpers.kills import KINDS
from helpers.results import untimed
from helpers.tasks import SMALL


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_many_times_it_ends_the_same(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind in ("train", "continual", "attention"):
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    Path("stream.toml").write_text(SMALL)
    for run in kill_many(KINDS[kind]):
        ours, theirs = (json.loads(Path(r, "metrics.json").read_text()) for r in (run, "whole"))
        assert untimed(ours) == untimed(theirs)
        assert json.loads(Path(run, "manifest.json").read_text())["status"] == "done"
        assert Path(run, "report.html").is_file()
