"""The results of a recogniser's run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .....base.measure.estimates import EnergyEstimates
from .....base.measure.measures import Measures
from ...frame.kind import RunResult
from ...score import OtherClassifiers, Score


@dataclass(frozen=True, kw_only=True)
class LevelSize:
    """A level.

    Attributes:
        columns: number of columns, or of places that share a dictionary.
        modules, units: of a column; a dictionary is one module.
        filled: fraction of the weights that is on, or of the dictionary that holds a patch.
    """

    columns: int = 0
    modules: int = 0
    units: int = 0
    filled: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RecogniseResult(Score, OtherClassifiers, RunResult):
    """The results of a recogniser's run.

    Attributes:
        dataset, title, split, samples: name and title of the dataset; the split that was recognised, its items.
        classes: their names.
        view: "image", "camera" or "sound".
        code, readout: "columns" or "patches"; "bayes", "rates" or "ridge".
        stored: number of items that were stored, each once.
        places_on: fraction of a camera's places that are on in a window of the items; None of other views.
        levels: from the lowest up.
        words: 64-bit words of weights that columns and counts read to recognise an item, on average.
        digest: SHA-256 of the answers.
        measures, energy: of recognising the split.
    """

    kind: str = "recognise"
    dataset: str = ""
    title: str = ""
    split: str = ""
    samples: int = 0
    seed: int | None = None
    classes: tuple[str, ...] = ()
    view: str = ""
    code: str = "columns"
    readout: str = "bayes"
    stored: int = 0
    places_on: float | None = None
    levels: tuple[LevelSize, ...] = ()
    words: float | None = None
    digest: str = ""
    measures: Measures | None = None
    energy: EnergyEstimates | None = None

    def notes(self) -> Mapping[str, str]:
        return {"answer_digest": self.digest}
