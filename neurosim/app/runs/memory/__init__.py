"""Runs of a single-trial memory on a dataset: store, recall, capacity, noise, familiarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..frame.folder import RunFolder
from ..frame.kind import Inputs, Kind, Run
from ..frame.options import RunOptions
from .config import MemoryConfig, unused_of_command
from .result import MemoryResult

if TYPE_CHECKING:
    from .run import EncodedItems, Recalled

T = TypeVar("T")


class MemoryKind(Kind[MemoryConfig, T, MemoryResult]):
    """The part of a memory's runs that does not depend on what is done with it."""

    # Such runs store in one pass, and are not resumed.
    name = "memory"
    title = "a run of a memory"
    result = MemoryResult
    heading = ("dataset", "split", "samples", "seed", "digest")

    def sample(self, result: MemoryResult) -> str:
        return "recall"

    def again(self, folder: RunFolder) -> StoreKind | RecallKind:
        """Return the kind of the command that the manifest notes."""
        facts = folder.manifest.facts
        if "memory" in facts:
            return RecallKind(Path(str(facts["memory"])))
        return StoreKind(str(facts.get("command_kind", "store")))


@dataclass(frozen=True)
class StoreKind(MemoryKind["EncodedItems"]):
    """Runs that store the first split of a dataset in one pass, and measure.

    Attributes:
        command: "store", "capacity", "noise" or "familiarity".
    """

    command: str = "store"

    def configure(
        self, file: Path | None = None, sets: Sequence[str] = (), values: Mapping[str, object] | None = None
    ) -> MemoryConfig:
        return MemoryConfig.configure(file, sets, values, unused_of_command(self.command))

    def run_name(self, config: MemoryConfig) -> str:
        return f"{self.command}-{config.data.shown_name}"

    def load(self, config: MemoryConfig, options: RunOptions) -> Inputs[EncodedItems]:
        from .run import load_encoded

        return load_encoded(config, options, self.command)

    def work(self, run: Run[MemoryConfig, EncodedItems]) -> MemoryResult:
        from .run import store

        return store(run, self.command)


@dataclass(frozen=True)
class RecallKind(MemoryKind["Recalled"]):
    """Runs that recall a split from a stored memory.

    Attributes:
        source: folder of the run that stored it.
    """

    source: Path

    def configure(
        self, file: Path | None = None, sets: Sequence[str] = (), values: Mapping[str, object] | None = None
    ) -> MemoryConfig:
        from .run import source_config

        return source_config(self.source, file, sets, values or {})

    def run_name(self, config: MemoryConfig) -> str:
        return f"recall-{config.data.shown_name}"

    def load(self, config: MemoryConfig, options: RunOptions) -> Inputs[Recalled]:
        from .run import load_recalled

        return load_recalled(self.source, config, options)

    def work(self, run: Run[MemoryConfig, Recalled]) -> MemoryResult:
        from .run import recall

        return recall(run, self.source)


KIND = StoreKind()
