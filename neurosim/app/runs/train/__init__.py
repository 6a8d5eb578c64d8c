"""Trainings of a spiking network on a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ....base.collection import without_collection
from ....base.errors import require
from ..data import Splits
from ..frame.folder import RunFolder
from ..frame.kind import Inputs, Kind, Run
from ..frame.options import RunOptions
from .config import TrainConfig
from .result import TrainResult

if TYPE_CHECKING:
    from ....learning.training.parallel import Team


@dataclass(frozen=True)
class TrainKind(Kind[TrainConfig, Splits, TrainResult]):
    """Trainings.

    Attributes:
        nir: file for the trained network as NIR; None: none.
        crew: the processes of torchrun that train together; None: this one alone.
    """

    name = "train"
    title = "a training"
    result = TrainResult
    resumed_by = "train"
    unfinished = ("stages", "training*.safetensors")  # of the liquid beside the networks; checkpoints of each network

    nir: Path | None = None
    crew: Team | None = None

    @contextmanager
    def joined(self) -> Iterator[TrainKind]:
        with without_collection():
            from ....learning.training.parallel import team

        # Under torchrun each process comes here; started by itself, it is alone.
        with team() as crew:
            yield replace(self, crew=crew)

    @property
    def leads(self) -> bool:
        return self.crew is None or self.crew.leads

    def run_name(self, config: TrainConfig) -> str:
        return config.data.shown_name

    def load(self, config: TrainConfig, options: RunOptions) -> Inputs[Splits]:
        with without_collection():
            from .run import load_data
        # Refused before hours of training, after which the file would be written.
        other = config.other_network
        require(self.nir is None or not other, "--nir", f"knows no layers of {other}; leave it out", self.nir)
        rule = "knows no liquid (liquid.use); leave it out"
        require(self.nir is None or not config.liquid.use, "--nir", rule, self.nir)
        return load_data(config, options, self.crew)

    def work(self, run: Run[TrainConfig, Splits]) -> TrainResult:
        from .run import train_and_run

        return train_and_run(run, self.crew)

    def export(self, run: Run[TrainConfig, Splits], result: TrainResult) -> None:
        from .run import write_nir

        if self.nir is not None:
            write_nir(run.path, self.nir)

    def follow(self, config: TrainConfig, inputs: Splits, options: RunOptions, folder: RunFolder | None) -> None:
        from .run import fit

        fit(config, inputs.train, options, self.crew, None if folder is None else folder.path)


KIND = TrainKind()
