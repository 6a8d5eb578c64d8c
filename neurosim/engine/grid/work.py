"""The work of a run as layers: counted from the spikes of every unit and the rows they select."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ...measure import LayerCounts
from ..compile.network import CompiledNetwork
from .workspace import Workspace

UNCOUNTED = "counting changed membranes was not asked for: simulate(..., count_updates=True)"


def layers(
    plan: CompiledNetwork, workspaces: Sequence[Workspace], steps: int, count_updates: bool
) -> tuple[LayerCounts, ...]:
    """One layer a population of neurons; `steps` is the sum over all recordings."""
    populations = range(len(plan.network.populations))
    tallies = [np.sum([workspace.tallies[p] for workspace in workspaces], axis=0) for p in populations]
    changes = np.sum([workspace.changes.sum(axis=0) for workspace in workspaces], axis=0)
    drawn = np.sum([workspace.drawn.sum(axis=0) for workspace in workspaces], axis=0)
    updates = changes if count_updates else [None] * len(changes)
    return tuple(_layer(plan, p, tallies, drawn, steps, updates[p]) for p in sorted(plan.cells))


def _layer(
    plan: CompiledNetwork, p: int, tallies: list[NDArray], drawn: NDArray, steps: int, updates: NDArray | None
) -> LayerCounts:
    cells, size = plan.cells[p], plan.network.populations[p].size
    joints = [number for number, drawing in enumerate(plan.drawings) if drawing.target == p]
    noises = [s for s, noise in enumerate(plan.noises) if noise.target == p]
    sources = {plan.drawings[number].source for number in joints}
    degrees = [plan.degrees[number] for number in joints]
    noise_events = int(sum(drawn[s] for s in noises))
    # A Poisson stimulus is a source of its own for every unit, joined one to one.
    inputs = sum(plan.network.populations[source].size for source in sources) + size * len(noises)
    selected = sum(int(tallies[plan.drawings[number].source] @ plan.degrees[number]) for number in joints)
    return LayerCounts(
        name=cells.population.name,
        inputs=inputs,
        outputs=size,
        weights=sum(plan.drawings[number].synapses for number in joints) + size * len(noises),
        nonzero_weights=int(sum(d.sum(dtype=np.int64) for d in degrees))
        + size * sum(plan.noises[s].weight != 0 for s in noises),
        weight_bits=plan.real.itemsize * 8,
        steps=steps,
        input_events=sum(int(tallies[source].sum()) for source in sources) + noise_events,
        output_events=int(tallies[p].sum()),
        output_entries=size * steps,
        synaptic_operations=selected + noise_events,
        binary_input=True,
        dense_operations=inputs * size * steps,
        membrane_updates=None if updates is None else int(updates),
        dense_membrane_updates=size * steps,
        state_bytes=cells.initial.nbytes,
        parameter_bytes=sum(_bytes(plan, joints)) + cells.constants.nbytes,
        spiking=True,
        reasons={} if updates is not None else {"membrane_updates": UNCOUNTED},
        state_bits=plan.real.itemsize * 8,
        index_bits=16,
    )


def _bytes(plan: CompiledNetwork, joints: Sequence[int]) -> Iterator[int]:
    """What some projections take of the memory of each path, by their share of its synapses."""
    yield from (lesson.nbytes for lesson in plan.plastic if lesson.number in joints)
    for path in plan.paths:
        mine = sum(plan.drawings[number].synapses for number in path.drawings if number in joints)
        every = sum(plan.drawings[number].synapses for number in path.drawings)
        if mine:
            yield path.nbytes * mine // every
