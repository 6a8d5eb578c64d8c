"""Cost against size: time per synaptic event and bytes per synapse of neurosim, from 1e6 synapses to 3e8."""

from __future__ import annotations

import argparse
import json
import statistics
import sys

import harness
from machine import describe

SIZES = (1e6, 3e6, 1e7, 3e7, 1e8, 3e8)


def measure(synapses: float, chosen: argparse.Namespace) -> dict[str, float]:
    """Medians over the repeats of a network of this many synapses, 1,000 to a neuron."""
    passed = argparse.Namespace(
        seconds=chosen.seconds, scale=synapses / 1e6, weights="constant", warmup=None, **common(chosen)
    )
    runs = harness.Runs()
    harness.prime(runs, "growing", passed)
    for _ in range(chosen.repeats):
        if runs.missing is None:
            harness.repeat(runs, harness.OURS, "growing", passed)
    middle = runs.median()
    if "missing" in middle:
        raise SystemExit(f"{synapses:g} synapses: {runs.missing}")
    return {
        "synapses": synapses,
        **{key: middle[key] for key in harness.FIGURES},
        "ns_per_event": statistics.median(1e9 / r["synaptic_events_per_s"] for r in runs.kept),
        "bytes_per_synapse": middle["stored_bytes"] / synapses,
        "peak_bytes_per_synapse": middle["peak_rss_mb"] * 2**20 / synapses,
        "disturbed": runs.disturbed,
    }


def common(chosen: argparse.Namespace) -> dict[str, int]:
    return {"threads": chosen.threads, "tries": chosen.tries}


def spread(rows: list[dict[str, float]], key: str) -> float:
    """The largest over the smallest: 1 is flat."""
    return max(row[key] for row in rows) / min(row[key] for row in rows)


def row_of(row: dict[str, float]) -> str:
    return (
        f"{row['synapses']:10.1e}{row['build_s']:9.2f}{row['sim_s']:10.3f}{row['ns_per_event']:10.3f}"
        f"{row['bytes_per_synapse']:10.2f}{row['peak_rss_mb']:9.0f}{row['rate_hz']:9.1f}{row['disturbed']:7}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object; the table goes to standard error")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tries", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--sizes", type=float, nargs="*", default=SIZES, help="numbers of synapses, from 1e6 up")
    chosen = parser.parse_args()
    machine = describe(chosen.threads)
    rows = [measure(size, chosen) for size in chosen.sizes]
    head = f"{'synapses':>10}{'build s':>9}{'sim s':>10}{'ns/event':>10}{'B/syn.':>10}{'peak MB':>9}{'rate Hz':>9}"
    flat = {key: spread(rows, key) for key in ("ns_per_event", "bytes_per_synapse")}
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {chosen.threads} threads",
        head + f"{'dirty':>7}",
        *map(row_of, rows),
        f"largest over smallest: time per event {flat['ns_per_event']:.2f}, bytes per synapse "
        f"{flat['bytes_per_synapse']:.2f}",
    ]
    print("\n".join(lines), file=sys.stderr if chosen.json else sys.stdout)
    if chosen.json:
        print(json.dumps({"neurosim": rows, "peers": {}, "ratio": {}, "spread": flat}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
