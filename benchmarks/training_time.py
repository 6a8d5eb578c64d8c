"""CPU time of a whole training on N-MNIST, 578-128-10 in 15 epochs, beside SpikingJelly.

    NEUROSIM_DATA=FOLDER python benchmarks/training_time.py [--rounds 5] [--epochs 15] [--repeat 1] [--threads 1]

Each library runs in a process of its own, in turn, after a run of one epoch that does not count; what exactly is in
`benchmarks/peers/run_training.py`. CPU seconds are medians over the rounds, the ratio is the median over pairs of
processes that followed one another, with the smallest and the largest. `--repeat 10 --epochs 5` learns from 8,000
recordings an epoch, ten copies of each: a library's start is then a small part. `--repeat 75 --epochs 2` has the 60,000
recordings of N-MNIST, and takes 5 GB of memory. SpikingJelly needs `make peers`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import frame

HERE = Path(__file__).parent
RUNNER = HERE / "peers" / "run_training.py"
PEERS_PYTHON = HERE.parent / ".venv-peers" / "bin" / "python"
TIMES = ("cpu_s", "training_s")


def run(library: str, frames: Path, threads: int, epochs: int, repeat: int) -> dict[str, float]:
    """Figures of one process."""
    python = Path(sys.executable) if library == "neurosim" else PEERS_PYTHON
    settings = {"--frames": frames, "--epochs": epochs, "--repeat": repeat, "--threads": threads}
    words = [str(word) for pair in settings.items() for word in pair]
    done = subprocess.run([str(python), str(RUNNER), library, *words], capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def main() -> None:
    parser = frame.arguments(__doc__, rounds=5, threads=1)
    parser.add_argument("--epochs", type=int, default=15, help="passes over the training recordings (default 15)")
    parser.add_argument("--repeat", type=int, default=1, help="copies of each recording an epoch (default 1)")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {"neurosim": [], "spikingjelly": []}
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "frames.npz"
        # One epoch of each first: code that is compiled is then in its cache, and files are in memory.
        for library in runs:
            run(library, frames, options.threads, epochs=1, repeat=1)
        for number in range(options.rounds):
            for library, found in runs.items():
                frame.say(f"round {number + 1}: {library}")
                found.append(run(library, frames, options.threads, options.epochs, options.repeat))
    cells = []
    for library, found in runs.items():
        medians = [f"{statistics.median(each[key] for each in found):.2f}" for key in TIMES]
        cells.append([library, *medians, f"{statistics.mean(each['accuracy'] for each in found):.3f}"])
    lines = frame.table(["library", "CPU s, process", "CPU s, training", "accuracy"], cells)
    pairs = list(zip(runs["neurosim"], runs["spikingjelly"], strict=True))
    ratios = {key: sorted(theirs[key] / ours[key] for ours, theirs in pairs) for key in TIMES}
    for key, found in ratios.items():
        lines.append(
            f"SpikingJelly takes {statistics.median(found):.2f} times {key} ({found[0]:.2f} to {found[-1]:.2f})"
        )
    frame.report(options, lines, {"runs": runs, "ratios": ratios})


if __name__ == "__main__":
    main()
