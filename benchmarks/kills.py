"""Kill -9 of every kind of run that can continue, at writes and moments; then continued, and killed again.

python benchmarks/kills.py                          100 kills each of simulate, train, continual and memory
python benchmarks/kills.py --kinds train --kills 20

A run is lost if it cannot be continued, or started anew where it had not begun; it differs if its results, all but
wall-clock times, are not those of a run that was left alone. Exits with 1 where any was lost or differs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import frame

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

NAMED = ("simulate", "train", "continual", "episodes")


def killed(kind: str, count: int) -> dict[str, Any]:
    """Return kills, runs, the most kills of one, the runs that differ, and why one was lost."""
    from helpers.killed import kill_many
    from helpers.kills import KINDS
    from helpers.results import untimed
    from helpers.tasks import SMALL

    row: dict[str, Any] = {"kind": kind, "kills": 0, "runs": 0, "most of one": 0, "different": 0, "lost": ""}
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("stream.toml").write_text(SMALL)
        try:
            kills = kill_many(replace(KINDS[kind], count=count))
        except AssertionError as error:
            return row | {"lost": str(error).strip().splitlines()[-1]}
        finally:
            os.chdir(here)
        files = {name: Path(folder, name, "metrics.json") for name in ("whole", *kills)}
        results = {name: untimed(json.loads(path.read_text())) for name, path in files.items()}
        different = sum(results[name] != results["whole"] for name in kills)
        most = max(kills.values())
        return row | {"kills": sum(kills.values()), "runs": len(kills), "most of one": most, "different": different}


def main() -> int:
    parser = frame.arguments(__doc__)
    parser.add_argument("--kills", type=int, default=100, help="of each kind")
    parser.add_argument("--kinds", nargs="*", default=NAMED)
    options = parser.parse_args()
    rows = []
    for kind in options.kinds:
        rows.append(killed(kind, options.kills))
        frame.say(str(rows[-1]))
    frame.report(options, frame.records(rows), {"rows": rows})
    return int(any(row["lost"] or row["different"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
