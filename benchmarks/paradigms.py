"""Measure what each paradigm costs on the same recordings: the commands of the package on one dataset.

    python benchmarks/paradigms.py [--dataset digits] [--only liquid trained ...] [--markdown] [--json]

Operations, bytes and energy are those of one test recording (estimates: 45 nm figures, see `neurosim.base.measure`);
the dense equivalent does every operation of the same network in every step. Accuracies are of the whole test split,
once, with the settings that each command has by default, and all training recordings.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import frame

EXAMPLES = Path(__file__).parent.parent / "examples"
# The first commands on the embedded digits learn a part of them.
ALL = ["--set", "data.train_limit=1000000000"]
# By name: what it is, and the words after `neurosim`.
PARADIGMS: dict[str, tuple[str, list[str]]] = {
    "liquid": ("liquid of 1,000 neurons, ridge readout", ["simulate", "DATASET"]),
    "trained": ("trained spiking network", ["train", "DATASET", *ALL]),
    "recogniser": ("hierarchy of macrocolumns, each item once", ["memory", "recognise", "DATASET"]),
    "column": ("one macrocolumn on expanded codes, each item once", ["memory", "store", "DATASET", *ALL]),
    "columns": ("pipeline: camera, edges, columns, readout", ["simulate", "--config", f"{EXAMPLES}/16_columns.toml"]),
    "tasks": ("pipeline: liquid, projected readout, 5 tasks", ["simulate", "--config", f"{EXAMPLES}/17_tasks.toml"]),
    "sequence": ("pooler and temporal memory: columns predicted rightly", ["memory", "sequence", "DATASET"]),
}


def run(words: Sequence[str], dataset: str, out: Path) -> dict[str, object]:
    """The results of a command as it prints them with --json."""
    given = [dataset if word == "DATASET" else word for word in words]
    command = [sys.executable, "-m", "neurosim", *given, "--json", "--quiet", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(given)}: {done.stderr.strip()}")
    found: dict[str, object] = json.loads(done.stdout)
    return found


def row(name: str, result: dict) -> dict[str, object]:
    measures = result["measures"]
    energy = result["energy"]
    operations = measures["synaptic_operations"]
    effective = (operations["Effective_ACs"] or 0) + (operations["Effective_MACs"] or 0)
    return {
        "paradigm": PARADIGMS[name][0],
        "accuracy": result.get("accuracy"),
        "samples": result.get("samples"),
        "operations": effective,
        "dense_operations": operations["Dense"],
        "bytes": measures["footprint"],
        "compute_only": energy["compute_only"],
        "memory_aware": energy["memory_aware"],
    }


def cells(found: dict) -> list[str]:
    compute = found["compute_only"]
    memory = found["memory_aware"]
    return [
        str(found["paradigm"]),
        f"{found['accuracy']:.3f} of {found['samples']}",
        f"{found['operations']:,.0f}",
        f"{found['dense_operations'] / max(found['operations'], 1):,.0f}x",
        f"{found['bytes'] / 1e6:.1f} MB",
        _joules(compute),
        _joules(memory),
    ]


def _joules(estimate: dict | None) -> str:
    """An estimate as a range, in microjoules; None where the profile has no figure."""
    if estimate is None:
        return "-"
    low, high = (_three(1e6 * estimate[end]) for end in ("low", "high"))
    return f"{low} uJ" if low == high else f"{low} to {high} uJ"


def _three(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


HEADS = ["paradigm", "accuracy", "operations", "dense", "bytes", "arithmetic", "with memory"]


def main() -> None:
    parser = frame.arguments(__doc__)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--only", nargs="+", choices=PARADIGMS, default=list(PARADIGMS))
    parser.add_argument("--markdown", action="store_true", help="print the table for the documents")
    options = parser.parse_args()
    rows = []
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row(name, run(PARADIGMS[name][1], options.dataset, Path(folder) / "run")))
    if options.markdown:
        for line in (HEADS, ["---"] * len(HEADS), *map(cells, rows)):
            print(f"| {' | '.join(line)} |")
        return
    frame.report(options, frame.table(HEADS, map(cells, rows)), {"dataset": options.dataset, "rows": rows})


if __name__ == "__main__":
    main()
