"""A dataset's run, interrupted at any stage, goes on from what it had worked out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from helpers.results import untimed
from helpers.samples import sampled

from neurosim import Recordings, Spikes
from neurosim.app import RunOptions, open_run
from neurosim.app.cli import main
from neurosim.app.runs.frame.lifecycle import resume, start
from neurosim.app.runs.liquid import KIND, stages
from neurosim.app.runs.liquid.config import LiquidConfig
from neurosim.base import NeurosimInterruptedError
from neurosim.data import read_state
from neurosim.engine import Result as Found
from neurosim.learning import Liquid
from neurosim.learning.liquid.liquid import ROUNDS

SETS = ["data.train_limit=60", "data.limit=20", "liquid.neurons=100"]
# Recordings are played all at once to set gains, then a few at a time, those to learn from and those to test on.
BATCHES = ROUNDS + 15
FILES = {
    *("manifest.json", "config.toml", "metrics.json", "spikes.h5", "readout.safetensors", "gains.safetensors"),
    "report.html",
}


@pytest.fixture(autouse=True)
def in_small_pieces(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is kept, and a few recordings are played at a time."""
    monkeypatch.setattr(stages, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(stages, "CHUNK_EVENTS", 20_000)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return simulate(tmp_path_factory.mktemp("plain") / "run")


def simulate(out: Path) -> dict[str, Any]:
    config = LiquidConfig.configure(sets=SETS, values={"data.name": "digits"})
    return start(KIND, config, RunOptions(out=out)).to_dict()


def stopped(out: Path, calls: int) -> list[str]:
    """A run that Ctrl-C stops at its n-th batch of recordings; what it had kept."""
    real = Liquid._run
    left = [calls]

    def run(*given: Any, **more: Any) -> Found:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Liquid, "_run", run)
        with pytest.raises(NeurosimInterruptedError, match=f"continue with: neurosim simulate --resume {out}"):
            simulate(out)
    return sorted(p.name for p in (out / "stages").glob("*"))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for every batch of recordings that is played."""
    seen: list[int] = []
    real = Liquid._run
    monkeypatch.setattr(Liquid, "_run", lambda *given, **more: seen.append(1) or real(*given, **more))
    return seen


@pytest.mark.slow
def test_chunks_change_nothing(plain: dict[str, Any], played: list[int]) -> None:
    found = simulate(Path("run"))
    assert len(played) == BATCHES
    assert untimed(found) == untimed(plain)
    assert {p.name for p in Path("run").iterdir()} == FILES


@pytest.mark.parametrize("calls", sampled([0, 2, ROUNDS, 14, BATCHES - 2], [14]))
def test_goes_on_from_every_stage(plain: dict[str, Any], calls: int, played: list[int]) -> None:
    kept = stopped(Path("run"), calls)
    assert open_run(Path("run")).manifest.status == "interrupted"
    assert ("gains.safetensors" in kept) == (calls >= ROUNDS) and len(kept) == max(0, calls - ROUNDS + 1)
    played.clear()
    found = resume(KIND, Path("run"), RunOptions(threads=2)).to_dict()
    assert untimed(found) == untimed(plain)
    assert {p.name for p in Path("run").iterdir()} == FILES
    assert len(played) == (BATCHES - calls if calls >= ROUNDS else BATCHES)


def test_the_command_line_goes_on(plain: dict[str, Any]) -> None:
    assert stopped(Path("run"), 14)
    done: Result = CliRunner().invoke(main, ["simulate", "--resume", "run", "--json", "--quiet"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["spike_digest"] == plain["spike_digest"]
    again: Result = CliRunner().invoke(main, ["simulate", "--resume", "run"])
    assert again.exit_code == 2 and "its run is done, there is nothing to resume" in again.stderr


@pytest.mark.slow
def test_a_damaged_stage_is_worked_out_again(plain: dict[str, Any]) -> None:
    stopped(Path("run"), 10)
    for path in Path("run/stages").iterdir():
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(data)
    assert untimed(resume(KIND, Path("run")).to_dict()) == untimed(plain)


def test_short_work_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "MIN_SECONDS", math.inf)
    assert stopped(Path("run"), 10) == []


def recordings(lengths: list[int]) -> Recordings:
    rng = np.random.default_rng(0)
    each = [Spikes.sort(rng.random(n), rng.integers(0, 5, n), 5, 1.0) for n in lengths]
    return Recordings.collect(each, np.arange(len(lengths)))


@pytest.mark.parametrize("lengths", [[], [0, 0], [10], [20_000, 1, 1, 60_000, 0, 20], [1] * 50, [50_000] * 4])
def test_chunks_tile_the_recordings(lengths: list[int]) -> None:
    if lengths:
        given = recordings(lengths)
    else:
        given = recordings([1]).select(np.zeros(1, bool))
    chunks = list(stages._chunks(given))
    assert sum(len(chunk) for chunk in chunks) == len(given)
    labels: list[Any] = [chunk.labels for chunk in chunks]
    assert np.array_equal(np.concatenate(labels), np.arange(len(lengths)))
    if len(chunks) > 1:
        assert all(len(chunk) for chunk in chunks)


def test_a_stage_comes_back_as_it_was() -> None:
    computed: list[int] = []

    def compute() -> stages.Stage:
        computed.append(1)
        return stages.Stage({"x": 1.5}, {"a": np.arange(5)})

    for _ in range(3):
        stage = stages.StageCache(Path("run")).get_or_compute("a", compute)
        assert stage.settings == {"x": 1.5} and np.array_equal(stage.arrays["a"], np.arange(5))
    assert len(computed) == 1 and read_state("run/stages/a.safetensors", stages.KIND, stages.VERSION)
