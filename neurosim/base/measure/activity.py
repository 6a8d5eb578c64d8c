"""Counts of a layer from its recorded activity, for networks small enough to keep every entry in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from .work import LayerCounts

STATELESS = "no membrane potentials were recorded"


def count(
    name: str,
    weights: NDArray[Any],
    inputs: NDArray[Any],
    outputs: NDArray[Any],
    potentials: NDArray[Any] | None = None,
    *,
    spiking: bool = True,
    parameter_bytes: int | None = None,
) -> LayerCounts:
    """Return the counts of one layer whose whole activity is known.

    Args:
        name: of the layer.
        weights: [inputs, outputs]; absent connections are zeros.
        inputs: [samples, steps, inputs] input at each step; [samples, 1, inputs] for a constant one, whose product with
            the weights is taken once a sample.
        outputs: [samples, steps, outputs] spikes, activations or readings.
        potentials: [samples, steps, outputs] state after each step, or [samples, steps, outputs, variables]; None
            for a layer whose state is unknown. A layer without state has shape [samples, steps, outputs, 0].
        spiking: whether the outputs are events.
        parameter_bytes: of everything stored (default: the weights).

    Raises:
        NeurosimInputError: shapes that do not fit together.
    """
    samples, steps, fan_in = _shapes(weights, inputs, outputs)
    outs = weights.shape[1]
    products = inputs.shape[0] * inputs.shape[1]
    # An event at input i costs an operation for each nonzero weight of row i: arrivals . fan_out in all.
    fan_out = np.count_nonzero(weights, axis=1)
    arrivals = np.count_nonzero(inputs, axis=(0, 1))
    updates, state_bytes, state_bits, reasons = _state(potentials, outputs)
    stateless = potentials is not None and potentials.size == 0
    return LayerCounts(
        name=name,
        inputs=fan_in,
        outputs=outs,
        weights=weights.size,
        nonzero_weights=int(fan_out.sum()),
        weight_bits=weights.dtype.itemsize * 8,
        steps=samples * steps,
        input_events=int(arrivals.sum()),
        output_events=int(np.count_nonzero(outputs)),
        output_entries=outputs.size,
        synaptic_operations=int(arrivals @ fan_out),
        binary_input=bool(np.isin(inputs, (-1, 0, 1)).all()),
        dense_operations=fan_in * outs * products,
        membrane_updates=updates,
        dense_membrane_updates=0 if stateless else outs * samples * steps,
        state_bytes=state_bytes,
        parameter_bytes=weights.nbytes if parameter_bytes is None else parameter_bytes,
        spiking=spiking,
        reasons=reasons,
        state_bits=state_bits or weights.dtype.itemsize * 8,
        weight_type="float" if weights.dtype.kind == "f" else "int",
    )


def _shapes(weights: NDArray[Any], inputs: NDArray[Any], outputs: NDArray[Any]) -> tuple[int, int, int]:
    require(weights.ndim == 2, "measure.count.weights", "must be [inputs, outputs]", weights.shape)
    require(inputs.ndim == 3, "measure.count.inputs", "must be [samples, steps, inputs]", inputs.shape)
    samples, steps, fan_in = inputs.shape
    if steps == 1 and outputs.ndim == 3:
        steps = outputs.shape[1]
    require(fan_in == weights.shape[0], "measure.count.inputs", f"must end in {weights.shape[0]} inputs", inputs.shape)
    expected = (samples, steps, weights.shape[1])
    require(outputs.shape == expected, "measure.count.outputs", f"must have the shape {expected}", outputs.shape)
    return samples, steps, fan_in


def _state(potentials: NDArray[Any] | None, outputs: NDArray[Any]) -> tuple[int | None, int, int, Mapping[str, str]]:
    """Return membrane updates, bytes of state, bits of one variable, and reasons."""
    if potentials is None:
        return None, 0, 0, {"membrane_updates": STATELESS}
    shape = outputs.shape
    require(potentials.shape[:3] == shape, "measure.count.potentials", f"must start with {shape}", potentials.shape)
    samples, steps, units = shape
    if potentials.size:
        state = potentials.reshape(*shape, -1)
    else:
        state = np.zeros((*shape, 0), potentials.dtype)
    variables = state.shape[-1]
    # NeuroBench: every unit updates at the first step of a sample, later those whose state changed.
    if variables and steps:
        first = samples * units
    else:
        first = 0
    changed = (state[:, 1:] != state[:, :-1]).any(axis=-1)
    itemsize = potentials.dtype.itemsize
    return first + int(changed.sum()), units * variables * itemsize, itemsize * 8, {}
