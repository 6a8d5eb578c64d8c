"""Facts of a network's run for its manifest: its inputs, what their readers say, and models of the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ....base.plain import from_plain
from ....data.files.large import LargeRecording
from ....data.spikes import Spikes
from ..frame.folder import RunFolder
from ..frame.recorder import check_unchanged


def input_facts(spikes: Spikes | LargeRecording) -> dict[str, object]:
    """Return what the manifest says of an input; `row_0` only where pages must turn its pictures."""
    if isinstance(spikes, LargeRecording):
        return spikes.facts()
    facts: dict[str, object] = {"digest": spikes.digest(), "events": len(spikes)}
    if spikes.report is not None and spikes.report.row_0 == "bottom":
        facts["row_0"] = spikes.report.row_0
    return facts


def remarks_of(inputs: Mapping[str, Spikes | LargeRecording]) -> list[str]:
    """Return a line for each input whose reader has something to say."""
    reports = {name: spikes.report for name, spikes in inputs.items() if spikes.report is not None}
    remarks = {name: report.remarks() for name, report in reports.items()}
    for name, spikes in inputs.items():
        if isinstance(spikes, LargeRecording):
            large = f"{len(spikes):,} events are read from {spikes.path} as they are played, and not stored in the run"
            remarks[name] = (*remarks[name], large)
    return [f"population {name}: {'; '.join(lines)}" for name, lines in remarks.items() if lines]


def model_files(models: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Return the file of each of the user's own neurons and the hash of its content."""
    return {
        name: {"file": str(path.absolute()), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for name, path in models.items()
    }


def hashes_of(models: object) -> dict[str, str]:
    """Return the hash of each file of `model_files`, as it is or as the manifest notes it."""
    noted = from_plain(dict[str, dict[str, str]], models, "models")
    return {name: own["sha256"] for name, own in noted.items()}


def check_models(folder: RunFolder, facts: Mapping[str, object]) -> None:
    """Raise unless a resumed run finds the neurons of the user's own that it began with."""
    check_unchanged(folder, "models", hashes_of(folder.manifest.facts.get("models", {})), hashes_of(facts["models"]))
