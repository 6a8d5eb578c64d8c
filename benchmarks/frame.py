"""The frame of the scripts of this folder: their options, times, tables, and the lines or the JSON that they print."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from machine import describe, line

HELP = {
    "repeats": "timed runs of each",
    "rounds": "timed rounds of all, in turn",
    "seeds": "runs of each, from seed 0 on",
    "threads": "threads",
    "steps": "steps of each run",
}


def arguments(about: str | None, **counts: int) -> argparse.ArgumentParser:
    """Return a parser with `--json` and an integer option, with its default, for each of `counts`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in counts.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{HELP[name]} (default {default})")
    parser.add_argument("--json", action="store_true", help="print one JSON object; the tables go to standard error")
    return parser


def seconds(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds that a call takes."""
    start = clock()
    call()
    return clock() - start


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table: its first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *others in cells:
        right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join((first.ljust(widths[0]), *right)).rstrip())
    return lines


def records(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the table of dictionaries: a column for each key, in the order of their first appearance."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    if not rows:
        return []
    return table(heads, ([shown(row.get(key, "")) for key in heads] for row in rows))


def shown(value: object) -> str:
    """Return a cell: four digits of a float below 1,000, commas in larger numbers, "-" for None."""
    if value is None:
        return "-"
    if isinstance(value, float):
        if abs(value) >= 1000:
            return f"{value:,.0f}"
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def say(text: str) -> None:
    """Print a line of progress to standard error."""
    print(text, file=sys.stderr, flush=True)


def report(
    options: argparse.Namespace,
    lines: Iterable[str],
    result: Mapping[str, object],
    machine: Mapping[str, object] | None = None,
) -> None:
    """Print the machine and the lines; with `--json` these to standard error, and the machine and `result` as JSON.

    The machine is described for the `threads` of the options, or one, if it is not passed.
    """
    if machine is None:
        machine = describe(getattr(options, "threads", 1))
    print(line(machine), *lines, sep="\n", file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        print(json.dumps({"machine": machine, **result}))
