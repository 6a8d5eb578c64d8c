"""Progress of a pipeline's run: what it has learned and answered so far, in one file from which it continues."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimInputError, NeurosimMissingError, require
from ....base.measure.work import LayerCounts, sum_counts
from ....base.plain import Record
from ....data.files.state import read_state, write_state
from ....engine.result import Result

PROGRESS = "progress.safetensors"
KIND = "PipelineProgress"
VERSION = 1
PREDICTED = "predicted"
STATE = "learned"
# In place of a class: the recording was not tested yet, or the readout gave no answer.
NOT_TESTED = -2
NO_ANSWER = -1

Learned = Mapping[str, Mapping[str, NDArray[Any]]]


@dataclass(frozen=True)
class Tested(Record):
    """The work and the spikes of a test as far as it came.

    Attributes:
        work: of each layer.
        spikes: of all recorded populations.
        digest: SHA-256 over the spikes of one recording after the other.
        duration, run_s: biological and wall-clock seconds.
    """

    work: tuple[LayerCounts, ...] = ()
    spikes: int = 0
    digest: str = ""
    duration: float = 0.0
    run_s: float = 0.0

    def plus(self, result: Result) -> Tested:
        """Return the work and the spikes after further recordings."""
        spikes = {name: result.recordings(name) for name in result.spikes}
        digest = self.digest
        for i in range(len(next(iter(spikes.values())))):
            lines = "".join(f"{name}\0{spikes[name][i].digest()}\n" for name in sorted(spikes))
            # Chained, recording by recording: the digest does not depend on the size of pieces.
            digest = hashlib.sha256(f"{digest}\n{lines}".encode()).hexdigest()
        work = tuple(result.work)
        return Tested(
            work=tuple(map(sum_counts, zip(self.work, work, strict=True))) if self.work else work,
            spikes=self.spikes + sum(len(each.ticks) for each in spikes.values()),
            digest=digest,
            duration=self.duration + result.duration,
            run_s=self.run_s + result.run_s,
        )


@dataclass(frozen=True)
class _Header(Record):
    """Settings of the file: the number of pieces done, their plan, and the last test so far."""

    done: int
    plan: str
    tested: Tested


@dataclass(frozen=True, eq=False)
class PipelineProgress:
    """A pipeline after some pieces of its run.

    Attributes:
        done: pieces.
        predicted: [tests, recordings] class numbers, `NO_ANSWER` or `NOT_TESTED`.
        learned: by windowed population, the arrays of its state; none before anything is learned.
        tested: the last test so far.
    """

    done: int
    predicted: NDArray[np.int64]
    learned: Learned
    tested: Tested

    @classmethod
    def start(cls, tests: int, recordings: int) -> PipelineProgress:
        """Return the progress before the first piece."""
        return cls(0, np.full((tests, recordings), NOT_TESTED, np.int64), {}, Tested())

    def save(self, run: Path, plan: str) -> None:
        """Replace the file in a run folder, in one step.

        Args:
            plan: digest of the pieces of the run.
        """
        arrays = {f"{STATE}/{name}/{key}": a for name, state in self.learned.items() for key, a in state.items()}
        header = _Header(self.done, plan, self.tested)
        write_state(
            run / PROGRESS,
            KIND,
            version=VERSION,
            settings=header.to_dict(),
            arrays={**arrays, PREDICTED: self.predicted},
        )

    @classmethod
    def load(cls, run: Path, plan: str, tests: int, recordings: int) -> PipelineProgress:
        """Return the progress in a run folder, or that before the first piece.

        Raises:
            NeurosimFormatError: a damaged file.
            NeurosimInputError: the file of another run.
        """
        try:
            settings, arrays = read_state(run / PROGRESS, KIND, VERSION)
        except NeurosimMissingError:
            return cls.start(tests, recordings)
        header = _Header.from_dict(settings)
        if header.plan != plan:
            raise NeurosimInputError(f"{run / PROGRESS}: is of other recordings or tasks; run it again")
        predicted = arrays.pop(PREDICTED)
        wanted = (tests, recordings)
        require(predicted.shape == wanted, f"{run / PROGRESS}", f"must hold {wanted} answers", predicted.shape)
        learned: dict[str, dict[str, NDArray[Any]]] = {}
        for name, array in arrays.items():
            _, population, key = name.split("/", 2)
            learned.setdefault(population, {})[key] = array
        return cls(header.done, predicted, learned, header.tested)
