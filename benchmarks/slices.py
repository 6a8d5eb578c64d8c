"""Processor time of an update of a byte model whose windows are cut over processes (LASP-2), beside one process.

    python benchmarks/slices.py [--kinds gla,deltanet] [--length 4096] [--steps 6] [--json]
    torchrun --standalone --nproc-per-node 2 benchmarks/slices.py ...

Four layers of width 144 and 2 heads learn from --steps windows of --length bytes, one thread a process, as `neurosim
convert lm-train` trains. Timed are these updates without validations: the difference between a training of twice as
many and one of --steps. Processor time counts what a process computes, also on a machine that others use; wall time is
that of such a machine.
"""

from __future__ import annotations

import os
import time
from typing import Any

import frame
import torch
import torch.distributed as dist

from neurosim.language import LanguageConfig, LanguageTraining, MixerSpec, train_bytes

OPTIONS = {"mamba2": {"head_dim": 72, "state_size": 32}}


def update(kind: str, length: int, steps: int, processes: int) -> tuple[float, float]:
    """Processor time and wall time of an update on this process, s."""
    config = LanguageConfig((MixerSpec(kind, OPTIONS.get(kind, {"num_heads": 2})),) * 4, width=144, hidden=384)
    text = bytes(range(97, 123)) * (10 * length // 26)
    times = []
    for count in (2, steps, 2 * steps):
        training = LanguageTraining(steps=count, batch=1, length=length, every=0, held_out=0.25)
        if processes > 1:
            dist.barrier()
        cpu = time.process_time()
        wall = time.perf_counter()
        train_bytes(text, config, training, sliced=processes > 1)
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    # The first training, of two updates, is there to compile and to fill caches.
    (cpu, wall), (more_cpu, more_wall) = times[1:]
    return (more_cpu - cpu) / steps, (more_wall - wall) / steps


def main() -> None:
    parser = frame.arguments(__doc__, steps=6)
    parser.add_argument("--kinds", default="gla,deltanet,mamba2", help="kinds, with commas")
    parser.add_argument("--length", type=int, default=4096, help="bytes of a window")
    options = parser.parse_args()
    torch.set_num_threads(1)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        dist.init_process_group("gloo")
    rows: list[dict[str, Any]] = []
    for kind in options.kinds.split(","):
        # Of all processes, the one that takes longest.
        times = torch.tensor(update(kind, options.length, options.steps, processes))
        if processes > 1:
            dist.all_reduce(times, dist.ReduceOp.MAX)
        cpu, wall = times.tolist()
        load = os.getloadavg()[0]
        rows.append({"kind": kind, "processes": processes, "cpu s": cpu, "wall s": wall, "load": load})
    if processes == 1 or dist.get_rank() == 0:
        frame.report(options, frame.records(rows), {"rows": rows})


if __name__ == "__main__":
    main()
