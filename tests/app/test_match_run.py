"""`neurosim match`: the same recordings as two senses are matched, permuted names are not, and pairs are all there."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from helpers import command

from neurosim import NeurosimError
from neurosim.base import NeurosimInputError

pytest.importorskip("torch")
from neurosim.learning.liquid.cross_modal import Contrast

refused = partial(command.refused, "match")
SMALL = ("--each", "12", "--set", "neurons=80", "--set", "seen.limit=100", "--set", "heard.limit=100")


@pytest.mark.slow
def test_the_same_recordings_are_matched_and_permuted_names_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("digits", "digits", *SMALL, "--new", "6,7,8,9", "--shots", "0,5", "--out", "a")
    result = command.result_of("match", *words)
    rows = {(row["shots"], row["renamed"]): row["mean"] for row in result["rows"]}
    assert result["new"] == [["6", "7", "8", "9"]] and list(rows) == [(0, False), (0, True), (5, False)]
    # Both liquids are the same: what is learned of some digits says a little of where the others lie.
    assert rows[5, False] > 0.5 > rows[0, False] > rows[0, True] > 0.15 and result["known"] > 0.8
    page = (Path("a") / "report.html").read_text()
    assert "Matching digits with digits" in page and "names of the second sense permuted" in page


@pytest.mark.slow
def test_each_pair_is_new_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ("--set", "contrast.steps=1", "--set", "contrast.components=5", "--set", "windows=1")
    words = ("digits", "digits", *SMALL, *quick, "--shots", "0", "--out", "a")
    result = command.result_of("match", *words)
    assert [tuple(pair) for pair in result["new"]] == list(combinations("0123456789", 2))
    for row in result["rows"]:
        assert len(row["values"]) == 45 and row["mean"] == pytest.approx(np.mean(row["values"]))
    assert "Share of right choices of each set" in (Path("a") / "report.html").read_text()


def test_errors_of_recordings_name_the_sense(tmp_path: Path) -> None:
    message = refused("digits", "digits", "--set", "heard.held_out_speaker=3")
    assert message.endswith("heard.held_out_speaker: digits has no speakers; leave it out")
    message = refused("nmnist", "digits", "--seen-root", str(tmp_path / "gone"))
    assert "seen.root: " in message and "name it with --set seen.root=FOLDER" in message


def test_settings_of_a_dataset_have_no_use() -> None:
    message = refused("digits", "digits", "--set", "heard.like=nmnist")
    assert "heard.like: has no use in a run whose settings are those of no dataset; leave it out" in message


def test_classes_without_test_recordings_are_refused() -> None:
    message = refused("digits", "digits", "--new", "8,9", "--set", "heard.limit=8")
    assert "heard.limit: must leave test recordings of the classes" in message
    assert message.endswith("and has none of [8, 9] (got 8)")


def test_a_projection_that_has_left_the_numbers_says_so() -> None:
    draws = np.random.default_rng(0)
    items = draws.normal(size=(12, 5)), np.arange(12) % 2
    with pytest.raises(NeurosimError, match=r"contrast: the loss is not finite at step 1 of 5; lower contrast\.learn"):
        Contrast(steps=5, temperature=1e-300).fit(*items, *items)
    with pytest.raises(NeurosimInputError, match=r"Contrast.learning_rate: must be > 0 and < 1e38 \(got 1e\+300\)"):
        Contrast(learning_rate=1e300)


def test_what_cannot_be_matched_is_refused() -> None:
    message = refused("digits", "digits", "--set", "neurons=30")
    assert message.endswith("neurons: must be at least 31: a neuron has synapses from 30 others (got 30)")
    assert "new: must be two classes at least, each once" in refused("digits", "digits", "--new", "3")
    message = refused("digits", "digits", "--new", "3,12")
    assert "new: must be classes that both senses have" in message and message.endswith("(got [12])")
    assert "--shots: must be integers such as 1,5,20 (got few)" in refused("digits", "digits", "--shots", "few")
