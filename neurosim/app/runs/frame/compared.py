"""Runs that compare others: their settings are the folders of these, in config.toml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....base.errors import NeurosimInputError
from ....base.json_toml import read_toml
from ....base.schema import Schema
from .folder import CONFIG, RunFolder
from .kind import HasEnergy, Kind, R, T
from .settings import ConfigSource

RUNS = "runs"


@dataclass(frozen=True)
class RunsKind(Kind[Sequence[Path], T, R]):
    """Runs that put others side by side.

    Attributes:
        runs: folders of runs of one kind.
    """

    runs: Sequence[Path] = ()

    def configure(
        self, file: Path | None = None, sets: Sequence[str] = (), values: Mapping[str, object] | None = None
    ) -> Sequence[Path]:
        return [path.resolve() for path in self.runs]

    def settings(self, config: Sequence[Path]) -> Mapping[str, object]:
        return {RUNS: [str(path) for path in config]}

    def stored(self, folder: RunFolder) -> Sequence[Path]:
        runs = read_toml(folder.path / CONFIG).get(RUNS)
        if not isinstance(runs, list) or not all(isinstance(each, str) for each in runs):
            raise NeurosimInputError(f"{folder.path / CONFIG}: must name the runs compared; {folder.rerun_hint}")
        return [Path(each) for each in runs]

    def reconfigure(
        self, folder: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]
    ) -> HasEnergy | None:
        return None

    def schemas(self) -> Mapping[str, Callable[[], Schema]]:
        return {}
