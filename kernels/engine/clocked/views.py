"""Records that the run on the grid takes, made by `neurosim.engine.grid.thread_room`.

Blocks, slots and pages are as in `deliver`; the columns of the tables are named in `columns`, `deliver` and `plastic`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Units stepped at a time. States, inputs, counts and flags of a current-based neuron take 43 kB, within a first cache
# of 48 kB; of 2,048 units they take 55 kB, and a step of CUBA 2.3 us in place of 2.0. States are [states, n], one piece
# after another, so that a model sees whole arrays.
PIECE = 1600


class Piece(NamedTuple):
    """A piece of a population of which it is known whether it rests, within compiled functions."""

    first: int
    """Its first unit."""
    n: int
    """Its units."""
    slot: int
    """The slot of its first unit."""
    known: NDArray[np.uint8]
    """[1], what is known of it, see `rest`."""
    flags_at: int
    """Address of the flags of its groups, see `awake`; 0: there are none."""


# What a thread runs: its part of the network, the steps, and where everything lies. Addresses are those of arrays.
TASK = np.dtype(
    [
        ("thread", np.int64),
        ("threads", np.int64),
        ("sync", np.int64),  # address of the counters of `tools.intrinsics.barrier`
        ("spins", np.int64),  # iterations before a waiting thread yields its core
        ("epoch", np.int64),  # how often the threads have met since the counters were zero
        # The blocks of this thread, how they lie in pages, and how many the whole network has.
        ("begin_block", np.int64),
        ("end_block", np.int64),
        ("page_blocks", np.int64),
        ("block_slots", np.int64),
        ("blocks", np.int64),
        # Steps.
        ("first", np.int64),  # answer: the step reached
        ("last", np.int64),  # the step after the last
        ("log_start", np.int64),  # the first step in the log
        ("queued", np.int64),  # spikes of the steps before it are in the queue
        ("interval", np.int64),  # steps from one meeting of the threads to the next, at most the shortest delay
        ("trial", np.int64),  # number of the independent stream of random input, < 2^31
        ("patience", np.int64),  # steps that a silent piece may wait for within an interval, see `late`; 0: none waits
        ("late", np.int64),  # the most steps that one may have waited for when an interval ends
        ("need", np.int64),  # answer: the rows that are due and for which the list of them is too short; 0: it was not
        # The network.
        ("units", np.int64),  # int64 [populations and bundles, UNIT_COLUMNS]
        ("unit_count", np.int64),
        ("rows", np.int64),  # int64 [row tables, ROW_TABLE_COLUMNS]
        ("row_count", np.int64),
        ("plastic", np.int64),  # int64 [entries, PLASTIC_COLUMNS]
        ("plastic_count", np.int64),
        ("posts", np.int64),  # int64 [posts, POST_COLUMNS], see `plastic`
        ("post_count", np.int64),
        ("members", np.int64),  # int64 [blocks, entries], the population of each entry of a step in the log of a block
        ("entries", np.int64),
        ("probes", np.int64),  # int64 [probes, PROBE_COLUMNS]
        ("probe_count", np.int64),
        # Spikes of the last steps, see `deliver.schedule`; at first those from log_start to first - 1.
        ("spikes", np.int64),  # int32 [blocks, room]
        ("room", np.int64),
        ("offsets", np.int64),  # int64 [blocks, columns], steps * entries + 1
        ("columns", np.int64),
        ("max_spikes", np.int64),  # int64 [blocks], upper bound of the spikes of a block in a step
        # Weights that arrive later: real [depth, queue_row], by the step modulo the depth.
        ("queue", np.int64),
        ("depth", np.int64),
        ("queue_row", np.int64),
        # Calls that are passed on: int64 arrays of the modules named.
        ("planning", np.int64),  # `deliver.schedule`
        ("asking", np.int64),  # `deliver.deliver_queue`
        ("exchange", np.int64),  # the record of `exchange`, and its call
        ("trade", np.int64),
        # Functions by their addresses; 0 where the network needs none.
        ("opener", np.int64),  # `arrivals.open_groups`
        ("scheduler", np.int64),  # `deliver.schedule`
        ("enqueuer", np.int64),  # `arrivals.enqueue`
        ("sampler", np.int64),  # `sample.sample`
        ("deliverer", np.int64),  # `arrivals.deliver_due`
        ("arrival_learner", np.int64),  # `learners.learn_arrivals`
        ("target_learner", np.int64),  # `learners.learn_targets`
        ("catcher", np.int64),  # `late.catch_up_all`
        ("exchanger", np.int64),  # `exchange.exchange`
    ]
)


# Addresses that the pieces of a step work on, and the sizes that lead from one to the next.
PLACES = np.dtype(
    [
        ("inputs", np.int64),  # int64 [inputs, INPUT_COLUMNS]
        # Weights that have arrived; all are zero between steps.
        ("counts", np.int64),  # uint8 [counters, slots]
        ("sums", np.int64),  # real [receptors, slots]
        ("fixed", np.int64),  # int32 [receptors, slots]
        ("queue", np.int64),  # real [depth, receptors * slots], of later steps, too
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
        ("counters", np.int64),  # rows of the counts
        ("receptors", np.int64),
        ("slots", np.int64),  # slots of a receptor or a counter
        ("depth", np.int64),  # rows of the queue
        ("queue_row", np.int64),  # entries of one
        ("zero_row", np.int64),  # address of a row of zero bits
        ("entries", np.int64),  # entries of a step in the log of a block
    ]
)


# What a function that advances a population is asked.
STEPPING = np.dtype(
    [
        ("population", np.int64),  # the number of the row of the table of populations
        ("block", np.int64),
        ("blocks", np.int64),  # of the whole network
        ("step", np.int64),
        ("number", np.int64),  # of the step in its interval
        ("draw", np.int64),  # trial and step, the counter of the random draws of the step
        ("at", np.int64),  # position of the step in the offsets of the log
        ("patience", np.int64),  # steps that a silent piece of neurons may wait for, see `late`
        ("ends_interval", np.int64),  # whether it is the last step of an interval
        ("catches_up", np.int64),  # whether pieces make the steps that they wait for, and no other
        ("block_slots", np.int64),  # slots of a block
        ("log_at", np.int64),  # address: int32, the log of the block
        ("used", np.int64),  # spikes in it; answer: the same with those of this step
        ("ends", np.int64),  # address: int64 [count], where the spikes of the population, or of each of a bundle, end
        ("last", np.int64),  # address of the last offset of the log that is written
        ("count", np.int64),
    ]
)
