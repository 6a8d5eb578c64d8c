"""Models of earlier versions: how files that name them read today.

Neurons whose parameters differ by unit were models of their own, "VariedLIF" and others, which kept parameters among
their state variables. Any neuron takes parameters by unit now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...base.plain import PlainTree


@dataclass(frozen=True)
class Former:
    """A model that is another one today.

    Attributes:
        model: its name today.
        starts_at: the parameter that the membrane starts from.
        parameters: state variables that are parameters today, by their old name.
        states: new names of state variables.
        receptors: new names of receptors.
    """

    model: str
    starts_at: str
    parameters: Mapping[str, str]
    states: Mapping[str, str] = field(default_factory=dict)
    receptors: Mapping[str, str] = field(default_factory=dict)


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


VOLTAGES = ("v_threshold", "v_leak", "v_reset")
FORMER: Mapping[str, Former] = {
    "VariedLIF": Former("LIF", "v_leak", _same("tau_mem", *VOLTAGES)),
    "VariedIF": Former("IF", "v_reset", {**_same("v_threshold", "v_reset"), "drift": "i_offset"}),
    "VariedCubaLIF": Former(
        "CubaLIF", "v_leak", _same("tau_mem", "tau_syn", *VOLTAGES), {"i": "i_excitatory"}, {"input": "excitatory"}
    ),
}


def translated(
    model: str, parameters: Mapping[str, Any], initial: Mapping[str, Any]
) -> tuple[str, PlainTree, PlainTree]:
    """Return the name, the parameters and the initial states that a model's mean today; those of others as they are."""
    if model not in FORMER:
        return model, dict(parameters), dict(initial)
    former = FORMER[model]
    today = {former.parameters.get(name, name): value for name, value in parameters.items()}
    today |= {former.parameters[name]: value for name, value in initial.items() if name in former.parameters}
    starts = {former.states.get(name, name): v for name, v in initial.items() if name not in former.parameters}
    if former.starts_at in initial and "v" not in starts:
        # The membrane started where the model said, not where the units did.
        starts["v"] = parameters.get(former.starts_at, 0.0)
    return former.model, today, starts
