"""The config of the recogniser: the items, how columns see them, and the order in which they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from .....base.measure.profiles import find as find_profile
from .....base.rules import Count, NotEmpty, Positive, Rule, Seed
from .....data.catalog import Dataset
from ...frame.config import Baselines, Data, Energy, RunConfig

# Chosen on validation parts of the training items (benchmarks/macrocolumn.py).
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "nmnist": {"view": {"duration": 0.315}},
    "fashion": {"view": {"threshold": [10, 45, 85, 125, 165, 205]}},
}
Level = Annotated[int, Rule(">= 0 and <= 254")]


@dataclass(frozen=True)
class View:
    """How items become inputs of the columns, an ON and an OFF one for each place.

    Attributes:
        kind: "image", "camera" or "sound"; "auto" by the shape of the items: see `macrocolumn.build_recogniser`.
        threshold: grey level above which a pixel of an image is on; a list tells shades apart, with inputs for each.
        min_spikes: of a camera's pixel, in a window, to be on.
        duration: s, of a camera's windows together; None: the duration of the longest recording to store.
    """

    kind: Literal["auto", "image", "camera", "sound"] = "auto"
    threshold: Level | Annotated[tuple[Level, ...], NotEmpty()] = 100
    min_spikes: Count = 2
    duration: Positive | None = None


@dataclass(frozen=True, kw_only=True)
class RecogniseConfig(RunConfig):
    """Everything that decides the results of a recogniser's run.

    Attributes:
        seed: key of the columns' draws, and of the order in which items are stored.
        data: the items: the first split is stored, each item once, and `split` is recognised.
        view: see there.
        energy: settings of the estimates.
        baselines: what the answers are compared with.
    """

    seed: Seed = 0
    data: Data
    view: View = View()
    energy: Energy = Energy()
    baselines: Baselines = Baselines()

    @classmethod
    def defaults(cls, dataset: Dataset) -> Mapping[str, object]:
        return DEFAULTS.get(dataset.name, {})

    def check(self) -> None:
        find_profile(self.energy.profile)
        self.data.check_speaker()


# The kind of run finds its settings by this name.
CONFIG = RecogniseConfig
