"""Hold random networks to the reference, and exit with 1 if one differs.

`PYTHONPATH=tests python -m guard.check 0 1400` runs those of seeds 0 to 1399.
"""

from __future__ import annotations

import sys
import time

from guard.compare import check
from guard.networks import case


def main(first: int, end: int) -> int:
    wrong = []
    ties = []
    begin = time.process_time()
    for seed in range(first, end):
        made = case(seed)
        verdict = check(made)
        if verdict.tie:
            ties.append(seed)
        elif verdict.differences:
            wrong.append(seed)
            print(made, *verdict.differences[:5], sep="\n    ", flush=True)
        if (seed + 1 - first) % 100 == 0:
            print(f"{seed + 1 - first} networks", flush=True)
    seconds = time.process_time() - begin
    print(f"{end - first} networks in {seconds:.0f} s: {len(wrong)} differ {wrong}, {len(ties)} ties {ties}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
