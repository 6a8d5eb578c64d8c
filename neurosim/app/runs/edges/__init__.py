"""Runs of the network that a table of edges describes, over trials; the result is one table of rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..frame.folder import RunFolder
from ..frame.kind import Inputs, Kind
from ..frame.options import RunOptions
from ..network.config import check_no_files
from .config import EdgesConfig
from .result import EdgesResult

if TYPE_CHECKING:
    from .run import EdgesInputs


@dataclass(frozen=True)
class EdgesKind(Kind[EdgesConfig, "EdgesInputs", EdgesResult]):
    """Runs of a table of edges.

    Attributes:
        models: names of models and FILE.py:CLASS texts of neurons of the user's own; the neurons are of the last one.
            Empty: the model of the settings.
    """

    name = "edges"
    title = "a run of a table of edges"
    result = EdgesResult
    heading = ("network", "seed", "spike_digest")

    models: Sequence[str] = ()

    def configure(
        self, file: Path | None = None, sets: Sequence[str] = (), values: Mapping[str, object] | None = None
    ) -> EdgesConfig:
        # Of FILE.py:CLASS the class is the name of the model.
        last = self.models[-1].rpartition(":")[2] if self.models else None
        return super().configure(file, sets, {"neuron.model": last, **(values or {})})

    def again(self, folder: RunFolder) -> EdgesKind:
        check_no_files(folder)
        return self

    def sample(self, result: EdgesResult) -> str:
        return "trial"

    def run_name(self, config: EdgesConfig) -> str:
        return Path(config.edges.file).stem

    def load(self, config: EdgesConfig, options: RunOptions) -> Inputs[EdgesInputs]:
        from .run import load

        return load(config, [text for text in self.models if ":" in text])


KIND = EdgesKind()
