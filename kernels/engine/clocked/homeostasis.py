"""Homeostasis: at the start of every so many steps, the weights onto each target are multiplied by one number.

The number follows the rate of the target (synaptic scaling), or brings the sum of its weights to a given total
(normalisation). The rate is read from a trace, float64 [targets, 2]: its value at the target's last spike, and the step
of that spike. A thread works on its own targets.

The rule is `neurosim.network.plasticity.homeostasis.HomeostasisTerms`, as a vector whose entries are the constants
below.
"""

from __future__ import annotations

import math

from ...tools.compiled import compiled

# The rule, float64 [HOME_ENTRIES].
(
    EVERY,  # steps
    GAIN,  # of a rate of 0: the part by which weights grow at a time
    GOAL,  # the trace of a target at its goal: rate times tau
    DECAY,  # of the trace: dt / tau
    TOTAL,  # sum of the weights onto a target; NaN: not normalised
    LOW,  # weights are kept in this range
    HIGH,
    HOME_ENTRIES,
) = range(8)

ACTIVITY = 0
WHEN = 1


def factor_reference(rule, spikes, step, weights):
    """Specify by what the weights onto a target are multiplied in a step.

    Args:
        spikes: steps in which it fired before this one.
    """
    activity = sum(math.exp(-(step - s) * rule[DECAY]) for s in spikes)
    factor = max(1 + rule[GAIN] * (1 - activity / rule[GOAL]), 0.0)
    if math.isnan(rule[TOTAL]):
        return factor
    whole = sum(weights)
    return rule[TOTAL] / whole if whole * rule[TOTAL] > 0 else 1.0


@compiled
def record_spike(rule, activity, target, step):
    """Raise the trace of a target that fires."""
    elapsed = step - activity[target, WHEN]
    activity[target, ACTIVITY] = activity[target, ACTIVITY] * math.exp(-elapsed * rule[DECAY]) + 1.0
    activity[target, WHEN] = step


@compiled
def scaling_factor(rule, activity, target, step):
    """Return by what synaptic scaling multiplies the weights onto a target."""
    now = activity[target, ACTIVITY] * math.exp(-(step - activity[target, WHEN]) * rule[DECAY])
    return max(1.0 + rule[GAIN] * (1.0 - now / rule[GOAL]), 0.0)


@compiled
def incoming_sum(in_offsets, in_synapses, weights, target):
    """Return the sum of the weights onto a target, in the order of its synapses."""
    total = 0.0
    for i in range(in_offsets[target], in_offsets[target + 1]):
        total += weights[in_synapses[i]]
    return total


@compiled
def scale(rule, in_offsets, in_synapses, weights, target, factor):
    """Multiply the weights onto a target, and keep them in their range."""
    for i in range(in_offsets[target], in_offsets[target + 1]):
        s = in_synapses[i]
        weights[s] = min(max(weights[s] * factor, rule[LOW]), rule[HIGH])
