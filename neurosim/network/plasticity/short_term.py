"""Short-term plasticity: the effect of a spike depends on the spikes just before it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import final

from ...base.errors import require
from .base import check_parameter


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

    U: float = 0.5
    tau_rec: float = 0.1
    tau_facil: float = 0.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            # tau_facil may be 0: its rule, > 0 by its name, is left out.
            rule = "" if entry.name == "tau_facil" else entry.name
            check_parameter(f"ShortTermPlasticity.{entry.name}", rule, getattr(self, entry.name))
        require(0 < self.U <= 1, "ShortTermPlasticity.U", "must be > 0 and <= 1", self.U)
        require(self.tau_facil >= 0, "ShortTermPlasticity.tau_facil", "must be >= 0 s", self.tau_facil)
