"""The spikes of an interval exchanged among the processes that share a network, from within the run loop.

Every process owns a range of blocks and has the logs of all. After an interval it sends the spikes of its own blocks
and writes the spikes of the others into their logs, so that all logs are equal: first the number of spikes of every
population in every step, then the units, both by MPI_Allgatherv, which is called by its address.

The run loop calls `exchange` by the address that `address_of_exchange` returns: networks of one process compile
nothing of it.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ...tools.compiled import compiled
from ...tools.pointers import address_of, vector

# The record, int64 [EXCHANGE_COLUMNS].
(
    CALLED,  # address of `exchange`; 0: there is one process
    GATHER,  # address of MPI_Allgatherv
    COMMUNICATOR,  # its handle
    INTEGERS,  # the handle of MPI_INT32_T
    RANK,
    PROCESSES,
    FIRST_BLOCKS,  # address: int64 [PROCESSES + 1], the blocks of each process and the one after the last
    EXCHANGE_COLUMNS,
) = range(8)

# The call, int64 [CALL_ENTRIES]: the first step of the interval and their number, the first step in the log, and the
# entries of a step.
STEP, STEPS, LOG_START, WIDTH, CALL_ENTRIES = range(5)


@intrinsic
def _allgatherv(typing, address, send, count, kind, receive, counts, places, communicator):
    """Call MPI_Allgatherv at `address` with one type of data: addresses, integers and handles, all int64.

    A handle is an int or a pointer, as MPI was built; either way it is the low part of a register. Errors end the
    process: the communicator says so.
    """
    wide = ir.IntType(64)
    narrow = ir.IntType(32)

    def emit(context, builder, signature, arguments):
        address, send, count, kind, receive, counts, places, communicator = arguments
        function = builder.inttoptr(address, ir.FunctionType(narrow, [wide] * 8).as_pointer())
        return builder.call(function, [send, count, kind, receive, counts, places, kind, communicator])

    return types.int32(*[types.int64] * 8), emit


@compiled
def _gather(record, sent, sizes, received):
    """Fill `received` with the int32 values of all processes, in their order, sizes[p] of process p."""
    counts = sizes.astype(np.int32)
    places = np.zeros(sizes.size, np.int32)
    for process in range(1, sizes.size):
        places[process] = places[process - 1] + counts[process - 1]
    code = _allgatherv(
        record[GATHER], sent.ctypes.data, sent.size, record[INTEGERS], received.ctypes.data, counts.ctypes.data,
        places.ctypes.data, record[COMMUNICATOR],
    )  # fmt: skip
    # Numba frees an array after its last mention.
    if counts.size + places.size + sent.size + received.size:
        return code
    return 0


def exchange(record, request, log, log_offsets):
    """Send the spikes of the own blocks in an interval, and write the others' spikes into their logs.

    Args:
        log, log_offsets: see `deliver.schedule`; they have room for the interval.
    """
    processes = record[PROCESSES]
    blocks = log.shape[0]
    entries = request[STEPS] * request[WIDTH]
    limits = vector(record[FIRST_BLOCKS], processes + 1, np.int64(0))
    first = limits[record[RANK]]
    last = limits[record[RANK] + 1]
    at = (request[STEP] - request[LOG_START]) * request[WIDTH]
    counts = np.empty(blocks * entries, np.int32)
    sizes = np.empty(processes, np.int64)
    # How many spikes each of the own blocks has of each population and step; then those of all processes.
    mine = np.empty((last - first) * entries, np.int32)
    total = 0
    for b in range(first, last):
        for e in range(entries):
            mine[(b - first) * entries + e] = log_offsets[b, at + e + 1] - log_offsets[b, at + e]
        total += log_offsets[b, at + entries] - log_offsets[b, at]
    for process in range(processes):
        sizes[process] = (limits[process + 1] - limits[process]) * entries
    _gather(record, mine, sizes, counts)
    # The own spikes, one after the other.
    sent = np.empty(total, np.int32)
    k = 0
    for b in range(first, last):
        for j in range(log_offsets[b, at], log_offsets[b, at + entries]):
            sent[k] = log[b, j]
            k += 1
    # All spikes, of which each process has as many as its counts say.
    total = 0
    for process in range(processes):
        sizes[process] = 0
        for k in range(limits[process] * entries, limits[process + 1] * entries):
            sizes[process] += counts[k]
        total += sizes[process]
    received = np.empty(total, np.int32)
    if total:
        _gather(record, sent, sizes, received)
    # Into the logs, block after block.
    k = 0
    for b in range(blocks):
        for e in range(entries):
            used = log_offsets[b, at + e]
            n = counts[b * entries + e]
            for j in range(n):
                log[b, used + j] = received[k + j]
            k += n
            log_offsets[b, at + e + 1] = used + n


def address_of_exchange() -> int:
    """Return the address of `exchange`, compiled."""
    whole = types.Array(types.int64, 1, "C")
    return address_of(exchange, whole, whole, types.Array(types.int32, 2, "C"), types.Array(types.int64, 2, "C"))
