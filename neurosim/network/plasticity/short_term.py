"""Short-term plasticity: the effect of a spike depends on the spikes just before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, final

from ...base.rules import Rule, check_rules


@final
@dataclass(frozen=True)
class ShortTermPlasticity:
    """Depression and facilitation (Tsodyks & Markram 1997; Tsodyks, Pawelzik & Markram 1998).

        spike:    u += U (1 - u);  delivers w u x;  x -= u x
        between:  du/dt = -u / tau_facil;   dx/dt = (1 - x) / tau_rec

    where
        u: the part of the resources a spike uses; 0 at the start, so that the first spike uses U.
        x: the part of the resources at hand, 1 at the start.
        U: increase of u at a spike, 0 < U <= 1.
        tau_rec: s, recovery from depression.
        tau_facil: s; 0 means no facilitation, u = U at every spike.

    The projection's weight is thus the absolute strength, delivered in full where u x = 1. u and x belong to a source
    unit and change with its spikes as they leave it. As NEST's tsodyks2_synapse; names as PyNN's.

    Raises:
        NeurosimInputError: on construction, naming the parameter.
    """

    U: Annotated[float, Rule("> 0 and <= 1")] = 0.5
    tau_rec: Annotated[float, Rule("> 0 s")] = 0.1
    tau_facil: Annotated[float, Rule(">= 0 s")] = 0.0

    def __post_init__(self) -> None:
        check_rules(self)
