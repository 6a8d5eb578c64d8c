"""Dendritic segments of point neurons that predict the spikes of their neuron (Hawkins & Ahmad 2016).

A segment recognises the context of a window, and learns which contexts come before the spikes of its neuron.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.measure.work import LayerCounts
from ...network.windowed import MAX_COUNT, Arrivals, Output, WindowModel, WindowState, WindowTotals, array_of
from .inputs import integer, permanence_steps

if TYPE_CHECKING:
    from ...kernels.memory.segments.reference import SegmentRules

# Bytes of a synapse: its source and its permanence.
SYNAPSE_BYTES = 6


@final
@dataclass(frozen=True, eq=False)
class DendriticSegments(WindowModel):
    """Segments of a population of neurons, as a windowed population of its own with one unit a neuron.

    A segment with `activation_threshold` connected synapses from the context of a window is active, and its unit spikes
    at the window's end. A projection one to one onto the receptor "dendrite" of a `neurons.DendriticLIF` then lets it
    predict, or gate, its neuron; a link from these neurons to the receptor "soma" lets it learn.

    A neuron that spikes in a window teaches, from the context of the window before: its segments that were active
    adapt (active synapses rise, silent ones fall) and grow; if none was, the one that matched best with at least
    `min_threshold` synapses does; if none matched, the segment that learned longest ago is used anew. Active segments
    of a neuron that stays silent are punished. A full segment replaces its weakest synapse.

    Attributes:
        units: number of neurons.
        context: number of context inputs.
        segments_per_unit, synapses_per_segment: sizes, fixed: memory does not grow.
        activation_threshold: number of connected active synapses with which a segment is active.
        min_threshold: number of active synapses, connected or not, with which a segment matches.
        initial_permanence: permanence of a new synapse, a multiple of 1e-4.
        connected_permanence: minimum permanence of a connected synapse, a multiple of 1e-4.
        permanence_increment: rise of a learning segment's synapses from active context.
        permanence_decrement: fall of a learning segment's synapses from silent context.
        predicted_decrement: fall of the active synapses of segments whose neuron stays silent.
        max_new_synapses: maximum number of a learning segment's synapses from the context, old and new.
        seed: key of the choice of new synapses.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    units: int
    context: int
    segments_per_unit: int = 8
    synapses_per_segment: int = 32
    activation_threshold: int = 13
    min_threshold: int = 10
    initial_permanence: float = 0.21
    connected_permanence: float = 0.5
    permanence_increment: float = 0.1
    permanence_decrement: float = 0.1
    predicted_decrement: float = 0.0
    max_new_synapses: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        self._rules()
        size = self.units * self.segments_per_unit * self.synapses_per_segment
        require(size < 2**31, "DendriticSegments", f"must have fewer than {2**31} synapses", size)

    @property
    def receptors(self) -> Mapping[str, int]:
        return {"context": self.context, "soma": self.units}

    @property
    def outputs(self) -> int:
        return self.units

    @property
    def readings(self) -> tuple[str, ...]:
        return ("anomaly",)

    def start(self) -> WindowState:
        return _SegmentsState(self)

    def _rules(self) -> SegmentRules:
        from ...kernels.memory.segments.reference import SegmentRules

        name = "DendriticSegments."
        synapses = integer(self.synapses_per_segment, name + "synapses_per_segment", 1, 2**15)
        activation = integer(self.activation_threshold, name + "activation_threshold", 1, synapses)
        integer(self.units, name + "units", 1, 2**24)
        integer(self.context, name + "context", 1, 2**31 - 1)
        integer(self.segments_per_unit, name + "segments_per_unit", 1, 2**15)
        return SegmentRules(
            activation=activation,
            minimum=integer(self.min_threshold, name + "min_threshold", 1, activation),
            initial=permanence_steps(self.initial_permanence, name + "initial_permanence", 0.0001),
            connected=permanence_steps(self.connected_permanence, name + "connected_permanence", 0.0001),
            increment=permanence_steps(self.permanence_increment, name + "permanence_increment"),
            decrement=permanence_steps(self.permanence_decrement, name + "permanence_decrement"),
            punishment=permanence_steps(self.predicted_decrement, name + "predicted_decrement"),
            growth=integer(self.max_new_synapses, name + "max_new_synapses", 1, synapses),
            key=integer(self.seed, name + "seed", 0, 2**63 - 1),
        )


@final
class _SegmentsState(WindowState):
    """Segments in a network.

    Attributes:
        segments: synapses onto the context, and their overlaps with the context of the window before.
        window: [1] number of the next window, from 1.
        before: [n] active context inputs of the window before.
    """

    def __init__(self, model: DendriticSegments) -> None:
        from ...kernels.memory.segments.reference import NONE, Segments

        self.model = model
        self.rules = model._rules()
        shape = model.units, model.segments_per_unit, model.synapses_per_segment
        self.segments = Segments(
            source=np.full(shape, NONE, np.int32),
            permanence=np.zeros(shape, np.int16),
            learned=np.zeros(shape[:2], np.int64),
            overlaps=np.zeros(shape[:2], np.int32),
            matches=np.zeros(shape[:2], np.int32),
        )
        self.window: NDArray[np.int64] = np.ones(1, np.int64)
        self.before: NDArray[np.int32] = np.empty(0, np.int32)

    def begin(self) -> None:
        # Nothing is predicted in the first window.
        self.before = np.empty(0, np.int32)
        self.segments.overlaps[:] = 0
        self.segments.matches[:] = 0

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        from ...kernels.memory.segments.launch import active_units, update_overlaps
        from ...kernels.memory.segments.launch import learn as learn_context

        context = arrivals["context"].units
        soma = arrivals["soma"].units
        # Overlaps were computed in the window before: they predict the spikes of this one.
        predicted = active_units(self.rules, self.segments)
        missed = np.setdiff1d(soma, predicted, assume_unique=True).size
        anomaly = missed / soma.size if soma.size else 0.0
        # Learning uses the context and the overlaps of the window before, which the present context then replaces.
        if learn:
            window = int(self.window[0])
            learn_context(self.rules, self.segments, self.model.context, self.before, soma, window)
        visited = update_overlaps(self.rules, self.segments, self.model.context, context)
        self.before = context.copy()
        self.window += 1
        return Output(active_units(self.rules, self.segments), visited, (anomaly,))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {name: array.copy() for name, array in self._by_name().items()} | {"before": self.before.copy()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        from ...kernels.memory.permanence import ONE
        from ...kernels.memory.segments.reference import NONE

        last = self.model.context - 1
        synapses = self.model.synapses_per_segment
        bounds: Mapping[str, tuple[int, int]] = {
            "source": (NONE, last),
            "permanence": (0, ONE),
            "learned": (0, MAX_COUNT),
            "window": (1, MAX_COUNT),
            "overlaps": (0, synapses),
            "matches": (0, synapses),
        }
        own = self._by_name()
        restored = {name: array_of(arrays, name, own[name], *limits) for name, limits in bounds.items()}
        length = np.shape(arrays.get("before", ()))[:1] or (0,)
        before = array_of(arrays, "before", like=np.empty(length, np.int32), low=0, high=last)
        require(bool((np.diff(before) > 0).all()), "state['before']", "must rise", before.size)
        for name, array in restored.items():
            own[name][...] = array
        self.before = before.copy()

    def _by_name(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of one shape from window to window, without copies."""
        return {**self.segments._asdict(), "window": self.window}

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        units = self.model.units
        own = self.segments
        size = own.source.size
        exist = int(np.count_nonzero(own.source >= 0))
        connected = int(np.count_nonzero((own.source >= 0) & (own.permanence >= self.rules.connected)))
        return LayerCounts(
            name=name,
            inputs=self.model.context,
            weights=exist,
            nonzero_weights=connected,
            weight_bits=16,
            weight_type="int",
            binary_input=True,
            state_bytes=own.overlaps.nbytes + own.matches.nbytes,
            parameter_bytes=size * SYNAPSE_BYTES + own.learned.nbytes,
            dense_weights=units * self.model.segments_per_unit * self.model.context,
            index_bits=32,
            **totals.counts(
                outputs=units,
                dense_operations=size,
                membranes=0,  # segments keep no membrane from window to window
            ),
        )
