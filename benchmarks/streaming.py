"""Ten minutes of a network under a fixed ceiling of memory: input read in windows, spikes and membranes to disk.

4,000 neurons (Vogels and Abbott 2005, current-based) at .1 ms, driven besides by a recording of 100 units that is made
as it is played; all spikes and 50 membranes every millisecond are kept. Exits with 1 where the ceiling was broken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import frame
import numpy as np
import workloads
from process_memory import forget_peak, peak_mib, resident_mib
from run_neurosim import network as network_of

from neurosim import FixedProbability, Network, Population, Probe, Projection, Simulation, Spikes, SpikeSource

MINUTE = 60.0
# of the recording, spikes/s of each unit
UNITS = 100
RATE = 50.0
WINDOW = 1.0  # s
WEIGHT = 1e-11  # A


def recording(seed: int = 0) -> Iterator[Spikes]:
    """A recording without an end, a window at a time."""
    for k in range(sys.maxsize):
        rng = np.random.default_rng((seed, k))
        events = rng.poisson(UNITS * RATE * WINDOW)
        yield Spikes.sort(rng.uniform(0, WINDOW, events), rng.integers(0, UNITS, events), UNITS, WINDOW)


def network(scale: float) -> tuple[Network, float]:
    """The network, and its step in seconds."""
    workload = workloads.WORKLOADS["cuba"](scale)
    plain = network_of(workload)
    driven = plain.populations[0].name
    populations = [*plain.populations, Population("recording", (UNITS,), SpikeSource())]
    joint = Projection("recording", driven, FixedProbability(0.02), WEIGHT, workload.dt * 10)
    return Network(populations, [*plain.projections, joint], plain.stimuli), workload.dt


def run(chosen: argparse.Namespace, folder: Path) -> dict[str, object]:
    described, dt = network(chosen.scale)
    first = described.populations[0]
    probe = Probe(first.name, "v", 1e-3, units=np.arange(min(50, first.size)).tolist())
    minutes: list[dict[str, float]] = []
    files = {"spikes_to": folder / "spikes.h5", "states_to": folder / "states.h5"}
    started = time.perf_counter()
    with Simulation(
        described, recording(), clock=dt, seed=1, threads=chosen.threads, probes=[probe], **files
    ) as simulation:
        left = chosen.minutes * MINUTE
        while left > 1e-9:
            forget_peak()
            piece = simulation.run(min(MINUTE, left))
            simulation.save(folder / "saved.safetensors")
            left -= MINUTE
            written = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
            minutes.append(
                {
                    "minute": len(minutes) + 1,
                    "peak_rss_mb": peak_mib(),
                    "rss_mb": resident_mib(),
                    "written_mb": written,
                    "spikes": simulation.spike_count,
                    "real_time_factor": piece.real_time_factor,
                }
            )
            frame.say(row_of(minutes[-1]))
        forget_peak()
    closing = peak_mib()
    peak = max(closing, *(minute["peak_rss_mb"] for minute in minutes))
    return {
        "neurons": sum(p.size for p in described.populations) - UNITS,
        "seconds": chosen.minutes * MINUTE,
        "wall_s": time.perf_counter() - started,
        "ceiling_mb": chosen.ceiling,
        "peak_rss_mb": peak,
        "closing_peak_rss_mb": closing,
        "growth_mb": minutes[-1]["peak_rss_mb"] - minutes[0]["peak_rss_mb"],
        "files_mb": sum((folder / name).stat().st_size for name in ("spikes.h5", "states.h5")) / 2**20,
        "under_ceiling": peak <= chosen.ceiling,
        "minutes": minutes,
    }


def row_of(minute: dict[str, float]) -> str:
    return (
        f"minute {minute['minute']:3.0f}  peak {minute['peak_rss_mb']:7.1f} MiB  now {minute['rss_mb']:7.1f} MiB  "
        f"written {minute['written_mb']:8.1f} MiB  {minute['spikes']:12,.0f} spikes  "
        f"real-time factor {minute['real_time_factor']:.3f}"
    )


def main(argv: list[str] | None = None) -> int:
    parser = frame.arguments(__doc__, threads=2)
    parser.add_argument("--minutes", type=float, default=10.0, help="of biological time")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--ceiling", type=float, default=320.0, help="MiB that the process may hold")
    parser.add_argument("--out", type=Path, help="folder for the files, which are then kept")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        out = options.out or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        found = run(options, out)
    line = (
        f"{found['seconds']:g} s in {found['wall_s']:.1f} s, at most {found['peak_rss_mb']:.0f} MiB of "
        f"{options.ceiling:g}; {found['files_mb']:.0f} MiB of spikes and membranes"
    )
    frame.report(options, [line], found)
    return 0 if found["under_ceiling"] else 1


if __name__ == "__main__":
    sys.exit(main())
