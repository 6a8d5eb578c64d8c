"""Columns of the tables that the run on the grid is driven by; `neurosim.engine.grid.tables` fills them.

Those of row tables are in `deliver`, those of plastic synapses in `plastic`.
"""

from __future__ import annotations

# Populations, int64 [populations, UNIT_COLUMNS]. Columns after PART are 0 where a kind does not use them.
NEURONS = 0
EVENTS = 1
POISSON = 2
# Neurons that are stepped as members of a bundle: a row of its own, of kind NEURONS, after those of all populations.
BUNDLED = 3
(
    KIND,
    SIZE,
    ADVANCE,  # address of the function that makes a step of it: of `neurons`, `watched` or `sources`
    PART,  # units in a block; the last block that has any may hold fewer
    SHIFT,  # units that the blocks before the first with any would hold: unit u is in block (u + SHIFT) // PART
    OFFSET,  # SHIFT, and slots of a block before this population: u is at slot b * (block slots - PART) + OFFSET + u
    STEP,  # address of the neuron's compiled step
    STATES,
    RECEPTORS,
    CONSTANTS,
    STATE,  # address: real, [STATES, n] for each piece of n units
    CONSTANT,  # address: real [CONSTANTS], or as STATE [CONSTANTS, n] for each piece of n units
    BY_UNIT,  # whether it is the second
    DRIVEN,  # whether the last row of inputs is a current, of which the constants of a step are made (`_drive`)
    MEMBRANE,  # the row whose changes are counted
    COUNTED,  # 0: they are not
    FIRST_INPUT,  # rows of the table of inputs
    LAST_INPUT,
    EVENT_STEPS,  # address: int32, the step of each event, rising within a block
    EVENT_UNITS,  # address: int32
    EVENT_BLOCKS,  # address: int64 [blocks + 1], which events each block has
    CURSORS,  # address: int64 [blocks], the next event of each block
    MAX_SPIKES,  # of a unit of a Poisson source in a step
    CALLED,  # address of a function of `stimuli` that draws its spikes
    RECORD,  # address: its parameters
    FIRST_POST,  # rows of `posts`: what its spikes change in the plastic synapses onto this population
    LAST_POST,
    VOLTAGES,  # address: float64 [2, SIZE], membranes at the start of even and odd steps; 0: nobody reads them
    HEARD,  # address: uint8 [SIZE], 0 for units whose spikes are dropped; 0: none are
    RESTS,  # address: uint8 [blocks, pieces of a block], what is known of them, see `rest`; 0: every step is computed
    AWAKE,  # address: uint8 [blocks, pieces of a block, FLAGS], flags of groups, see `awake`; 0: pieces step as a whole
    HELD,  # row of the refractory time; -1: none
    QUIET,  # address of the shorter step of a calm piece without input; 0: there is none
    WAITS,  # steps that its silent pieces may wait for at the end of an interval, see `late`
    BUNDLE_SIZE,  # of a member of a bundle: units of the bundle, whose state is one piece; else 0
    MEMBERS,  # number of populations of a bundle, at most PIECE units in one block; 0: the row is of one population
    FIRSTS,  # address: int64 [MEMBERS + 1], the first unit of each member in the bundle, and the number of units
    NUMBERS,  # address: int64 [MEMBERS], the population of each member
    UNIT_COLUMNS,
) = range(39)

# What a population adds to its inputs, int64 [inputs, INPUT_COLUMNS], and a real weight for each.
INPUT_COUNTS, INPUT_SUMS, INPUT_QUEUE, INPUT_FIXED, INPUT_CALLED = range(5)
(
    I_KIND,
    I_INDEX,  # the counter, the receptor's sums counted on from the last counter, or the stimulus
    I_RECEPTOR,
    I_CALLED,  # address of a function of `inputs` or `stimuli`, and of the parameters of the second
    I_RECORD,
    I_FIRST,  # of a function that a member of a bundle calls: its first unit in the bundle, and its number of units;
    I_UNITS,  # 0: it is called for all units
    INPUT_COLUMNS,
) = range(8)

# State variables to record, int64 [probes, PROBE_COLUMNS].
P_POPULATION, P_ROW, P_INTERVAL, P_UNITS, P_COUNT, P_OUT, PROBE_COLUMNS = range(7)
