"""Populations: units of one model, a neuron, a source of spikes or a windowed model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import is_integer, lookup, require
from ..base.shown import Shown
from ..base.values import Distribution, Value, check_value
from .neurons.base import Neuron
from .neurons.by_unit import varied
from .stimuli import PoissonSource, SpikeSource, check_rate_size
from .synapses.base import Side
from .windowed import Windowed

# Units are stored in 32 bits.
MAX_UNITS = 2**31 - 1
Model: TypeAlias = "Neuron | SpikeSource | PoissonSource | Windowed"
SOURCES = {"SpikeSource": SpikeSource, "PoissonSource": PoissonSource}


@final
@dataclass(frozen=True, eq=False)
class Population(Shown):
    """Units of one model. It may be copied and pickled.

    Attributes:
        name: name in projections, stimuli and results.
        shape: units along each dimension, or their number.
        model: a neuron, `SpikeSource()`, `PoissonSource(rate)`, or `Windowed(model, window)`.
        initial: initial values that differ from the neuron's, by state variable: a number, a vector [size] or
            a distribution.
        positions: [size, dimensions], for distance-dependent patterns; None means grid coordinates.

    Raises:
        NeurosimInputError: on construction, naming the population and its attribute.
    """

    name: str
    shape: tuple[int, ...]
    model: Model
    initial: Mapping[str, Value] = field(default_factory=dict)
    positions: NDArray[Any] | None = None

    if TYPE_CHECKING:  # a number of units is accepted too; the attribute is always a tuple

        def __init__(
            self,
            name: str,
            shape: int | Sequence[int],
            model: Model,
            initial: Mapping[str, Value] = ...,
            positions: NDArray[Any] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        require(isinstance(self.name, str) and self.name != "", "Population.name", "must be a name", repr(self.name))
        label = f"Population[{self.name!r}]"
        if isinstance(self.shape, (Sequence, np.ndarray)):
            shape = tuple(self.shape)
        else:
            shape = (self.shape,)
        fits = len(shape) > 0 and all(is_integer(n) and n > 0 for n in shape)
        require(fits, f"{label}.shape", "must be integers > 0", self.shape)
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        require(self.size <= MAX_UNITS, f"{label}.shape", f"must unfold to <= {MAX_UNITS} units", self.size)
        self._check_model(label)
        self._check_initial(label)
        if self.positions is not None:
            positions = np.asarray(self.positions, np.float64)
            fits = positions.ndim == 2 and len(positions) == self.size
            require(fits, f"{label}.positions", f"must be [{self.size}, dims]", positions.shape)
            require(bool(np.isfinite(positions).all()), f"{label}.positions", "must be finite", "NaN or infinity")

    def _check_model(self, label: str) -> None:
        """Raise unless the model is one of a population, of as many units."""
        models = (Neuron, SpikeSource, PoissonSource, Windowed)
        require(isinstance(self.model, models), f"{label}.model", "must be a neuron, a source or Windowed", self.model)
        if isinstance(self.model, Windowed):
            units = self.model.outputs
            rule = f"must unfold to the {units} units of its {type(self.model.model).__name__}"
            require(self.size == units, f"{label}.shape", rule, self.size)
        elif isinstance(self.model, PoissonSource):
            check_rate_size(self.model, f"{label}.model", self.size)
        elif isinstance(self.model, Neuron):
            # Distributions are drawn for each unit later.
            vectors = {name: v for name, v in varied(self.model).items() if isinstance(v, np.ndarray)}
            for name, values in vectors.items():
                rule = f"must hold {self.size} values, one a unit"
                require(values.size == self.size, f"{label}.model.{name}", rule, values.size)

    def _check_initial(self, label: str) -> None:
        if isinstance(self.model, Neuron):
            states = self.model.state
        else:
            states = ()
        require(isinstance(self.initial, Mapping), f"{label}.initial", "must be a mapping by name", self.initial)
        for name, value in self.initial.items():
            lookup(dict.fromkeys(states), name, f"{label}.initial")
            check_value(value, f"{label}.initial[{name!r}]")
            if not isinstance(value, Distribution) and np.ndim(value) == 1:
                count = np.size(value)
                require(count == self.size, f"{label}.initial[{name!r}]", f"must hold {self.size} values", count)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def side(self) -> Side:
        return Side(self.shape, self.positions)
