"""Memory of this process as Linux counts it, in MiB, by the standard library alone."""

from __future__ import annotations

import contextlib
from pathlib import Path


def resident_mib() -> float:
    """Return the memory that the process holds."""
    return _status("VmRSS")


def peak_mib() -> float:
    """Return the most memory that the process has held since `forget_peak`, or since its start.

    `ru_maxrss` of `resource` begins with the memory of the process that started this one.
    """
    return _status("VmHWM")


def forget_peak() -> None:
    """Let the peak begin anew; some kernels count it from the start of the process only."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith(field))
    return kibibytes / 1024
