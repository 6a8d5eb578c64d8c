"""Summary that runs on recordings share: the facts of the data, the recordings on the page, and the spikes of those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError
from ...base.measure.estimates import EnergyEstimates
from ...base.measure.measures import Measures
from ...data.files.sonata import write_sonata
from ...data.recordings import Recordings
from ..report.recordings import ShownRecording
from .data import Splits
from .frame.config import Data
from .frame.folder import SPIKES, RunFolder
from .frame.kind import RunResult
from .score import OtherClassifiers, Score

MAX_SHOWN = 6  # recordings whose spikes are kept for the report


@dataclass(frozen=True, kw_only=True)
class DataResult:
    """Which recordings a run was tested on, and learned from; the part of a result that all such runs have.

    Attributes:
        dataset, title: the dataset's name, in the catalogue and for people.
        split: it was tested on.
        samples, train_samples: recordings it was tested on and learned from.
        size, train_size: recordings of the two splits, where a limit took some of them; None: all were taken.
        seed: of everything random.
        classes: by their number.
        row_0: where pictures of the recordings have row 0, "top" or "bottom".
    """

    dataset: str = ""
    title: str = ""
    split: str = ""
    samples: int | None = None
    train_samples: int | None = None
    size: int | None = None
    train_size: int | None = None
    seed: int | None = None
    classes: tuple[str, ...] = ()
    row_0: str = "top"

    @classmethod
    def of(cls, data: Data, splits: Splits, seed: int) -> DataResult:
        """Return the facts of a run on `splits` of a dataset."""
        about = data.describe()
        return DataResult(
            dataset=data.name,
            title=about.title,
            split=splits.name,
            samples=len(splits.test),
            train_samples=len(splits.train),
            size=splits.size,
            train_size=splits.train_size,
            seed=seed,
            classes=tuple(splits.test.classes),
            row_0=about.row_0,
        )


@dataclass(frozen=True, kw_only=True)
class RecordingsResult(Score, OtherClassifiers, DataResult, RunResult):
    """The results of a run that classifies recordings by the spikes of a network; each such kind derives its own.

    Attributes:
        spikes, spike_digest: of the network, on the test recordings.
        real_time_factor: wall-clock seconds a simulated second of the test recordings, event by event.
        simulated_seconds: of the test recordings.
        transductive: group whose recordings were answered together, such as "speaker"; "": each was answered alone.
        measures, energy: as `engine.measure` and `engine.energy` return them.
        shape: of the input.
        shown: the recordings whose spikes the folder keeps.
    """

    spikes: int | None = None
    spike_digest: str = ""
    transductive: str = ""
    real_time_factor: float | None = None
    simulated_seconds: float | None = None
    measures: Measures | None = None
    energy: EnergyEstimates | None = None
    shape: tuple[int, ...] = ()
    shown: tuple[ShownRecording, ...] = ()

    def notes(self) -> Mapping[str, str]:
        return {"spike_digest": self.spike_digest}


def shown_recordings(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], durations: NDArray[np.float64]
) -> tuple[ShownRecording, ...]:
    """Return the first recording of each of the first classes."""
    # The first, not the best: what a page shows must not be picked.
    firsts = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:MAX_SHOWN]]
    return tuple(
        ShownRecording(index=i, label=int(labels[i]), predicted=int(predicted[i]), duration=float(durations[i]))
        for i in firsts
    )


def write_shown(
    folder: RunFolder, shown: Sequence[ShownRecording], inputs: Recordings, outputs: Recordings, name: str
) -> None:
    """Write the spikes of the shown recordings: `input_0` and `NAME_0`, `input_1` and so on."""
    populations = {}
    for k, entry in enumerate(shown):
        populations[f"input_{k}"] = inputs[entry.index]
        populations[f"{name}_{k}"] = outputs[entry.index]
    write_sonata(folder.path / SPIKES, populations)


def data_facts(splits: Splits) -> dict[str, dict[str, object]]:
    """Return what a manifest says of the data; a resumed run must find the same."""
    named = {"train": splits.train, "test": splits.test}
    return {name: {"digest": r.digest(), "recordings": len(r), "events": len(r.ticks)} for name, r in named.items()}


def labels_of(recordings: Recordings) -> NDArray[np.int64]:
    """Return [n] the class of each recording.

    Raises:
        NeurosimInputError: the recordings have no classes.
    """
    if recordings.labels is None:
        raise NeurosimInputError("recordings: have no labels; choose a labelled set")
    return recordings.labels
