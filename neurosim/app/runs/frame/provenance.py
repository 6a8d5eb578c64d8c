"""Origin of a result: time, versions, commit, machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from .... import __version__
from ....engine.threads import core_count

PACKAGES = ("numpy", "numba", "h5py", "scikit-learn", "safetensors", "click")


def now() -> str:
    """Return the time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def versions() -> dict[str, str]:
    """Return the versions of neurosim, Python and the packages that a result may depend on."""
    versions_by_name = {"neurosim": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions_by_name[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions_by_name


def commit() -> dict[str, object]:
    """Return the git commit of neurosim's checkout and whether tracked files differ from it; None if installed.

    The checkout must hold the package itself: a copy installed inside another repository is not of its commit.
    """
    # The folder that holds neurosim/, from neurosim/app/runs/frame/provenance.py.
    root = Path(__file__).resolve().parents[4]
    unknown: dict[str, object] = {"git_commit": None, "git_changed": None}
    if not (root / ".git").exists():
        return unknown
    head = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    if head is None or changed is None:
        return unknown
    return {"git_commit": head, "git_changed": bool(changed)}


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def machine() -> dict[str, object]:
    """Return processor, cores, memory in bytes and system; no host or user name, because runs are shared."""
    return {
        "system": platform.platform(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": core_count(),
        "memory_bytes": _memory(),
    }


def place() -> dict[str, str]:
    """Return which machine this is, and since which start of its system, in words that name nobody.

    Two places are one machine if they agree in either: containers of one system differ in the name of their host.
    """
    # Hashed: runs are shared, and no name of a machine belongs into them.
    names = [_first_line(Path("/etc/machine-id")), platform.node()]
    hashed = hashlib.sha256("\0".join(["neurosim", *names]).encode()).hexdigest()
    return {"machine": hashed[:16], "boot": _first_line(Path("/proc/sys/kernel/random/boot_id"))}


def is_here(noted: object) -> bool:
    """Return whether a `place` that was noted is on this machine."""
    here = place()
    return isinstance(noted, Mapping) and any(value and noted.get(name) == value for name, value in here.items())


def _first_line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _processor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
