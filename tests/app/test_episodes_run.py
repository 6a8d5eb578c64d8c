"""`neurosim memory episodes`: the protocol counted by hand, and runs that resume to the same figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from neurosim.app import RunOptions
from neurosim.app.cli import main
from neurosim.app.runs.frame.lifecycle import resume, start
from neurosim.app.runs.memory.episodes import KIND, run
from neurosim.app.runs.memory.episodes.config import EpisodesConfig
from neurosim.app.runs.memory.episodes.result import EpisodesResult
from neurosim.app.runs.memory.items import encoder, load
from neurosim.base import NeurosimInputError, NeurosimInterruptedError

SETS = [
    "episodes.count=45",
    "episodes.queries=3",
    "episodes.shots=[1, 3]",
    "code.size=1024",
    "column.units=32",
    "column.modules=16",
]


def small(*sets: str) -> EpisodesConfig:
    return EpisodesConfig.configure(
        sets=[*SETS, *sets], values={"data.name": "digits", "data.limit": 120, "data.train_limit": 100}
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> EpisodesResult:
    return start(KIND, small(), RunOptions(out=tmp_path_factory.mktemp("run") / "a", quiet=True))


def test_more_examples_help_and_chance_is_far(done: EpisodesResult) -> None:
    one, three = done.rows
    assert done.chance == 0.2
    assert 0.5 < one.memory < three.memory
    assert abs(one.memory - one.nearest) < 0.1
    low, high = three.memory_interval
    assert low < three.memory < high and high - low < 0.12


def test_nearest_neighbours_counted_by_hand(done: EpisodesResult) -> None:
    """The episodes drawn again and every pair of items compared, bit by bit."""
    config = small()
    fitted, asked = load(config.data)
    items = encoder(fitted, config).encode(asked)
    groups = [np.flatnonzero(asked.labels == k) for k in np.unique(asked.labels)]
    right = total = 0
    for number in range(config.episodes.count):
        rng = np.random.default_rng([config.seed, number])
        chosen = rng.choice(len(groups), 5, replace=False)
        drawn = [rng.choice(groups[k], 6, replace=False) for k in chosen]
        for k, own in enumerate(drawn):
            for query in own[:3]:
                shared = [len(np.intersect1d(items.bits[query], items.bits[other[3]])) for other in drawn]
                right += int(np.argmax(shared)) == k
                total += 1
    assert done.rows[0].nearest == pytest.approx(right / total, abs=1e-12)
    assert done.samples == total


def test_an_interrupted_run_goes_on_to_the_same_result(
    tmp_path: Path, done: EpisodesResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = run._answer

    def until(*words: object) -> object:
        calls.append(1)
        if len(calls) == 53:
            raise KeyboardInterrupt
        return real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "_answer", until)
    with pytest.raises(NeurosimInterruptedError, match="neurosim memory episodes --resume"):
        start(KIND, small(), RunOptions(out=tmp_path / "a", quiet=True))
    begun = len(calls)
    again = resume(KIND, tmp_path / "a", RunOptions(quiet=True))
    assert again.digest == done.digest and again.rows == done.rows
    assert len(calls) - begun == 2 * (45 - 20)  # the first 20 episodes were on the disk
    assert not (tmp_path / "a" / run.DONE).exists()


@pytest.mark.slow
def test_command_page_and_measures(tmp_path: Path) -> None:
    words = ["memory", "episodes", "digits", "--ways", "3", "--shots", "1", "--shots", "2", "--episodes", "3", "--json"]
    sets = [word for text in SETS[3:] for word in ("--set", text)]
    found = CliRunner().invoke(main, [*words, *sets, "--out", str(tmp_path / "a")])
    assert found.exit_code == 0, found.stderr
    tree = json.loads(found.stdout)
    assert [row["shots"] for row in tree["rows"]] == [1, 2] and tree["ways"] == 3
    assert "Nearest stored item" in (tmp_path / "a" / "report.html").read_text()
    assert CliRunner().invoke(main, ["measure", str(tmp_path / "a")]).exit_code == 0


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["episodes.ways=1"], "episodes.ways"),
        (["episodes.shots=[]"], "episodes.shots"),
        (["episodes.shots=[0]"], "episodes.shots"),
        (["code.active=2000"], "code.active: must be < code.size 1024"),
    ],
)
def test_bad_settings_are_named(sets: list[str], message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        small(*sets)


def test_too_few_items_are_refused_with_the_numbers(tmp_path: Path) -> None:
    rule = r"episodes.ways: needs 5 classes of at least 43 items \(40 shots and 3 queries\), and 'test' has 0 of 10"
    with pytest.raises(NeurosimInputError, match=rule):
        start(KIND, small("episodes.shots=[40]"), RunOptions(out=tmp_path / "a", quiet=True))
