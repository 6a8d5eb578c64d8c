"""Runs of a pipeline: recordings through a network that learns their classes, described in one TOML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ....base.schema import Schema
from ..data import Splits
from ..frame.folder import CONFIG, RunFolder
from ..frame.kind import HasEnergy, Inputs, Kind, Run
from ..frame.options import RunOptions
from ..frame.settings import ConfigSource
from ..network.config import Models, check_no_files, config_file, of_network, reconfigure
from .config import PipelineConfig, configure, schema
from .result import PipelineResult


@dataclass(frozen=True)
class PipelineKind(Kind[PipelineConfig, Splits, PipelineResult]):
    """Runs of a pipeline.

    Attributes:
        models: neurons of the user's own.
        nir: file for what NIR can say of the network; the manifest names what it cannot. None: none.
    """

    name = "pipeline"
    title = "a run of a pipeline"
    result = PipelineResult
    resumed_by = "simulate"
    unfinished = ("progress.safetensors",)  # pieces done, answers so far, and learned state; see `progress`

    models: Models = field(default_factory=dict)
    nir: Path | None = None

    def configure(
        self, file: Path | None = None, sets: Sequence[str] = (), values: Mapping[str, object] | None = None
    ) -> PipelineConfig:
        return configure(config_file(file), sets, of_network(values or {}), self.models)

    def settings(self, config: PipelineConfig) -> Mapping[str, object]:
        from .run import settings

        return settings(config)

    def shown(self, config: PipelineConfig) -> Mapping[str, object]:
        from .run import shown

        return shown(config)

    def stored(self, folder: RunFolder) -> PipelineConfig:
        # config.toml is called alike in every run: the name of the network's own file is in the manifest.
        config = configure(folder.path / CONFIG, models=self.models)
        return replace(config, network=replace(config.network, name=folder.manifest.name))

    def reconfigure(
        self, folder: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]
    ) -> HasEnergy | None:
        return reconfigure(folder, sources, changeable)

    def schemas(self) -> Mapping[str, Callable[[], Schema]]:
        return {"pipeline": schema}

    def again(self, folder: RunFolder) -> PipelineKind:
        check_no_files(folder)
        return self

    def run_name(self, config: PipelineConfig) -> str:
        return config.network.name

    def load(self, config: PipelineConfig, options: RunOptions) -> Inputs[Splits]:
        from .run import load

        return load(config, options, self.nir)

    def check(self, config: PipelineConfig, inputs: Splits) -> None:
        from .plan import Plan

        Plan.of(config, inputs)

    def check_unchanged(self, folder: RunFolder, inputs: Inputs[Splits]) -> None:
        from ..network.facts import check_models

        super().check_unchanged(folder, inputs)
        check_models(folder, inputs.facts)

    def prepare(self, run: Run[PipelineConfig, Splits]) -> None:
        from .run import prepare

        prepare(run)


KIND = PipelineKind()
