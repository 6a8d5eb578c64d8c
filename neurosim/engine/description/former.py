"""Networks whose tables name models of earlier versions, in today's names."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

from ...network.neurons.former import FORMER, Former, translated

Table = Mapping[str, Any]
# Keys of a population that are not parameters of its model.
POPULATION = ("name", "shape", "model", "initial", "positions", "spikes")


def current(tree: Table, own: Container[str]) -> Table:
    """Return a network's tables with today's models, parameters, states and receptors.

    Args:
        tree: as TOML holds it, not checked yet.
        own: names of the user's models, which mean what the user says.
    """
    former = {
        entry.get("name"): FORMER[entry["model"]]
        for entry in _tables(tree, "population")
        if isinstance(entry.get("model"), str) and entry["model"] in FORMER and entry["model"] not in own
    }
    if not former:
        return tree
    renamed: dict[str, tuple[str, Callable[[Table, Former], Table]]] = {
        "population": ("name", lambda entry, _: _population(entry)),
        "projection": ("target", _receptor),
        "stimulus": ("target", _receptor),
        "probe": ("population", _variable),
    }
    found = {**tree}
    for key, (owner, change) in renamed.items():
        if key in tree:
            entries = _tables(tree, key)
            found[key] = [change(e, former[e.get(owner)]) if e.get(owner) in former else e for e in entries]
    return found


def _tables(tree: Table, key: str) -> list[Table]:
    entries = tree.get(key)
    if isinstance(entries, list):
        return [e for e in entries if isinstance(e, Mapping)]
    return []


def _population(entry: Table) -> Table:
    common = {key: value for key, value in entry.items() if key in POPULATION}
    parameters = {key: value for key, value in entry.items() if key not in POPULATION}
    model, parameters, initial = translated(entry["model"], parameters, entry.get("initial", {}))
    return {**common, **parameters, "model": model, "initial": initial}


def _receptor(entry: Table, former: Former) -> Table:
    receptor = entry.get("receptor")
    if receptor not in former.receptors:
        return entry
    return {**entry, "receptor": former.receptors[str(receptor)]}


def _variable(entry: Table, former: Former) -> Table:
    variable = entry.get("variable")
    if variable not in former.states:
        return entry
    return {**entry, "variable": former.states[str(variable)]}
