"""The settings of a run that compares others: the folders of these, in config.toml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ....base.errors import NeurosimInputError
from ....base.json_toml import read_toml
from .folder import CONFIG, RunFolder

RUNS = "runs"


def runs_settings(runs: Sequence[Path]) -> Mapping[str, object]:
    """Return the tree of settings of a comparison."""
    return {RUNS: [str(path) for path in runs]}


def stored_runs(folder: RunFolder) -> Sequence[Path]:
    """Return the runs that a comparison compared.

    Raises:
        NeurosimInputError: its config names none.
    """
    runs = read_toml(folder.path / CONFIG).get(RUNS)
    if not isinstance(runs, list) or not all(isinstance(each, str) for each in runs):
        raise NeurosimInputError(f"{folder.path / CONFIG}: must name the runs compared; {folder.rerun_hint}")
    return [Path(each) for each in runs]
