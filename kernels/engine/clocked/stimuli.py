"""Stimuli that vary with the unit or with time: Poisson rates, currents, and the drives of neurons.

The run loop calls these functions by the addresses that `address_of` returns, so that they are compiled only for
networks that have such stimuli and cost nothing elsewhere. A stimulus has a record, and the call says which units and
which step are asked for.
"""

from __future__ import annotations

import math

import numpy as np
from numba import from_dtype, types, uint64

from ...tools import pointers
from ...tools.compiled import compiled
from ...tools.pointers import matrix, vector
from ...tools.poisson import CHUNK, PassedThresholds, counted, poisson_add, poisson_counts, short_words
from ...tools.random import normals, uniforms

# The record of a stimulus, int64 [RECORD_COLUMNS]. Columns that a kind does not use are 0.
(
    R_KEY,
    R_ROWS,  # pieces of time in which VALUES stay
    R_STEPS,  # address: int64 [ROWS], where each begins; the first is 0
    R_WIDTH,  # 1: one value for all units; else their number
    R_VALUES,  # address: float64 [ROWS, WIDTH]: means of Poisson counts, amplitudes; of a process [2, WIDTH] mean, sd
    R_SECOND,  # address: float64 [ROWS, WIDTH]: exp(-mean)
    R_NUMBERS,  # address: float64: weight of a Poisson input; those of a sine or of a process, see the functions
    R_STATE,  # address: float64 [units], of a process
    R_UNITS,
    R_OFFSETS,  # address: int64 [units + 1], which gap junctions each unit has, and int64 [junctions], the other units
    R_OTHERS,
    R_CERTAIN,  # `tools.poisson.PassedThresholds` of one mean: these, R_WIDTH at the address R_THRESHOLDS, and R_ROWS
    R_LIMIT,
    R_THRESHOLDS,
    R_TAILS,  # at this one
    R_OWN,  # address: float64 [2, units], voltages at the start of even and odd steps, and [2, UNITS] of the others
    R_VOLTAGES,
    RECORD_COLUMNS,
) = range(18)

# The call, int64 [CALL_ENTRIES]: the first unit, step, and draw; the number of events that were drawn is written.
A_FIRST, A_STEP, A_DRAW, A_DRAWN, CALL_ENTRIES = range(5)


@compiled
def _row(record, step):
    """Return the number of the piece of time that a step lies in."""
    steps = vector(record[R_STEPS], record[R_ROWS], np.int64(0))
    low = 0
    high = steps.size
    while high - low > 1:
        middle = (low + high) // 2
        if steps[middle] <= step:
            low = middle
        else:
            high = middle
    return low


@compiled
def _table(record):
    """Return the thresholds of a record."""
    passed = vector(record[R_THRESHOLDS], record[R_WIDTH], np.uint16(0))
    tails = vector(record[R_TAILS], record[R_ROWS], np.int64(0))
    return PassedThresholds(record[R_CERTAIN], passed, record[R_LIMIT], tails)


def add_poisson(record, request, words, x):
    """Add the weight of a Poisson input of one rate times the count of each unit to x."""
    weight = x.dtype.type(vector(record[R_NUMBERS], 1, 0.0)[0])
    key = uint64(record[R_KEY])
    draw = uint64(request[A_DRAW])
    request[A_DRAWN] = poisson_add(key, request[A_FIRST], draw, _table(record), weight, words.ctypes.data, x)


def draw_poisson(record, request, words, log):
    """Write the units of a source of one rate that fire to the log, as `draw_rates` does."""
    first = request[A_FIRST]
    n = request[A_DRAWN]
    key = uint64(record[R_KEY])
    draw = uint64(request[A_DRAW])
    table = _table(record)
    used = 0
    for low in range(0, n, CHUNK):
        counts = poisson_counts(key, first + low, draw, table, words.ctypes.data, min(CHUNK, n - low))
        for i in range(counts.size):
            for _ in range(counts[i]):
                log[used] = first + low + i
                used += 1
    request[A_DRAWN] = used


def add_rates(record, request, words, x):
    """Add the weight of a Poisson input times the count of each unit to x."""
    first = request[A_FIRST]
    key = uint64(record[R_KEY])
    draw = uint64(request[A_DRAW])
    row = _row(record, request[A_STEP])
    width = record[R_WIDTH]
    means = matrix(record[R_VALUES], record[R_ROWS], width, 0.0)[row]
    terms = matrix(record[R_SECOND], record[R_ROWS], width, 0.0)[row]
    weight = x.dtype.type(vector(record[R_NUMBERS], 1, 0.0)[0])
    scratch = words.ctypes.data
    drawn = vector(scratch, CHUNK, np.uint16(0))
    total = 0
    for low in range(0, x.size, CHUNK):
        size = min(CHUNK, x.size - low)
        short_words(key, first + low, draw, scratch, size)
        for i in range(size):
            unit = first + low + i
            k = unit if width > 1 else 0
            count = counted(key, unit, draw, drawn[i], means[k], terms[k], scratch + 4 * CHUNK)
            x[low + i] += weight * x.dtype.type(count)
            total += count
    request[A_DRAWN] = total


def draw_rates(record, request, words, log):
    """Write the units that fire to the log, a unit as often as it fires; DRAWN is the number of units to ask, then that
    of spikes."""
    first = request[A_FIRST]
    n = request[A_DRAWN]
    key = uint64(record[R_KEY])
    draw = uint64(request[A_DRAW])
    row = _row(record, request[A_STEP])
    width = record[R_WIDTH]
    means = matrix(record[R_VALUES], record[R_ROWS], width, 0.0)[row]
    terms = matrix(record[R_SECOND], record[R_ROWS], width, 0.0)[row]
    scratch = words.ctypes.data
    drawn = vector(scratch, CHUNK, np.uint16(0))
    used = 0
    for low in range(0, n, CHUNK):
        size = min(CHUNK, n - low)
        short_words(key, first + low, draw, scratch, size)
        for i in range(size):
            unit = first + low + i
            k = unit if width > 1 else 0
            for _ in range(counted(key, unit, draw, drawn[i], means[k], terms[k], scratch + 4 * CHUNK)):
                log[used] = unit
                used += 1
    request[A_DRAWN] = used


def add_waveform(record, request, words, x):
    """Add the amplitudes of the present piece of time to x."""
    row = _row(record, request[A_STEP])
    width = record[R_WIDTH]
    values = matrix(record[R_VALUES], record[R_ROWS], width, 0.0)[row]
    for i in range(x.size):
        x[i] += x.dtype.type(values[request[A_FIRST] + i if width > 1 else 0])


def add_sine(record, request, words, x):
    """Add offset + amplitude sin(phase + step advance) between two steps to x, times the VALUES of the units.

    NUMBERS: offset, amplitude, phase, advance a step, first step, step after the last.
    """
    step = request[A_STEP]
    width = record[R_WIDTH]
    offset, amplitude, phase, advance, begin, end = vector(record[R_NUMBERS], 6, 0.0)
    if begin <= step < end:
        current = offset + amplitude * math.sin(phase + advance * step)
        gains = vector(record[R_VALUES], width, 0.0)
        for i in range(x.size):
            x[i] += x.dtype.type(current * gains[request[A_FIRST] + i if width > 1 else 0])


def add_process(record, request, words, x):
    """Lead an Ornstein-Uhlenbeck process of every unit to this step, exactly, and add it to x.

    VALUES: mean and standard deviation of each unit. NUMBERS: decay over a step, standard deviation of the kick that
    keeps it stationary in parts of the whole. At step 0 it is drawn from its stationary distribution.
    """
    first = request[A_FIRST]
    width = record[R_WIDTH]
    moments = matrix(record[R_VALUES], 2, width, 0.0)
    decay, kick = vector(record[R_NUMBERS], 2, 0.0)
    state = vector(record[R_STATE], record[R_UNITS], 0.0)
    drawn = np.empty(x.size)
    normals(uint64(record[R_KEY]), first, uint64(request[A_DRAW]), drawn)
    for i in range(x.size):
        k = first + i if width > 1 else 0
        away = state[first + i] - moments[0, k]
        new = moments[0, k] + (
            moments[1, k] * drawn[i] if request[A_STEP] == 0 else decay * away + kick * moments[1, k] * drawn[i]
        )
        state[first + i] = new
        x[i] += x.dtype.type(new)


def add_gaps(record, request, words, x):
    """Add the currents through gap junctions, of conductances VALUES, to x, in the order of the other units."""
    first = request[A_FIRST]
    parity = request[A_STEP] % 2
    own = record[R_WIDTH]
    others = record[R_UNITS]
    offsets = vector(record[R_OFFSETS], own + 1, np.int64(0))
    joined = vector(record[R_OTHERS], offsets[own], np.int64(0))
    conductances = vector(record[R_VALUES], offsets[own], 0.0)
    mine = matrix(record[R_OWN], 2, own, 0.0)[parity]
    theirs = matrix(record[R_VOLTAGES], 2, others, 0.0)[parity]
    for i in range(x.size):
        v = mine[first + i]
        current = 0.0
        for j in range(offsets[first + i], offsets[first + i + 1]):
            current += conductances[j] * (theirs[joined[j]] - v)
        x[i] += x.dtype.type(current)


def add_step(record, request, words, x):
    """Add the number of the step to x."""
    for i in range(x.size):
        x[i] += x.dtype.type(request[A_STEP])


def add_unit(record, request, words, x):
    """Add the number of each unit to x."""
    for i in range(x.size):
        x[i] += x.dtype.type(request[A_FIRST] + i)


def add_normal(record, request, words, x):
    """Add a standard normal number of each unit to x, or one of all where WIDTH is 1."""
    shared = record[R_WIDTH] == 1
    drawn = np.empty(1 if shared else x.size)
    normals(uint64(record[R_KEY]), 0 if shared else request[A_FIRST], uint64(request[A_DRAW]), drawn)
    for i in range(x.size):
        x[i] += x.dtype.type(drawn[0 if shared else i])


def add_uniform(record, request, words, x):
    """Add a number in (0, 1) of each unit to x, or one of all where WIDTH is 1."""
    shared = record[R_WIDTH] == 1
    drawn = np.empty(1 if shared else x.size)
    uniforms(uint64(record[R_KEY]), 0 if shared else request[A_FIRST], uint64(request[A_DRAW]), drawn)
    for i in range(x.size):
        x[i] += x.dtype.type(drawn[0 if shared else i])


FUNCTIONS = {
    "poisson": add_poisson,
    "poisson_source": draw_poisson,
    "rates": add_rates,
    "rates_source": draw_rates,
    "waveform": add_waveform,
    "sine": add_sine,
    "process": add_process,
    "gaps": add_gaps,
    "step": add_step,
    "unit": add_unit,
    "normal": add_normal,
    "uniform": add_uniform,
}


def address_of(name: str, real: object) -> int:
    """Return the address of one of the FUNCTIONS, compiled for inputs of a dtype."""
    whole = types.Array(types.int64, 1, "C")
    out = from_dtype(np.dtype(real))
    out = types.Array(types.int32 if name.endswith("source") else out, 1, "C")
    return pointers.address_of(FUNCTIONS[name], whole, whole, types.Array(types.uint32, 1, "C"), out)
