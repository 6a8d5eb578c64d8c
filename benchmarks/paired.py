"""Two kinds of network on the same recordings: accuracies, and their paired difference.

    python benchmarks/paired.py --first A.json [...] --second B.json [...]

The files are output of `benchmarks/training.py --json`; each may hold some of the parts. Rows of the same title are
compared recording by recording, seed by seed, by the answers of the engine or of the network in spikes. The interval of
an accuracy is Wilson's, that of the difference Bonett & Price's (2012), the p value McNemar's exact one. They hold for
the networks as trained: the spread over seeds is not in them. Last comes the accuracy of both together, by the product
of the probabilities that their scores give.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import frame
import numpy as np
from scipy.special import log_softmax
from scipy.stats import binomtest

from neurosim.app.runs.score import Z95, wilson

Rows = dict[str, dict[str, Any]]


class Paired(NamedTuple):
    """Second accuracy minus first over the same `items`: its 95 % interval, and McNemar's p value.

    Attributes:
        first_only: items that only the first answers rightly.
        second_only: items that only the second answers rightly.
    """

    items: int
    first_only: int
    second_only: int
    difference: float
    low: float
    high: float
    p: float


def paired(items: int, first_only: int, second_only: int) -> Paired:
    """Return the difference of two accuracies over the same items, and what is known of it."""
    difference = (second_only - first_only) / items
    # One item more of each kind: the interval stays right where few items differ.
    a = (first_only + 1) / (items + 2)
    b = (second_only + 1) / (items + 2)
    half = Z95 * math.sqrt((a + b - (b - a) ** 2) / (items + 2))
    differ = first_only + second_only
    if differ:
        p = float(binomtest(first_only, differ).pvalue)
    else:
        p = 1.0
    return Paired(items, first_only, second_only, difference, b - a - half, b - a + half, p)


def read(paths: list[Path]) -> Rows:
    """Return the rows of all files by title."""
    return {row["title"]: row for path in paths for row in json.loads(path.read_text())["rows"]}


def accuracy(rows: Rows) -> str:
    """Return the accuracy of each row and of all, with its interval."""
    each = [f"{1 - _wrong(row) / _answered(row):.4f}" for row in rows.values()]
    items = sum(map(_answered, rows.values()))
    wrong = sum(map(_wrong, rows.values()))
    return f"{', '.join(each)}: {_share(items - wrong, items)}"


def together(first: Rows, second: Rows) -> str:
    """Return the accuracy of the summed logarithms of both networks' probabilities, over the runs that both have."""
    items = 0
    right = 0
    for title in first.keys() & second.keys():
        for one, other in zip(first[title]["runs"], second[title]["runs"], strict=False):
            total = sum(log_softmax(np.asarray(run["scores"]), axis=1) for run in (one, other))
            right += int((total.argmax(axis=1) == np.asarray(one["labels"])).sum())
            items += len(total)
    return _share(right, items)


def compare(first: Rows, second: Rows) -> Paired:
    """Return the paired difference over the runs that both have."""
    titles = first.keys() & second.keys()
    if not titles:
        names = [", ".join(sorted(rows)) for rows in (first, second)]
        raise SystemExit(f"--first, --second: must have rows of one title (got {names[0]}; {names[1]})")
    items = 0
    first_only = 0
    second_only = 0
    for title in titles:
        tested = first[title]["tested"]
        for one, other in zip(first[title]["runs"], second[title]["runs"], strict=False):
            ours = set(one["wrong"])
            theirs = set(other["wrong"])
            items += tested
            first_only += len(theirs - ours)
            second_only += len(ours - theirs)
    return paired(items, first_only, second_only)


def _share(right: int, items: int) -> str:
    low, high = wilson(right, items)
    return f"{right / items:.4f} of {items} ({low:.4f} to {high:.4f})"


def _answered(row: dict[str, Any]) -> int:
    return row["tested"] * len(row["runs"])


def _wrong(row: dict[str, Any]) -> int:
    return sum(len(run["wrong"]) for run in row["runs"])


def main() -> None:
    parser = frame.arguments(__doc__)
    parser.add_argument("--first", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--second", type=Path, nargs="+", required=True, metavar="FILE")
    options = parser.parse_args()
    first = read(options.first)
    second = read(options.second)
    both = compare(first, second)
    lines = [
        f"first  {accuracy(dict(sorted(first.items())))}",
        f"second {accuracy(dict(sorted(second.items())))}",
        f"second - first over {both.items}: {both.difference:+.4f} ({both.low:+.4f} to {both.high:+.4f})",
        f"right in one alone: first {both.first_only}, second {both.second_only}; McNemar p = {both.p:.3f}",
        f"both together {together(first, second)}",
    ]
    frame.report(options, lines, both._asdict())


if __name__ == "__main__":
    main()
