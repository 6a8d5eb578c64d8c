"""Groups of views that the run on the grid takes, made by `neurosim.engine.grid.workspace`, and those within a thread.

Blocks, slots and pages are as in `deliver`; the columns of the tables are named in `loop`, `deliver` and `plastic`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Units stepped at a time. States, inputs, counts and flags of a current-based neuron take 43 kB, within a first cache
# of 48 kB; of 2,048 units they take 55 kB, and a step of CUBA 2.3 us in place of 2.0. States are [states, n], one piece
# after another, so that a model sees whole arrays.
PIECE = 1600


class ThreadTeam(NamedTuple):
    """A thread among those that run a network, and where they meet."""

    thread: int
    threads: int
    begin_block: int
    """The first block of this thread."""
    end_block: int
    """The block after its last."""
    sync: int
    """Address of the counters of `tools.intrinsics.barrier`."""
    spins: int
    """Iterations before a waiting thread yields its core."""


class Clock(NamedTuple):
    """Steps of a run."""

    first: int
    last: int
    """The step after the last."""
    log_start: int
    """The first step in the log."""
    queued: int
    """Spikes of the steps before it are in the queue."""
    interval: int
    """Number of steps from one meeting of the threads to the next, at most the shortest delay."""
    trial: int
    """Number of the independent stream of random input, < 2^31."""
    opens: int
    """1: the cursors of GROUPS do not stand at `first` and are brought there from the log."""
    states: int
    """The largest number of states of a neuron."""
    patience: int
    """Steps that a silent piece of neurons may wait for within an interval, see `late`; 0: none waits."""
    late: int
    """The most steps that one may have waited for when an interval ends."""


class GridTables(NamedTuple):
    """The network, as tables of addresses."""

    units: NDArray[np.int64]
    """[populations, UNIT_COLUMNS]."""
    rows: NDArray[np.int64]
    """[row tables, ROW_TABLE_COLUMNS]."""
    row_weights: NDArray[Any]
    """real [row tables]."""
    inputs: NDArray[np.int64]
    """[inputs, INPUT_COLUMNS]."""
    input_weights: NDArray[Any]
    """real [inputs]."""
    plastic: NDArray[np.int64]
    """[entries, PLASTIC_COLUMNS]."""
    posts: NDArray[np.int64]
    """[posts, POST_COLUMNS], see `plastic`."""
    members: NDArray[np.int64]
    """[blocks, entries], the population of each entry of a step in the log of a block; -1 for none."""
    probes: NDArray[np.int64]
    """[probes, PROBE_COLUMNS]."""
    exchange: NDArray[np.int64]
    """The record of `exchange` where other processes own other blocks; zeros where none do."""
    scheduler: int
    """Address of `deliver.schedule`; 0 where no row table needs it."""
    stepper: int
    """Address of `neurons.step_neurons`; 0 where no population has neurons."""


class Log(NamedTuple):
    """Spikes of the last steps, see `deliver.schedule`; at first those from `Clock.log_start` to `Clock.first - 1`."""

    units: NDArray[np.int32]
    """[blocks, room]."""
    offsets: NDArray[np.int64]
    """[blocks, steps * entries + 1]."""
    max_spikes: NDArray[np.int64]
    """[blocks], upper bound of the spikes of a block in a step."""


class ArrivalBuffers(NamedTuple):
    """Weights that have arrived, or will. The counts and sums are zero between steps."""

    counts: NDArray[np.uint8]
    """[counters, slots]."""
    sums: NDArray[Any]
    """real [receptors, slots]."""
    fixed: NDArray[np.int32]
    """[receptors, slots]."""
    queue: NDArray[Any]
    """real [depth, receptors * slots], by the step modulo the depth."""
    zero_row: int
    """Address of a row of zero bits."""
    page_blocks: int
    """Blocks of a page."""
    block_slots: int
    """Slots of a block."""


class Counters(NamedTuple):
    """Results of a run."""

    changes: NDArray[np.int64]
    """[threads, populations], membrane entries that changed."""
    drawn: NDArray[np.int64]
    """[threads, stimuli], spikes drawn for each stimulus."""
    last_step: NDArray[np.int64]
    """[threads], the step reached."""


# Addresses that the pieces of a step work on, and the sizes that lead from one to the next.
PLACES = np.dtype(
    [
        ("inputs", np.int64),  # `GridTables.inputs`
        ("counts", np.int64),  # `ArrivalBuffers.counts`, as sums, fixed and queue those of their names
        ("sums", np.int64),
        ("fixed", np.int64),
        ("queue", np.int64),
        ("due", np.int64),  # uint8 [counters + receptors], which of them received anything in this step
        ("changes", np.int64),  # int64 [populations], of this thread
        ("drawn", np.int64),  # int64 [stimuli], of this thread
        ("x", np.int64),  # real [receptors, PIECE], the inputs of a piece
        ("before", np.int64),  # real [PIECE], its membranes before the step
        ("former", np.int64),  # real [states, PIECE], its state before the step, or that of its groups that are awake
        ("awake", np.int64),  # int32 [PIECE], these groups
        ("spiked", np.int64),  # uint8 [PIECE + 64], its flags, from a cache line on
        ("words", np.int64),  # uint32 [PIECE], random words
        ("drawing", np.int64),  # int64 [CALL_ENTRIES], the call of a function of `stimuli`
        ("adding", np.int64),  # int64 [readers.REQUEST_ENTRIES], the call of a function that reads rows which are due
        ("context", np.int64),  # int64 [plastic.CONTEXT_ENTRIES]
        ("reading", np.int64),  # int64 [groups.CONTEXT_ENTRIES]
        ("counters", np.int64),  # rows of `ArrivalBuffers.counts`
        ("receptors", np.int64),
        ("slots", np.int64),  # slots of a receptor or a counter
        ("depth", np.int64),  # rows of the queue
        ("queue_row", np.int64),  # entries of one
        ("zero_row", np.int64),  # address of a row of zero bits
        ("entries", np.int64),  # entries of a step in the log of a block
    ]
)


# What `neurons.step_neurons` is asked.
STEPPING = np.dtype(
    [
        ("population", np.int64),  # the number of the row of the table of populations
        ("block", np.int64),
        ("step", np.int64),
        ("draw", np.int64),  # counter of the random draws of the step
        ("patience", np.int64),  # steps that a silent piece of neurons may wait for, see `late`
        ("ends_interval", np.int64),  # whether it is the last step of an interval
        ("block_slots", np.int64),  # slots of a block
        ("log_at", np.int64),  # address: int32, the log of the block
        ("used", np.int64),  # spikes in it; answer: the same with those of this step
        ("ends", np.int64),  # address: int64 [count], where the spikes of the population, or of each of a bundle, end
        ("count", np.int64),
    ]
)


class Moment(NamedTuple):
    """A step, as what it draws and writes sees it."""

    step: int
    draw: int
    """Trial and step, the counter of its random draws."""
    at: int
    """Position of the step in the offsets of the log."""
    patience: int
    """Steps that a silent piece of neurons may wait for, see `late`."""
    ends_interval: bool
    """Whether it is the last step of an interval."""


class Pages(NamedTuple):
    """The blocks of a thread, and how they lie in pages."""

    begin_block: int
    end_block: int
    page_blocks: int
    block_slots: int
    blocks: int
    """Number of blocks of the whole network."""
