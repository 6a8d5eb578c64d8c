"""Text that `neurosim memory sequence` prints."""

from __future__ import annotations

from pathlib import Path

from ...frame.folder import REPORT
from ...frame.tables import Rows, dataset_name, energy_rows, grid, percent, table
from .result import SequenceResult


def render(result: SequenceResult) -> str:
    """Return what was learned, the groups that were compared, and the files."""
    head = (
        f"{dataset_name(result)}: {result.samples:,} recordings in windows of {result.window_s:g} s, "
        f"{result.columns:,} columns, {result.cells:,} cells, seed {result.seed}"
    )
    first, last = (result.passes[k] for k in (0, -1))
    rows: Rows = [
        ("anomaly while learning", f"{first.anomaly:.3f} in pass 1, {last.anomaly:.3f} in pass {len(result.passes)}"),
        ("columns predicted rightly", percent(result.accuracy)),
        ("columns predicted at all", percent(result.groups["learned"].predicted)),
        ("grown", f"{result.segments:,} segments, {result.synapses:,} synapses"),
        *energy_rows(result.energy, "a recording"),
        ("anomaly digest", result.digest[:16]),
    ]
    heads = ("frozen, on", "recordings", "anomaly", "95 %", "told from learned")
    groups = [
        (
            name,
            f"{group.recordings:,}",
            f"{group.anomaly:.3f}",
            f"{group.interval[0]:.3f} to {group.interval[1]:.3f}",
            "" if group.separation is None else f"{group.separation:.3f}",
        )
        for name, group in result.groups.items()
    ]
    files = table([("run", result.run), ("report", str(Path(result.run) / REPORT))])
    return "\n\n".join([table(rows, head), grid(heads, groups), files])
