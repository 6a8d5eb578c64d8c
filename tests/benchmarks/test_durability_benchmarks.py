"""The scripts that show runs of any length in little memory, and runs that survive their killing, on a small scale."""

from __future__ import annotations

import json
import random
from pathlib import Path

import checkpoint
import pytest
import streaming

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("ceiling", "code"), [(100_000, 0), (10, 1)])
def test_streaming_says_whether_memory_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ceiling: int, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(streaming, "MINUTE", 0.1)
    words = ["--minutes", "3", "--scale", "0.05", "--json", "--ceiling", str(ceiling), "--out", "kept"]
    assert streaming.main(words) == code
    found = json.loads(capsys.readouterr().out)
    assert [minute["minute"] for minute in found["minutes"]] == [1, 2, 3]
    assert found["under_ceiling"] == (code == 0) and found["neurons"] == 200 and found["files_mb"] > 0
    assert {path.name for path in Path("kept").iterdir()} == {"spikes.h5", "states.h5", "saved.safetensors"}


def test_checkpoint_counts_runs_that_end_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0.4)
    plan = iter([True, False, True, True])

    def kill(folder: Path, chance: random.Random) -> bool:
        killed = next(plan)
        if not killed:
            checkpoint.go(folder, 1)
        return killed

    monkeypatch.setattr(checkpoint, "kill", kill)
    real = checkpoint.digest
    monkeypatch.setattr(checkpoint, "digest", lambda folder: () if folder.name == "run1" else real(folder))
    found = checkpoint.kills(3, tmp_path, 1)
    assert found == {"kills": 3, "runs": 2, "most_kills_of_a_run": 2, "wrong": 1}


def test_a_killed_network_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Learned weights included."""
    monkeypatch.setattr(checkpoint, "SECONDS", 0.4)
    for name, threads in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        checkpoint.go(tmp_path / name, threads)
    assert checkpoint.digest(tmp_path / "a") == checkpoint.digest(tmp_path / "b")
    assert checkpoint.costs(tmp_path, 1)["saved_mb"] > 0
