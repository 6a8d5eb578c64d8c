"""The folder of a run on the disk: its files, its manifest and its results, and how far the run came."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....base import plain
from ....base.errors import NeurosimInputError, NeurosimMissingError, NeurosimWriteError
from ....base.json_toml import read_json, write_json
from ....base.shown import Shown
from . import provenance
from .manifest import FORMAT, VERSION, Manifest

MANIFEST = "manifest.json"
CONFIG = "config.toml"
METRICS = "metrics.json"
SPIKES = "spikes.h5"
READOUT = "readout.safetensors"
REPORT = "report.html"


@dataclass
class RunFolder(Shown):
    """One run on disk: `manifest.json` says what ran and how, the other files hold the results.

    It may be copied and pickled.

    Attributes:
        path: the folder.
        manifest: the content of the manifest on disk.
    """

    path: Path
    manifest: Manifest = field(default_factory=Manifest)

    @property
    def rerun_hint(self) -> str:
        """Advice where the run is of no use: its command, if it is known."""
        words = shlex.join(self.manifest.command)
        return f"run it again: {words}" if words else "run it again"

    def note(self, **facts: Any) -> None:
        """Add facts to the manifest and write it."""
        self.manifest = Manifest.from_dict({**self.manifest.to_dict(), **plain.to_plain(facts)})
        write_json(self.path / MANIFEST, self.manifest.to_dict())

    def close(self, status: str, reason: str | None = None) -> None:
        """Write the status, its reason and the time of the end into the manifest."""
        self.note(status=status, reason=reason, ended=provenance.now())


def open_run(path: Path) -> RunFolder:
    """Return an existing run.

    Raises:
        NeurosimMissingError: no such folder, or no run in it.
        NeurosimInputError: a later version wrote the run.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        if path.is_dir():
            problem = "holds no run (no manifest.json)"
        else:
            problem = "no such run folder"
        raise NeurosimMissingError(
            f"{path}: {problem}; give the folder of a run, as 'neurosim runs list' lists them{_latest()}"
        )
    manifest = read_json(path / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise NeurosimMissingError(f"{path / MANIFEST}: is not the manifest of a run; give a neurosim run folder")
    if manifest.get("version") != VERSION:
        raise NeurosimInputError(
            f"{path / MANIFEST}: run version {manifest.get('version')}, this neurosim reads {VERSION}; upgrade it"
        )
    return RunFolder(path, Manifest.from_dict(manifest))


def read_metrics(run: RunFolder) -> dict[str, object]:
    """Return the results of a run as metrics.json holds them.

    Raises:
        NeurosimMissingError: the run ended before it had results.
    """
    if not (run.path / METRICS).is_file():
        status = present_status(run)
        reason = run.manifest.reason or ("killed, or still running" if status == "running" else status)
        raise NeurosimMissingError(f"{run.path}: has no results ({reason}); {run.rerun_hint}")
    metrics = read_json(run.path / METRICS)
    if not isinstance(metrics, dict):
        raise NeurosimInputError(f"{run.path / METRICS}: must be a JSON object of results; run it again")
    return metrics


def present_status(run: RunFolder) -> str:
    """Return the status of a run: "killed" instead of "running" where the process that ran it is gone.

    A run of another machine, or on a file system without locks, is not judged.
    """
    # A lock that can be had means that no process holds it: the run was killed.
    status = run.manifest.status
    if status != "running" or not provenance.is_here(run.manifest.place):
        return status
    try:
        with lock_folder(run.path) as locked:
            return "killed" if locked else status
    except (NeurosimInputError, OSError):
        return status


def make_folder(path: Path, exist_ok: bool = True) -> None:
    """Make a folder and its parents.

    Raises:
        NeurosimWriteError: it cannot be made.
        FileExistsError: it exists and must not.
    """
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        raise
    except OSError as error:
        raise NeurosimWriteError(f"{path}: cannot make the run folder ({error.strerror}); give another --out") from None


@contextmanager
def lock_folder(path: Path, next_step: str = "give another --out") -> Iterator[bool]:
    """Hold a lock on a folder, which ends with the process; yield whether the system has such locks.

    Args:
        path: of the folder.
        next_step: what the error says to do.

    Raises:
        NeurosimInputError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield False
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        locked = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NeurosimInputError(f"{path}: another run is writing into it; {next_step}") from None
        except OSError:  # a file system without locks
            locked = False
        yield locked
    finally:
        os.close(handle)


def _latest() -> str:
    """Return the newest run below ./runs, as a hint."""
    # Names begin with date and time, so that the last in order is the newest.
    runs = sorted(p.parent for p in Path("runs").glob(f"*/{MANIFEST}"))
    return f", e.g. {runs[-1]}" if runs else ""
