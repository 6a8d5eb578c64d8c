"""Columns of the tables, counters and results of the run in continuous time."""

from __future__ import annotations

# Populations, int64 [populations, UNIT_COLUMNS].
NEURONS = 0
EVENTS = 1
POISSON = 2
(
    KIND,
    SIZE,
    FLOW,  # addresses of the neuron's compiled functions
    JUMP,
    CROSSING,
    FIRE,
    CONSTANT,  # address: float64, what these take as `c`
    STRIDE,  # bytes from the constants of a unit to the next unit's: 0 where all share them
    WIDTH,  # bytes of a unit's row: the moment of its state, then the state
    STATE,  # address: float64 [SIZE, WIDTH / 8]
    FIRST,  # the number of unit 0 among all neurons
    TALLY,  # address: int64 [SIZE], spikes so far
    KEEP,  # whether spikes are listed
    TIMES,  # address: float64 [ROOM], the list
    UNITS,  # address: int32 [ROOM]
    COUNT,
    ROOM,
    FLOWS,  # flows made
    KEY,  # stream of a Poisson source
    DRAWN,  # its spikes drawn, of which the last is to come
    NEXT,  # the unit of that
    UNIT_COLUMNS,
) = range(22)

# Poisson input to every unit of a population, int64 [stimuli, STIMULUS_COLUMNS].
S_TARGET, S_RECEPTOR, S_KEY, S_DRAWN, S_NEXT, S_SIZE, STIMULUS_COLUMNS = range(7)

# Projections, int64 [projections, ROUTE_COLUMNS].
(
    R_SOURCE,
    R_TARGET,
    R_RECEPTOR,
    R_OFFSETS,  # address: int64 [sources + 1]
    R_TARGETS,  # address: uint32 [synapses]
    R_WEIGHTS,  # address: float64 [synapses]; 0: every weight is the route's one weight
    R_DELAYS,  # address: float64 [synapses, 3], delay, weight and target of each, a row's sorted by (delay, target):
    # they are read one at a time, so they are together; 0: all have the delay of the route
    R_SOURCES,
    R_CURSOR,  # spikes of the source's list that were read
    R_OPERATIONS,  # nonzero weights added
    QUEUE,  # address: float64 [Q_ROOM, 4], a heap of spikes on their way: when the next synapse of each is reached,
    # its source, that synapse, and when it was fired
    Q_COUNT,
    Q_ROOM,
    ROUTE_COLUMNS,
) = range(14)

# State variables to record, int64 [probes, PROBE_COLUMNS].
P_POPULATION, P_ROW, P_UNITS, P_COUNT, P_OUT, P_SAMPLES, P_DONE, PROBE_COLUMNS = range(8)

# Counters of a run, int64.
(
    HEAPED,  # units in the heap of crossings
    TOUCHED,  # units that something reached at this moment
    STALLED,  # passes at one moment, one after another
    SPIKES,  # spikes of all populations so far
    WORK,  # passes and flows so far
    WHO,  # the population or projection, the unit and the room that a result of `run` tells of
    UNIT,
    NEED,
    COUNTERS,
) = range(9)

# Results of `run`: there is more to do; all is done; the list of population WHO or the queue of projection WHO needs
# room for NEED entries; unit UNIT of population WHO fires forever at one moment; its crossing is NaN.
PAUSED, DONE, LIST_FULL, QUEUE_FULL, STUCK, BROKEN = range(6)
