"""Print the tables of pairs, and exit with 1 if a cell is empty and unexplained: `make pairs`.

Each module `pairs_<name>.py` of this folder has a function `table() -> PairTable`. Names as arguments choose some of
them: `PYTHONPATH=tests python -m guard networks`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from guard.pairs import PairTable


def names() -> list[str]:
    """Return the names of the tables: "networks" for `pairs_networks.py`."""
    return sorted(path.stem.removeprefix("pairs_") for path in Path(__file__).parent.glob("pairs_*.py"))


def table(name: str) -> PairTable:
    made: PairTable = importlib.import_module(f"guard.pairs_{name}").table()
    return made


def main(chosen: list[str]) -> int:
    unknown = sorted(set(chosen) - set(names()))
    if unknown:
        print(f"unknown table {unknown[0]!r}; choose from {', '.join(names())}", file=sys.stderr)
        return 2
    tables = [table(name) for name in chosen or names()]
    for each in tables:
        print(each.render(), end="\n\n")
    return 0 if all(each.is_full() for each in tables) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
