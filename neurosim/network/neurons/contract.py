"""The contract of neuron models, checked on any model: run it on your own before you trust it.

from neurosim.network.neurons.contract import check_neuron, examine
check_neuron(MyNeuron())           # raises, naming the rules that are broken
print(examine(MyNeuron()))         # the whole list
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError
from .base import Neuron
from .trial import REALS, NeuronTrial, spill

# Relative to the usual size of a state variable: two results that differ by less are equal up to rounding.
ROUNDING = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}
EXACT = 1e-9
FIRST = ("declared", "compiles", "contained")
# An odd number of units, which vector instructions do not divide.
UNITS = 37
STEPS = 40


@dataclass(frozen=True)
class Finding:
    """The result of one rule.

    Attributes:
        rule: name of the rule.
        meaning: demand of the rule.
        failure: how the model breaks it, and the remedy; "" if it holds.
        advice: no result is wrong where the rule is broken.
        note: a measurement, e.g. the order of convergence.
    """

    rule: str
    meaning: str
    failure: str = ""
    advice: bool = False
    note: str = ""

    def __str__(self) -> str:
        if not self.failure:
            state = "holds"
        elif self.advice:
            state = "lacks"
        else:
            state = "BROKEN"
        details = self.failure or self.note
        line = f"{self.rule:<12} {state:<7} {self.meaning}"
        if details:
            line += f": {details}"
        return line


@dataclass(frozen=True)
class ContractReport:
    """Results of all rules."""

    model: str
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.failure and not finding.advice)

    def __str__(self) -> str:
        return "\n".join([self.model, *(f"  {finding}" for finding in self.findings)])


def check_neuron(neuron: Neuron, dt: float = 1e-4, *, monotone: bool = True) -> ContractReport:
    """Check a model against the contract of `Neuron`.

    Args:
        neuron: the model, with parameters that are numbers.
        dt: step, s.
        monotone: check that the rate never falls as the input grows; False for a model that is meant to fall silent.

    Raises:
        NeurosimInputError: names the broken rules, and for the first the remedy.
    """
    report = examine(neuron, dt, monotone=monotone)
    if report.broken:
        first, *more = report.broken
        if more:
            names = f"; also broken: {', '.join(finding.rule for finding in more)}"
        else:
            names = ""
        raise NeurosimInputError(f"{report.model}: breaks '{first.rule}' ({first.meaning}): {first.failure}{names}")
    return report


def examine(neuron: Neuron, dt: float = 1e-4, *, monotone: bool = True) -> ContractReport:
    """Return the results of all rules, without raising."""
    findings: list[Finding] = []
    # Each of the first three must hold before the next can be tried: an index out of bounds, compiled, is a crash.
    for name in FIRST:
        findings.append(_judge(name, neuron, dt))
        if findings[-1].failure:
            return ContractReport(type(neuron).__name__, tuple(findings))
    trial = NeuronTrial(neuron, dt)
    others = [name for name in RULES if name not in FIRST]
    if not monotone:
        others.remove("monotone")
    findings += [_judge(name, trial) for name in others]
    return ContractReport(type(neuron).__name__, tuple(findings))


class Broken(Exception):
    """A broken rule; the text describes the fault."""


class _Check(NamedTuple):
    meaning: str
    advice: bool
    check: Callable[..., str]


_CHECKS: dict[str, _Check] = {}


def _rule(meaning: str, *, advice: bool = False) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Make a function the check of the rule of its name; it returns a note, or raises `Broken`."""

    def add(check: Callable[..., str]) -> Callable[..., str]:
        _CHECKS[check.__name__.removeprefix("_")] = _Check(meaning, advice, check)
        return check

    return add


def _judge(rule: str, *subject: Any) -> Finding:
    meaning, advice, check = _CHECKS[rule]
    try:
        return Finding(rule, meaning, note=check(*subject), advice=advice)
    except Broken as broken:
        return Finding(rule, meaning, str(broken), advice)
    except Exception as error:  # whatever the user's code may raise
        line = next((line for line in str(error).splitlines() if line.strip()), "")
        return Finding(rule, meaning, f"raised {type(error).__name__}: {line.strip():.160}", advice)


@_rule("names, initial values and constants fit together")
def _declared(neuron: Neuron, dt: float) -> str:
    """Check names, initial state and constants; return them in words."""
    states = tuple(neuron.state)
    receptors = tuple(neuron.receptors)
    for attribute, names in (("state", states), ("receptors", receptors)):
        are_names = len(names) > 0 and all(isinstance(name, str) for name in names)
        if not are_names or len(set(names)) < len(names):
            raise Broken(f"{attribute} must be different names, at least one (got {names})")
    initial = neuron.initial()
    constants = neuron.constants(dt)
    if len(initial) != len(states):
        raise Broken(f"initial() must give {len(states)} numbers, one for each of state (got {len(initial)})")
    if not np.isfinite(np.array(initial, np.float64)).all():
        raise Broken(f"initial() must be finite (got {initial})")
    if np.isnan(np.array(constants, np.float64)).any():
        raise Broken(f"constants({dt:g}) must hold no NaN (got {constants})")
    if neuron.constants(dt) != constants or neuron.initial() != initial:
        raise Broken("initial() and constants(dt) must give the same numbers every time")
    return f"state {', '.join(states)}; receptors {', '.join(receptors)}; constants {len(constants)}"


@_rule("step compiles")
def _compiles(neuron: Neuron, dt: float) -> str:
    for real in REALS:
        NeuronTrial.compile(type(neuron), real)
    return "float32 and float64"


@_rule("step writes state of its units and 0 or 1 into spiked, nothing else")
def _contained(neuron: Neuron, dt: float) -> str:
    for compiled in (False, True):  # plain Python first: its error names the index that leaves its array
        for real in REALS:
            fault = spill(neuron, dt, real, UNITS, compiled)
            if fault:
                raise Broken(f"{fault} ({real}); loop over range(spiked.size), write state and spiked of unit i only")
    return ""


@_rule("compiled and plain Python agree")
def _interpreted(trial: NeuronTrial) -> str:
    for real in REALS:
        compiled = trial.run(real, UNITS, STEPS, compiled=True)
        plain = trial.run(real, UNITS, STEPS, compiled=False)
        _compare(trial, real, compiled, plain, "use no Python that numba reads otherwise")
    return ""


End = tuple[NDArray[Any], NDArray[np.uint8]]  # states and spikes of a run


def _compare(trial: NeuronTrial, real: np.dtype, one: End, other: End, remedy: str) -> None:
    """Raise `Broken` unless two runs end with the same states and spikes, up to rounding."""
    worst = trial.apart(one[0], other[0])
    spikes_differ = (one[1] != other[1]).mean() > 0.01
    if worst > 100 * ROUNDING[real] or spikes_differ:
        raise Broken(f"states differ by {worst:.2g} of their size ({real}); {remedy}")


@_rule("two runs are equal, bit for bit")
def _repeats(trial: NeuronTrial) -> str:
    for real in REALS:
        ends = [trial.run(real, UNITS, STEPS) for _ in range(2)]
        if any(not np.array_equal(x, y, equal_nan=True) for x, y in zip(*ends, strict=True)):
            raise Broken("two runs from one state differ; keep nothing between calls and draw no random numbers")
    return ""


@_rule("a unit does not depend on the other units")
def _alone(trial: NeuronTrial) -> str:
    for real in REALS:
        together, fired = trial.run(real, UNITS, STEPS)
        worst = 0.0
        spikes_differ = False
        for part in (slice(0, 1), slice(1, 9), slice(9, UNITS)):
            alone, fired_alone = trial.run(real, UNITS, STEPS, part)
            worst = max(worst, trial.apart(together[:, part], alone))
            spikes_differ |= bool((fired[:, part] != fired_alone).mean() > 0.01)
        if worst > 100 * ROUNDING[real] or spikes_differ:
            depends = f"a unit's result depends on the other units in the call (difference {worst:.2g})"
            raise Broken(f"{depends}; read and write unit i only")
    return ""


@_rule("two half steps make a step")
def _composes(trial: NeuronTrial) -> str:
    """Check that two half steps make a step, without input and below threshold: exactly, or to first order."""
    step = "multiply every rate by dt, or decay by exp(-dt / tau)"
    shrinks = trial.shrinks()
    if shrinks > 0.2:
        raise Broken(f"a step of dt / 64 moves the membrane {shrinks:.2g} times as far as one of dt; {step}")
    errors = trial.refine()
    if errors[0] < EXACT:
        return "exact"
    # A method of order p has 2^p times the error with twice the step.
    order = float(np.log2(errors[0] / errors[1]))
    if not order > 0.7:
        remainder = f"{errors[1] / errors[0]:.2g} of the error ({errors[0]:.2g} of the membrane's range)"
        raise Broken(f"halving the step leaves {remainder}; {step}")
    return f"order {order:.1f}"


@_rule("float32 follows float64")
def _precision(trial: NeuronTrial) -> str:
    worst = trial.single()
    if worst > 1e-3:
        raise Broken(f"float32 leaves float64 by {worst:.2g} of the membrane's range within {STEPS} steps")
    return f"{worst:.1g} apart"


@_rule("any input leaves finite numbers")
def _finite(trial: NeuronTrial) -> str:
    for real in REALS:
        name, weight = trial.extremes(real)
        if name:
            raise Broken(
                f"{name} is not finite under an input of {weight:.2g} ({real}); bound it, or the exponential in it"
            )
    return ""


@_rule("more input, no fewer spikes")
def _monotone(trial: NeuronTrial) -> str:
    rates = trial.rates()
    if rates is None:
        return "never fires"
    falls = np.flatnonzero(np.diff(rates) < -np.maximum(2, 0.02 * rates[:-1]))
    if falls.size:
        k = int(falls[0])
        raise Broken(
            f"{rates[k]} spikes fall to {rates[k + 1]} as the input grows; if it is meant to, say monotone=False"
        )
    return f"{rates[0]} to {rates[-1]} spikes"


@_rule("parameters may differ from unit to unit", advice=True)
def _by_unit(trial: NeuronTrial) -> str:
    # Constants by unit, here all the same, must give the results of shared constants.
    for real in REALS:
        try:
            varied = trial.run(real, UNITS, STEPS, by_unit=True)
        except NumbaError:
            raise Broken(
                "parameters must be numbers; read constants as neurosim.network.neurons.by_unit.at(c[k], i)"
            ) from None
        _compare(trial, real, varied, trial.run(real, UNITS, STEPS), "read constants as at(c[k], i) alone")
    return "vectors and distributions"


@_rule("step becomes vector instructions", advice=True)
def _vectors(trial: NeuronTrial) -> str:
    instructions = trial.vectors()
    if not instructions:
        raise Broken("select (a if condition else b) where it branches, and take literals as c.dtype.type(1)")
    return instructions


RULES: tuple[str, ...] = tuple(_CHECKS)
