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
        sites: number of release sites of a synapse, 0 to 255; 0 means that a spike delivers the mean, w u x.

    With n sites a synapse releases whole quanta, drawn for each spike and synapse (Fuhrmann et al. 2002):

        between:  each empty site is filled again with probability 1 - exp(-t / tau_rec)
        spike:    delivers w k / n, k drawn from Binomial(full sites, u);  k sites are empty then

    All sites are full at the start. The mean over draws is w u x, and of the first spike the variance is
    w^2 U (1 - U) / n. It goes neither with a learning rule nor with `p_transmit` below 1.

    The projection's weight is thus the absolute strength, delivered in full where u x = 1. u and x belong to a source
    unit and change with its spikes as they leave it; full sites belong to a synapse. As NEST's tsodyks2_synapse; with
    sites as its quantal_stp_synapse, whose weight is that of one site, w / n. Names as PyNN's.

    Raises:
        NeurosimInputError: on construction, naming the parameter.
    """

    U: Annotated[float, Rule("> 0 and <= 1")] = 0.5
    tau_rec: Annotated[float, Rule("> 0 s")] = 0.1
    tau_facil: Annotated[float, Rule(">= 0 s")] = 0.0
    sites: Annotated[int, Rule(">= 0 and <= 255")] = 0

    def __post_init__(self) -> None:
        check_rules(self)
