"""A network and the settings of its run, as a TOML file holds them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import final

from ...base.errors import NeurosimInputError, require
from ...base.shown import Shown
from ...data.files.formats import FORMATS, ReadOptions, find_format
from ...data.files.large import LargeRecording
from ...data.files.pieces import EventPieces, is_large, is_read_in_pieces, read_recording
from ...data.files.sonata import read_sonata
from ...data.spikes import Spikes
from ...network.network import Network
from ...network.population import Population
from ...network.stimuli import SpikeSource
from ..batch import simulate
from ..probe import Probe
from ..result import Progress, Result


@final
@dataclass(frozen=True)
class Settings:
    """Settings of a run: the arguments of `neurosim.simulate` that decide its result.

    Attributes:
        duration: s; None means the longest recording.
        clock: s, the step; None means continuous time ("continuous" in TOML).
        seed, trial, precision, record: as for `neurosim.simulate`.
        count_updates: the same; the energy estimate needs it.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    duration: float | None = None
    clock: float | None = 1e-3
    seed: int = 0
    trial: int = 0
    precision: str = "float32"
    record: tuple[str, ...] | None = None
    count_updates: bool = True

    def __post_init__(self) -> None:
        valid = self.duration is None or (math.isfinite(self.duration) and self.duration >= 0)
        require(valid, "simulation.duration", "must be finite and >= 0 s", self.duration)
        valid = self.clock is None or (math.isfinite(self.clock) and self.clock > 0)
        require(valid, "simulation.clock", 'must be finite and > 0 s, or "continuous"', self.clock)


@final
@dataclass(frozen=True)
class SpikeFile:
    """A recording in a file.

    Attributes:
        path: of the file.
        format: a name in `data.files.formats.FORMATS`; None means by the suffix of the file.
        population: name in a SONATA file; None where it has one.
        clock: of an EVT3 recording, as for `data.read`.
        camera: of an AEDAT2 recording, as for `data.read`.
        tick: s, the unit of time of a table, as for `data.read`.
        columns: order of the columns of a table, as for `data.read`.
        until_fault: whether a damaged file is read up to its first fault, as for `data.read`; None: no.
        crop, noise_filter, downsample, refractory: filters of the events of a camera, as for `data.read`.
        start: time 0 of the recording: "first", its first event; "file", time 0 of the file; or seconds from there.
            None: "first" for a file with the clock of a camera, "file" for others. Recordings of a network whose
            files have such clocks start together, at the earliest first event.
    """

    path: Path
    format: str | None = None
    population: str | None = None
    clock: str | None = None
    camera: str | None = None
    tick: float | None = None
    columns: str | None = None
    until_fault: bool | None = None
    crop: tuple[int, int, int, int] | None = None
    noise_filter: float | None = None
    downsample: int | None = None
    refractory: float | None = None
    start: float | str | None = None

    def __post_init__(self) -> None:
        known = isinstance(self.start, float | int) or self.start in (None, "first", "file")
        require(known, "spikes.start", 'must be "first", "file" or seconds', self.start)
        # Filters check their values.
        _ = self.options

    @property
    def options(self) -> ReadOptions:
        """Return the options of `data.read`, but shape and population."""
        return ReadOptions(
            format=self.format,
            clock=self.clock,
            camera=self.camera,
            tick=self.tick,
            columns=self.columns,
            until_fault=self.until_fault,
            crop=self.crop,
            noise_filter=self.noise_filter,
            downsample=self.downsample,
            refractory=self.refractory,
        )

    def sensor(self) -> tuple[int, ...]:
        """Return the shape of the population that plays the file: its sensor, after the filters.

        Files that do not say their sensor have the smallest one that holds all events, and are read for it.

        Raises:
            NeurosimError: as `read`.
        """
        if self.population is not None:
            return read_sonata(self.path, self.population).shape
        if is_read_in_pieces(self.path, self.options):
            return EventPieces(self.path, self.options).shape
        return self.options.read(self.path).shape

    def read(self, shape: tuple[int, ...]) -> Spikes:
        """Return the recording; `shape` is the shape of the sensor for a file without one.

        Raises:
            NeurosimError: as `data.read` and `data.read_sonata`.
        """
        if self.population is not None:
            return read_sonata(self.path, self.population)
        return read_recording(self.path, self._options_of(shape))

    def open(self, shape: tuple[int, ...]) -> Spikes | LargeRecording:
        """Return the recording as `read`; a large file of a camera is not in memory, but read as it is played."""
        if self.population is None and is_large(self.path, self.options):
            return LargeRecording(self.path, self._options_of(shape))
        return self.read(shape)

    def _options_of(self, shape: tuple[int, ...]) -> ReadOptions:
        """Return the options, with the shape of the population where the reader needs one."""
        name = find_format(self.path, self.format)
        takes_shape = name in FORMATS and FORMATS[name].shaped
        # With a cut-out or joined pixels the population has another shape than the sensor.
        if takes_shape and self.crop is None and self.downsample is None:
            return replace(self.options, shape=shape)
        return self.options


@final
@dataclass(frozen=True, eq=False)
class Description(Shown):
    """A network with its settings, probes and inputs. It may be copied and pickled.

    Attributes:
        probes: state variables to keep.
        inputs: recordings of the spike sources, by name.

    Raises:
        NeurosimInputError: an input for a population that is no spike source.
    """

    network: Network
    settings: Settings = Settings()
    probes: tuple[Probe, ...] = ()
    inputs: Mapping[str, SpikeFile | Spikes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.inputs:
            source = self.network.population(name, "Description.inputs").model
            require(isinstance(source, SpikeSource), f"population {name!r}: spikes", "needs model SpikeSource", source)

    def recordings(self) -> dict[str, Spikes]:
        """Return the recording of each spike source, read from its file.

        Raises:
            NeurosimInputError: a source without spikes, or a recording of another size.
            NeurosimError: a file that cannot be read.
        """
        opened = self._opened(lambda file, shape: file.read(shape))
        return {name: spikes for name, spikes in opened.items() if isinstance(spikes, Spikes)}

    def played(self) -> dict[str, Spikes | LargeRecording]:
        """Return the recordings as `recordings`; on a grid, large files of cameras are read as they are played."""
        if self.settings.clock is None:
            return dict(self.recordings())
        return self._opened(lambda file, shape: file.open(shape))

    def _opened(
        self, read: Callable[[SpikeFile, tuple[int, ...]], Spikes | LargeRecording]
    ) -> dict[str, Spikes | LargeRecording]:
        recordings: dict[str, Spikes | LargeRecording] = {}
        for source in self.sources():
            if source.name not in self.inputs:
                raise NeurosimInputError(
                    f"population '{source.name}': a SpikeSource must say what it plays; give spikes = \"FILE\""
                )
            spikes: SpikeFile | Spikes | LargeRecording = self.inputs[source.name]
            if isinstance(spikes, SpikeFile):
                spikes = read(spikes, source.shape)
            label = f"population {source.name!r}: spikes"
            require(spikes.size == source.size, label, f"must have the population's {source.size} units", spikes.size)
            recordings[source.name] = spikes
        return self._started(recordings)

    def _started(self, recordings: Mapping[str, Spikes | LargeRecording]) -> dict[str, Spikes | LargeRecording]:
        """Return recordings with their time 0 at `SpikeFile.start`."""
        starts = {name: getattr(self.inputs[name], "start", None) for name in recordings}
        # Recordings with the clock of a camera and no start begin together, at the earliest first event.
        reports = {name: spikes.report for name, spikes in recordings.items() if starts[name] is None}
        clocked = [name for name, report in reports.items() if report is not None and report.clocked]
        firsts = [_first_time(recordings[name]) for name in clocked if len(recordings[name])]
        starts |= dict.fromkeys(clocked, min(firsts, default=0.0))
        return {name: spikes.starting(starts[name]) for name, spikes in recordings.items()}

    def sources(self) -> list[Population]:
        """Return the spike sources."""
        return [p for p in self.network.populations if isinstance(p.model, SpikeSource)]

    def drive(self) -> tuple[float | dict[str, Spikes], float | None]:
        """Return the arguments `inputs` and `duration` of `neurosim.simulate`.

        Raises:
            NeurosimInputError: neither a duration nor a recording.
            NeurosimError: a recording that cannot be read.
        """
        played = self.recordings()
        self.check_drive(played)
        if played:
            return played, self.settings.duration
        return float(self.settings.duration or 0.0), None

    def check_drive(self, played: Mapping[str, object]) -> None:
        """Raise `NeurosimInputError` where neither the settings nor a recording says how long a run lasts."""
        if not played and self.settings.duration is None:
            raise NeurosimInputError("simulation.duration: is missing, and no recording says how long; give seconds")

    def simulate(self, threads: int | None = None, progress: Callable[[Progress], object] | None = None) -> Result:
        """Run the network.

        Raises:
            NeurosimError: an input that cannot be read, or an argument that breaks its rule.
        """
        inputs, duration = self.drive()
        arguments = vars(replace(self.settings, duration=duration))
        return simulate(self.network, inputs, threads=threads, probes=self.probes, progress=progress, **arguments)


def _first_time(recording: Spikes | LargeRecording) -> float:
    """Return the time of the first event of a recording that has some, s."""
    if isinstance(recording, LargeRecording):
        return recording.first or 0.0
    return float(recording.times[0])


def absolute(path: str | os.PathLike[str], folder: Path) -> Path:
    """Return an absolute path for one in a file, which is relative to the folder of the file."""
    return Path(os.path.abspath(folder / path))
