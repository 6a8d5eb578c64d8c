"""Inputs of spike sources in a simulation that runs in pieces: recordings, or consecutive windows of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from ..base.errors import NeurosimInputError
from ..data.files.windows import read_windows
from ..data.spikes import Spikes
from ..network.population import Population
from .grid.sources import EventSource, InMemorySource, StreamedSource
from .inputs import check_size

Played: TypeAlias = "Spikes | Iterable[Spikes] | str | os.PathLike[str]"


def source_of(population: Population, item: object, clock: float) -> EventSource:
    """Return the events of a spike source.

    Raises:
        NeurosimInputError: neither a recording nor windows of one, or one of another size.
    """
    name = f"simulate.inputs[{population.name!r}]"
    size = population.size
    if isinstance(item, Spikes):
        check_size(item, size, name)
        return InMemorySource(item, clock, name)
    if isinstance(item, (str, os.PathLike)):
        return StreamedSource(read_windows(item), size, clock, name)
    if isinstance(item, Iterable) and not isinstance(item, (Sequence, Mapping)):
        return StreamedSource(item, size, clock, name)
    raise NeurosimInputError(
        f"{name}: must be Spikes, an iterable of them or a SONATA file (got {type(item).__name__})"
    )
