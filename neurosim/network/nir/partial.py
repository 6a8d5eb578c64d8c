"""The part of a network that NIR can express, and one line for each population, projection or rule that it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...base.errors import NeurosimInputError
from ..network import Network
from ..neurons.base import Neuron
from ..population import Population
from ..projection import Projection
from ..stimuli import Current, PoissonInput
from ..windowed import Windowed
from .models import node_of


class PartialNetwork(NamedTuple):
    """The part of a network that NIR can express.

    Attributes:
        network: for `to_nir`.
        left_out: a line for each population, projection, stimulus, link or rule that is not in it.
    """

    network: Network
    left_out: tuple[str, ...]


def expressible(network: Network) -> PartialNetwork:
    """Return the part of a network that NIR can express.

    Windowed populations, links and neurons that NIR lacks are left out, with all that leads to or from them, and
    sources that then lead nowhere. A projection with plasticity keeps its weights of the start and loses its rule.

    Raises:
        NeurosimInputError: nothing is left.
    """
    lines: list[str] = []
    # Reasons why populations are left out, by name.
    lost = {}
    for population in network.populations:
        reason = _reason(population)
        if reason:
            lost[population.name] = reason
            lines.append(f"population '{population.name}': {reason}")
    lines += [f"link '{link.name}': NIR has no windows, and so no links" for link in network.links]
    projections = _projections_between(network, lost, lines)
    stimuli = _stimuli_of(network, lost, lines)
    sources = {projection.source for projection in projections}
    for population in network.populations:
        is_idle_source = not isinstance(population.model, Neuron) and population.name not in sources
        if is_idle_source and population.name not in lost:
            lost[population.name] = "leads to nothing that is left"
            lines.append(f"population '{population.name}': {lost[population.name]}")
    populations = [population for population in network.populations if population.name not in lost]
    if not populations:
        raise NeurosimInputError(f"NIR: can say nothing of this network ({lines[0]}, and {len(lines) - 1} more)")
    return PartialNetwork(Network(populations, projections, stimuli), tuple(lines))


def _projections_between(network: Network, lost: Mapping[str, str], lines: list[str]) -> list[Projection]:
    """Return the projections whose ends are both there, as NIR has them; `lines` gets a line for each change."""
    projections = []
    for projection in network.projections:
        missing = [name for name in (projection.source, projection.target) if name in lost]
        if missing:
            lines.append(f"projection '{projection.name}': population '{missing[0]}' is left out")
        else:
            projections.append(_static(projection, lines))
    return projections


def _stimuli_of(network: Network, lost: Mapping[str, str], lines: list[str]) -> list[PoissonInput | Current]:
    """Return the stimuli that NIR can express; `lines` gets a line for each of the others."""
    stimuli = []
    for stimulus in network.stimuli:
        if stimulus.target in lost:
            reason = f"population '{stimulus.target}' is left out"
        else:
            reason = _stimulus_reason(stimulus)
        if reason:
            lines.append(f"stimulus '{stimulus.name}': {reason}")
        else:
            stimuli.append(stimulus)
    return stimuli


def _stimulus_reason(stimulus: PoissonInput | Current) -> str:
    """Return why NIR cannot express a stimulus; empty where it can."""
    if isinstance(stimulus, Current):
        return "NIR has no currents"
    if np.ndim(stimulus.rate):
        return "NIR has no rates by unit or time"
    return ""


def _reason(population: Population) -> str:
    """Return why NIR cannot express a population; empty where it can."""
    model = population.model
    if isinstance(model, Windowed):
        return f"NIR has no {type(model.model).__name__}, which acts once a window"
    if isinstance(model, Neuron):
        try:
            node_of(model, population.name)
        except NeurosimInputError as error:
            return str(error).partition("': ")[2].removesuffix("; save the network as TOML instead")
    return ""


def _static(projection: Projection, lines: list[str]) -> Projection:
    """Return a projection without rules that change its weights; append a line for each of them."""
    static = projection
    if projection.plasticity is not None:
        rule = type(projection.plasticity).__name__
        lines.append(f"projection '{projection.name}': NIR has no plasticity; {rule} is left out, its weights stay")
        static = replace(static, plasticity=None)
    if projection.short_term is not None:
        lines.append(f"projection '{projection.name}': NIR has no short-term plasticity; it is left out")
        static = replace(static, short_term=None)
    if projection.p_transmit < 1:
        lines.append(f"projection '{projection.name}': NIR has no chance; p_transmit is left out")
        static = replace(static, p_transmit=1.0)
    return static
