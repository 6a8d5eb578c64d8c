"""Run the scripts behind figures of engine.md, edges.md and scaling.md, one after another, on an idle machine.

The output of each goes to a file of the folder, named as the script is. About 40 minutes on two cores with the peers of
`make peers`; `--only fly microcircuit` runs some of them. The whole microcircuit takes 1.5 GB.

    python benchmarks/engine_figures.py [--folder FOLDER] [--only NAME ...]
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import frame

HERE = Path(__file__).parent
COMMANDS = {
    "fly": ["fly.py"],
    "fly_peer": ["fly.py", "--neurons", "2000", "--edges", "400000", "--duration", ".3", "--peer"],
    "microcircuit": ["microcircuit.py", "--scale", "1", "--peers"],
    "microcircuit_small": ["microcircuit.py", "--scale", ".2"],
    "populations": ["populations.py"],
    "brunel": ["brunel.py"],
    "brunel_drawn": ["brunel.py", "--weights", "drawn"],
    "cuba": ["cuba.py"],
    "cuba_one_thread": ["cuba.py", "--threads", "1"],
    "coba": ["coba.py"],
    "coba_one_thread": ["coba.py", "--threads", "1"],
    "plasticity": ["plasticity.py"],
    "core": ["core.py"],
    "cluster": ["cluster.py"],
    "mpi": ["mpi.py"],
    "mpi_whole": ["mpi.py", "--scale", "1"],
}


def main() -> int:
    parser = frame.arguments(__doc__)
    parser.add_argument("--folder", type=Path, default=Path("figures"), help="for the output (default figures)")
    parser.add_argument("--only", nargs="+", choices=list(COMMANDS), default=list(COMMANDS), help="of the scripts")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    rows = []
    for name in options.only:
        script, *words = COMMANDS[name]
        begin = time.perf_counter()
        with (options.folder / f"{name}.txt").open("w") as file:
            command = [sys.executable, str(HERE / script), *words]
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
        rows.append({"script": name, "s": time.perf_counter() - begin, "status": done.returncode})
        frame.say(f"{name}: {rows[-1]['s']:.0f} s, status {done.returncode}")
        if done.returncode:
            failed.append(name)
    frame.report(options, frame.records(rows), {"scripts": rows})
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
