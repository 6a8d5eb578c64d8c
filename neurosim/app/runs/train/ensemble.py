"""The networks of a training, and its liquid if it has one, loaded as one classifier."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimInputError
from ....base.measure.work import LayerCounts
from ....data.recordings import Recordings
from ....learning.liquid.liquid import Liquid
from ....learning.liquid.readout import TrainedReadout
from ....learning.training.binning import Binning
from ....learning.training.export import EventNet
from ....learning.training.net import SpikingNet
from ....learning.training.saved import load
from ....learning.training.scoring import scores
from ..frame.folder import READOUT, open_run
from . import KIND
from .config import TrainConfig
from .liquid_member import LIQUID_FILE, LiquidMember, work_of
from .run import net_files


@dataclass(frozen=True)
class LoadedLiquid:
    """A liquid that answers beside networks.

    Attributes:
        liquid, readout: the liquid with its gains, and its trained readout.
        factor: of the readout's scores.
    """

    liquid: Liquid
    readout: TrainedReadout
    factor: float

    def run(self, recordings: Recordings, threads: int | None) -> tuple[Recordings, list[LayerCounts]]:
        """Return what the readout reads of recordings, and the work of the neurons by layer."""
        result = self.liquid.run(recordings, threads=threads, count_updates=True)
        return self.liquid.read(result.recordings("liquid"), recordings), list(result.work)


@dataclass(frozen=True)
class Ensemble:
    """Classifiers whose scores are summed: all that a training left, for recordings of the same sensor.

        ensemble = Ensemble.load("runs/shd")
        labels = ensemble.predict(recordings)

    Attributes:
        nets: networks, each with the binning of its input.
        classes: names of the classes; may be empty.
        liquid: the liquid beside them; None: there is none.
    """

    nets: tuple[tuple[SpikingNet, Binning], ...]
    classes: tuple[str, ...]
    liquid: LoadedLiquid | None

    @classmethod
    def load(cls, run: Path | str) -> Ensemble:
        """Return the ensemble of a run folder of `neurosim train`.

        Raises:
            NeurosimInputError: a folder of another kind of run, or a training of another network.
            NeurosimMissingError, NeurosimFormatError: a file is missing or damaged.
        """
        folder = open_run(Path(run))
        if folder.manifest.kind == KIND.name:
            config = TrainConfig.reconfigure(folder)
        else:
            config = None
        if config is None or config.other_network:
            raise NeurosimInputError(f"{run}: must be the folder of a training of spiking networks; give another")
        # All members read the same sensor and name the same classes: the first one's stand for all.
        loaded = [load(path) for path in net_files(folder.path)]
        liquid = None
        if config.liquid.use:
            member = LiquidMember.load(folder.path / LIQUID_FILE)
            made = config.liquid_config().build_liquid(loaded[0][1].sensor)
            readout = TrainedReadout.load(folder.path / READOUT)
            liquid = LoadedLiquid(replace(made, gains=member.gains), readout, member.factor)
        return cls(tuple((net, binning) for net, binning, _ in loaded), loaded[0][2], liquid)

    def scores(self, recordings: Recordings, threads: int | None = None) -> NDArray[np.float64]:
        """Return [n, classes] summed scores.

        A readout that standardises by group takes the recordings of a group together.

        Raises:
            NeurosimInputError: recordings of another sensor, or without the group that a readout needs.
        """
        each = [scores(net, binning, recordings) for net, binning in self.nets]
        # Summed in float32, as the run summed them, and in its order: the answers are the same.
        total = sum(each[1:], each[0]).astype(np.float64)
        if self.liquid is not None:
            spikes, _ = self.liquid.run(recordings, threads)
            total += self.liquid.factor * self.liquid.readout.scores(spikes)
        return np.asarray(total)

    def predict(self, recordings: Recordings, threads: int | None = None) -> NDArray[np.int64]:
        """Return [n] the class of the largest score. Raises the errors of `scores`."""
        return np.asarray(self.scores(recordings, threads).argmax(axis=1), np.int64)

    def work(self, recordings: Recordings, threads: int | None = None) -> list[LayerCounts]:
        """Return the work of answering recordings in the engine by layer, all members together."""
        layers = []
        for k, (net, binning) in enumerate(self.nets, start=1):
            result = EventNet.of(net).run(binning.recordings(recordings), threads=threads, count_updates=True)
            layers += [replace(w, name=f"{w.name} of net {k}" if len(self.nets) > 1 else w.name) for w in result.work]
        if self.liquid is not None:
            spikes, work = self.liquid.run(recordings, threads)
            layers += [*work, *work_of(self.liquid.readout, spikes)]
        return layers
