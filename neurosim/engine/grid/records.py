"""Records of the stimuli that the run loop calls: see `kernels.engine.clocked.stimuli`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.engine.clocked import stimuli as called
from ...kernels.tools.poisson import PassedThresholds, passed_thresholds
from ..addresses import address, signed
from ..compile.currents import CompiledCurrent, Couplings
from ..compile.noise import Noise, Rates

Record = tuple[NDArray[np.int64], list[NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class SharedNumbers:
    """Arrays that records of Poisson spikes share: with its own for each of 10,000 populations they fill the caches."""

    thresholds: dict[int, PassedThresholds] = field(default_factory=dict)
    weights: dict[float, NDArray[np.float64]] = field(default_factory=dict)

    def of(self, noise: Noise) -> tuple[PassedThresholds, NDArray[np.float64]]:
        """Return the thresholds of a table and [1] the weight; noises with one rate have one table."""
        passed = self.thresholds.get(id(noise.table))
        if passed is None:
            passed = passed_thresholds(noise.table)
            self.thresholds[id(noise.table)] = passed
        return passed, self.weights.setdefault(noise.weight, np.array([noise.weight]))


def poisson_record(noise: Noise, shared: SharedNumbers) -> Record:
    """Return the record of Poisson spikes of one rate, and the arrays that it names."""
    passed, weight = shared.of(noise)
    columns: dict[int, NDArray[Any]] = {
        called.R_THRESHOLDS: passed.passed,
        called.R_TAILS: passed.tails,
        called.R_NUMBERS: weight,
    }
    record, arrays = _record(columns, (len(passed.tails), len(passed.passed)), noise.key)
    record[called.R_CERTAIN] = passed.certain
    record[called.R_LIMIT] = passed.limit
    return record, arrays


def rates_record(noise: Noise, rates: Rates) -> Record:
    """Return the record of Poisson spikes whose rates differ, and the arrays whose addresses are in it."""
    columns = {
        called.R_STEPS: rates.steps,
        called.R_VALUES: rates.means,
        called.R_SECOND: np.exp(-rates.means),
        called.R_NUMBERS: np.array([noise.weight]),
    }
    return _record(columns, rates.means.shape, noise.key)


def current_record(current: CompiledCurrent, state: NDArray[np.float64] | None) -> Record:
    """Return the record of a current, and the arrays whose addresses are in it."""
    columns = {called.R_STEPS: current.steps, called.R_VALUES: current.values, called.R_NUMBERS: current.numbers}
    if state is not None:
        columns[called.R_STATE] = state
    record, arrays = _record(columns, (len(current.steps), current.values.shape[1]), current.key)
    record[called.R_UNITS] = 0 if state is None else len(state)
    return record, arrays


def drive_record(key: int, *, shared: bool) -> Record:
    """Return the record of a drive of neurons, which has one number for all units or one for each."""
    record, arrays = _record({}, (1, 1 if shared else 0), key)
    return record, arrays


def couplings_record(
    couplings: Couplings, own: NDArray[np.float64], others: NDArray[np.float64]
) -> tuple[NDArray[np.int64], list[NDArray[Any]]]:
    """Return the record of gap junctions, and the arrays whose addresses are in it; voltages are [2, units]."""
    columns = {
        called.R_OFFSETS: couplings.offsets,
        called.R_OTHERS: couplings.others,
        called.R_VALUES: couplings.conductances,
        called.R_OWN: own,
        called.R_VOLTAGES: others,
    }
    record, arrays = _record(columns, (1, own.shape[1]), 0)
    record[called.R_UNITS] = others.shape[1]
    return record, arrays


def _record(columns: dict[int, NDArray[Any]], shape: tuple[int, ...], key: int) -> Record:
    record = np.zeros(called.RECORD_COLUMNS, np.int64)
    record[called.R_KEY] = signed(key)
    record[called.R_ROWS], record[called.R_WIDTH] = shape
    for column, array in columns.items():
        record[column] = address(array)
    return record, list(columns.values())
