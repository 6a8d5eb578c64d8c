"""Counts of columns and of votes for classes, from batches of codes, for `measure`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base.measure.work import LayerCounts
from ...kernels.memory.macrocolumn.views import CHOSEN, REASON
from .state import ColumnMemory, LevelBatch


def count_columns(name: str, inputs: int, memory: ColumnMemory, batch: LevelBatch) -> LayerCounts:
    """Return the work of one level over the frames of a batch, with the weights that `memory` has now.

    An active afferent selects its row of binary weights, which are added to the sums of all units: those that are off
    are read too and count. A column that keeps its code, or has too few or too many active inputs, does nothing.

    Args:
        name: name of the level.
        inputs: number of units that its columns see.
    """
    columns, _, size = memory.u.shape
    units = columns * size
    weights = columns * size * sum(memory.afferents)
    operations = int(batch.synaptic_operations.sum())
    # Only frames whose code was selected anew update the sums of all units.
    selections = int(np.count_nonzero(batch.notes[..., REASON] == CHOSEN))
    return LayerCounts(
        name=name,
        inputs=inputs,
        outputs=units,
        weights=weights,
        nonzero_weights=sum(int(np.unpackbits(w.view(np.uint8)).sum()) for w in (memory.u, memory.h, memory.d)),
        weight_bits=1,
        steps=len(batch),
        input_events=operations // size,
        output_events=int(np.count_nonzero(batch.codes >= 0)),
        output_entries=units * len(batch),
        synaptic_operations=operations,
        binary_input=True,
        dense_operations=weights * len(batch),
        membrane_updates=selections * size,
        dense_membrane_updates=units * len(batch),
        state_bytes=units * 2,
        parameter_bytes=memory.nbytes,
        spiking=True,
        dense_weights=weights,
        state_bits=16,
        weight_type="int",
    )


def count_votes(name: str, codes: NDArray[np.int32], logs: NDArray[np.float32]) -> LayerCounts:
    """Return the work of votes for classes: each winner selects its row of logarithms, one for each class.

    Args:
        name: name of the layer.
        codes: [items, frames, columns, Q] winners, -1 for none.
        logs: [frames, columns, Q, K, classes].
    """
    from ...kernels.memory.label_counts.cpu import votes

    items = len(codes)
    classes = logs.shape[-1]
    inputs = logs.size // classes
    # Votes of 1 for every logarithm that is not 0: their sum is the number of additions.
    selected = np.zeros((items, classes))
    votes(np.ascontiguousarray(codes), (logs != 0).astype(np.float32), selected)
    return LayerCounts(
        name=name,
        inputs=inputs,
        outputs=classes,
        weights=logs.size,
        nonzero_weights=int(np.count_nonzero(logs)),
        weight_bits=8 * logs.itemsize,
        steps=items,
        input_events=int(np.count_nonzero(codes >= 0)),
        output_events=items * classes,
        output_entries=items * classes,
        synaptic_operations=int(selected.sum()),
        binary_input=True,
        dense_operations=items * logs.size,
        membrane_updates=0,
        dense_membrane_updates=0,
        state_bytes=0,
        parameter_bytes=logs.nbytes,
        spiking=False,
    )
