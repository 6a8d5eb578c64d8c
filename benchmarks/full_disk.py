"""A full disk at every write of every kind of run, and writes that take half of what they are given.

python benchmarks/full_disk.py                           every 8th write of each kind
python benchmarks/full_disk.py --kinds train --every 1   every write of one kind

The disk is full from a write on, or refuses that one alone; a run must then end with one line that says so, and, with
room again, continue or start anew and end with the figures of a run that was left alone. Exits with 1 where one does
not. Needs Linux and a compiler of C.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import frame

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def main() -> int:
    parser = frame.arguments(__doc__)
    parser.add_argument("--kinds", nargs="*", help="all")
    parser.add_argument("--every", type=int, default=8, help="of how many writes one is refused")
    options = parser.parse_args()
    from helpers.full_disk import KINDS, fill_many

    rows = []
    for kind in options.kinds or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            found = fill_many(KINDS[kind], Path(folder), every=options.every)
        for words in found["wrong"]:
            frame.say(f"    {words}")
        rows.append({"kind": kind, **found, "wrong": len(found["wrong"])})
        frame.say(str(rows[-1]))
    frame.report(options, frame.records(rows), {"rows": rows})
    return int(any(row["wrong"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
