"""Kill -9 of every kind of run that can continue, at writes and moments; then continued, and killed again.

python benchmarks/kills.py                          100 kills each of simulate, train, continual and memory
python benchmarks/kills.py --kinds train --kills 20

A run is lost if it cannot be continued, or started anew where it had not begun; it differs if its results, all but
wall-clock times, are not those of a run that was left alone. Exits with 1 where any was lost or differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

NAMED = ("simulate", "train", "continual", "episodes")


def killed(kind: str, count: int) -> tuple[int, int, int, int, str]:
    """Return kills, runs, the most kills of one, the runs that differ, and why one was lost."""
    from helpers.killed import kill_many
    from helpers.tasks import SMALL
    from runs.test_kills import KINDS, untimed

    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("stream.toml").write_text(SMALL)
        try:
            found = kill_many(replace(KINDS[kind], count=count))
        except AssertionError as error:
            return 0, 0, 0, 0, str(error).strip().splitlines()[-1]
        finally:
            os.chdir(here)
        files = {name: Path(folder, name, "metrics.json") for name in ("whole", *found)}
        results = {name: untimed(json.loads(path.read_text())) for name, path in files.items()}
        different = sum(results[name] != results["whole"] for name in found)
        return sum(found.values()), len(found), max(found.values()), different, ""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of each kind")
    parser.add_argument("--kinds", nargs="*", default=NAMED)
    chosen = parser.parse_args(argv)
    print(f"{'kind':12}{'kills':>8}{'runs':>8}{'most of one':>14}{'lost':>8}{'different':>12}", flush=True)
    bad = False
    for kind in chosen.kinds:
        kills, runs, most, different, lost = killed(kind, chosen.kills)
        print(f"{kind:12}{kills:8}{runs:8}{most:14}{int(bool(lost)):8}{different:12}  {lost}".rstrip(), flush=True)
        bad = bad or bool(lost) or different > 0
    return int(bad)


if __name__ == "__main__":
    raise SystemExit(main())
