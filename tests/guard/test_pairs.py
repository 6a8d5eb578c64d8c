"""The table of pairs itself: what is missing, what contradicts itself, and how it is printed."""

from __future__ import annotations

import pytest

from guard.__main__ import main, names
from guard.pairs import PairTable


def small() -> PairTable:
    table = PairTable("example", {"kind": ["gla", "rwkv"], "threads": ["1 thread", "2 threads"]}, least=2)
    table.case(["gla", "1 thread"])
    table.case(["gla", "1 thread"])
    table.case(["gla", "2 threads"])
    table.cannot("rwkv", "2 threads", "the state cannot be cut")
    return table


def test_pairs_that_met_too_rarely_are_missing_unless_a_reason_is_given() -> None:
    table = small()
    assert table.missing() == [("gla", "2 threads"), ("rwkv", "1 thread")]
    assert not table.is_full()
    table.met("gla", "2 threads")
    table.met("rwkv", "1 thread", times=2)
    assert table.is_full()


def test_a_reason_that_is_not_true_is_a_contradiction() -> None:
    table = small()
    table.met("rwkv", "2 threads")
    assert table.contradictions() == [("rwkv", "2 threads")]
    assert not table.is_full()


def test_features_of_one_axis_need_not_meet_unless_a_case_may_have_several() -> None:
    assert ("gla", "rwkv") not in small().pairs()
    both = PairTable("example", {"kind": ["gla", "rwkv"]}, several=frozenset({"kind"}))
    assert both.missing() == [("gla", "rwkv")]


def test_the_printed_table_shows_counts_reasons_and_gaps() -> None:
    lines = small().render().splitlines()
    assert lines[0] == "example: 3 cases, each pair at least 2 times"
    assert lines[2].split() == ["1", "gla"]
    assert lines[3].split() == ["2", "rwkv", "."]
    assert lines[4].split() == ["3", "1", "thread", "2", "!"]
    assert lines[5].split() == ["4", "2", "threads", "1!", "a", "."]
    assert "a: the state cannot be cut" in lines
    assert "missing: gla with 2 threads (1)" in lines


def test_an_unknown_feature_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown feature 'delta'"):
        small().met("gla", "delta")
    with pytest.raises(ValueError, match="a pair is of two features"):
        small().met("gla", "gla")


def test_the_command_has_four_tables_and_refuses_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert names() == ["conversions", "networks", "pipelines", "readers"]
    assert main(["network"]) == 2
    assert "unknown table 'network'" in capsys.readouterr().err


def test_the_command_prints_a_table_and_says_that_it_is_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["readers"]) == 0
    assert "missing" not in capsys.readouterr().out
