"""Parts of the training recordings that are answered in turn, and two networks compared recording by recording."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def paired() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARKS / "paired.py"))


class Some:
    """Recordings of which only the labels and numbers matter here."""

    def __init__(self, labels: np.ndarray, numbers: np.ndarray) -> None:
        self.labels = labels
        self.numbers = numbers

    def select(self, chosen: np.ndarray) -> Some:
        return Some(self.labels[chosen], self.numbers[chosen])


def test_parts_alone_are_those_of_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    functions = runpy.run_path(str(BENCHMARKS / "training.py"))
    sets = functions["sets"]
    labels = np.repeat(np.arange(4), [13, 20, 27, 21])
    whole = Some(labels, np.arange(81))
    monkeypatch.setitem(sets.__globals__, "data", lambda name: ("N-MNIST", whole, whole))
    every = list(sets("nmnist", 5, []))
    assert [title for title, *_ in every] == [f"N-MNIST, part {k} of 5" for k in range(1, 6)]
    assert sorted(np.concatenate([test.numbers for *_, test in every])) == list(range(81))
    for *_, train, test in every:
        assert not np.intersect1d(train.numbers, test.numbers).size and len(train.numbers) + len(test.numbers) == 81
        assert np.all(np.abs(np.bincount(test.labels) - np.bincount(labels) / 5) < 1)
    for (title, _, _, test), k in zip(sets("nmnist", 5, [4, 2]), (3, 1), strict=True):
        assert title == every[k][0] and np.array_equal(test.numbers, every[k][3].numbers)


def test_several_members_are_trained_and_summed() -> None:
    pytest.importorskip("torch")
    from neurosim.app.runs.train.config import TrainConfig
    from neurosim.data import catalog

    trained = runpy.run_path(str(BENCHMARKS / "training.py"))["trained"]
    whole = catalog.load("digits", "train")
    train, test = whole.select(np.arange(60)), whole.select(np.arange(60, 100))
    sets = ["training.epochs=1", "validation.fraction=0"]

    def run(seed: int, members: int) -> dict[str, Any]:
        values = {"data.name": "digits", "seed": seed, "members": members}
        found: dict[str, Any] = trained(TrainConfig.configure(None, sets, values), train, test)
        return found

    one, other, both = run(4, 1), run(5, 1), run(4, 2)
    assert both["members"] == [one["test"], other["test"]] and one["members"] == [one["test"]]
    assert both["operations"] == one["operations"] + other["operations"]
    assert both["parameters"] == one["parameters"] + other["parameters"]
    assert both["engine"] == pytest.approx(both["test"])


@pytest.mark.parametrize("words", ["--parts 2", "--folds 5 --parts 0", "--folds 5 --parts 6"])
def test_a_part_that_there_is_not_is_refused(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(sys, "argv", ["training.py", "nmnist", *words.split()])
    with pytest.raises(SystemExit):
        runpy.run_path(str(BENCHMARKS / "training.py"), run_name="__main__")
    assert "--parts: must be from 1 to --folds" in capsys.readouterr().err


def test_networks_are_compared_recording_by_recording(paired: dict[str, Any], tmp_path: Path) -> None:
    def file(name: str, wrong: dict[int, list[int]]) -> Path:
        rows = [{"title": f"part {k}", "tested": 50, "runs": [{"wrong": which}]} for k, which in wrong.items()]
        (tmp_path / name).write_text(json.dumps({"rows": rows}))
        return tmp_path / name

    first = paired["read"]([file("a", {1: [3, 4, 5]}), file("b", {2: [7]})])
    second = paired["read"]([file("c", {2: [7, 8], 1: [5], 3: [0, 1, 2]})])
    found = paired["compare"](first, second)
    # Part 3 is the second's alone.
    assert (found.items, found.first_only, found.second_only) == (100, 1, 2)
    assert found.difference == pytest.approx(0.01)
    assert paired["accuracy"](first).startswith("0.9400, 0.9800: 0.9600 of 100 (0.9016 to 0.9843)")


def test_the_answers_of_both_together(paired: dict[str, Any]) -> None:
    def rows(*scores: list[float]) -> dict[str, Any]:
        return {"part 1": {"tested": 3, "runs": [{"scores": list(scores), "labels": [0, 1, 1]}]}}

    # Probabilities of the first class .7, .9, .4 and .5, .2, .3: products favour the first class in the first two.
    first, second = (rows(*np.log([[p, 1 - p] for p in each]).tolist()) for each in ((0.7, 0.9, 0.4), (0.5, 0.2, 0.3)))
    assert paired["together"](first, second).startswith("0.6667 of 3 ")
    # A constant added to the scores of a recording changes no probability.
    moved = rows(*(np.log([[p, 1 - p] for p in (0.7, 0.9, 0.4)]) + 5).tolist())
    assert paired["together"](moved, second) == paired["together"](first, second)


def test_the_paired_interval_and_p_value(paired: dict[str, Any]) -> None:
    # The discordant pairs of McNemar's exact test: 2 sum_{k <= 2} C(12, k) / 2^12.
    assert paired["paired"](800, 10, 2).p == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert paired["paired"](800, 0, 0).p == 1.0
    one = paired["paired"](800, 10, 2)
    other = paired["paired"](800, 2, 10)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low)) and one.difference == -0.01
    # Of many draws of 200 pairs, of which 4 % differ one way and 2 % the other, 95 % of intervals hold the difference.
    held = 0.0
    for a in range(24):
        for b in range(16):
            found = paired["paired"](200, a, b)
            weight = binom.pmf(a, 200, 0.04) * binom.pmf(b, 200 - a, 0.02 / 0.96)
            held += weight * (found.low <= -0.02 <= found.high)
    assert 0.945 < held < 0.975
