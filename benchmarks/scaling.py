"""Cost against size: time per synaptic event and bytes per synapse of neurosim, from 1e6 synapses to 3e8."""

from __future__ import annotations

import argparse
import statistics

import frame
import harness

SIZES = (1e6, 3e6, 1e7, 3e7, 1e8, 3e8)
HEADS = ("synapses", "build s", "sim s", "ns/event", "B/syn.", "peak MB", "rate Hz", "disturbed")


def measure(synapses: float, chosen: argparse.Namespace) -> dict[str, float]:
    """Medians over the repeats of a network of this many synapses, 1,000 to a neuron."""
    passed = argparse.Namespace(
        seconds=chosen.seconds,
        scale=synapses / 1e6,
        weights="constant",
        warmup=None,
        threads=chosen.threads,
        tries=chosen.tries,
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


def spread(rows: list[dict[str, float]], key: str) -> float:
    """The largest over the smallest: 1 is flat."""
    return max(row[key] for row in rows) / min(row[key] for row in rows)


def cells(row: dict[str, float]) -> list[str]:
    return [
        f"{row['synapses']:.1e}",
        f"{row['build_s']:.2f}",
        f"{row['sim_s']:.3f}",
        f"{row['ns_per_event']:.3f}",
        f"{row['bytes_per_synapse']:.2f}",
        f"{row['peak_rss_mb']:.0f}",
        f"{row['rate_hz']:.1f}",
        f"{row['disturbed']}",
    ]


def main() -> None:
    parser = frame.arguments(__doc__, repeats=3, threads=2)
    parser.add_argument("--tries", type=int, default=4, help="runs a repeat may take to be undisturbed")
    parser.add_argument("--seconds", type=float, default=1.0, help="biological time that is timed")
    parser.add_argument("--sizes", type=float, nargs="*", default=SIZES, help="numbers of synapses, from 1e6 up")
    options = parser.parse_args()
    rows = [measure(size, options) for size in options.sizes]
    flat = {key: spread(rows, key) for key in ("ns_per_event", "bytes_per_synapse")}
    lines = [
        *frame.table(HEADS, map(cells, rows)),
        f"largest over smallest: time per event {flat['ns_per_event']:.2f}, bytes per synapse "
        f"{flat['bytes_per_synapse']:.2f}",
    ]
    frame.report(options, lines, {"neurosim": rows, "peers": {}, "ratio": {}, "spread": flat})


if __name__ == "__main__":
    main()
