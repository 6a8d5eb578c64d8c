"""The frame of the benchmarks: options, tables, and a report in words or as JSON."""

from __future__ import annotations

import json

import frame
import pytest

MACHINE = {"cpu": "a processor", "cores": 2, "memory_gib": 4.0, "threads": 1, "random_access_per_s": 1.5e8}
LINE = "a processor, 2 cores, 4.0 GiB, 1 threads; random read-modify-write limit 1.5e+08/s"


def test_options_have_their_defaults_and_more_can_be_added() -> None:
    parser = frame.arguments("What it measures.\n\n    an example", repeats=5, seeds=3)
    parser.add_argument("--units", type=int, default=8)
    options = parser.parse_args(["--seeds", "2"])
    assert vars(options) == {"repeats": 5, "seeds": 2, "json": False, "units": 8}
    assert "\n    an example\n" in parser.format_help() and "(default 5)" in parser.format_help()


def test_tables_are_as_wide_as_their_cells() -> None:
    assert frame.table(["", "ms"], [["a", "1.50"], ["longer", 12]]) == [
        "          ms",
        "a       1.50",
        "longer    12",
    ]
    rows = [{"name": "a", "s": 0.123456, "spikes": 1234}, {"name": "b", "s": 12345.6, "of": None}]
    assert frame.records(rows) == [
        "name       s  spikes  of",
        "a     0.1235   1,234",
        "b     12,346           -",
    ]
    assert frame.records([]) == []


def test_a_report_is_words_or_json_beside_them(capsys: pytest.CaptureFixture[str]) -> None:
    parser = frame.arguments("About.")
    frame.report(parser.parse_args([]), ["one", "two"], {"rows": [1]}, MACHINE)
    assert capsys.readouterr().out.splitlines() == [LINE, "one", "two"]
    frame.report(parser.parse_args(["--json"]), ["one"], {"rows": [1]}, MACHINE)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"machine": MACHINE, "rows": [1]}
    assert printed.err.splitlines() == [LINE, "one"]


def test_seconds_are_those_of_the_call() -> None:
    ticks = iter([1.0, 3.5])
    assert frame.seconds(lambda: None, lambda: next(ticks)) == 2.5
