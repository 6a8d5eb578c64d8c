"""NIR's neurons as neurosim's, and back.

A spike on an edge is a current of 1 that lasts one step `dt` of the program that wrote the graph: so snnTorch, Norse,
Lava, sinabs and the rest run them. It moves a LIF by r dt / tau, a current of CubaLIF by w_in dt / tau_syn, an IF by
r dt. With dt = 1 s it has unit area: a Dirac pulse. Our weights are the jumps themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import NeurosimInputError, require
from ...network import Population
from ...neurons import IF, LI, LIF, CubaLIF, Neuron
from ...neurons.varied import VariedCubaLIF, VariedIF, VariedLIF

Values = Mapping[str, NDArray[np.float64]]
# The threshold of what never fires: I, LI and CubaLI as neurons that could. The largest number float32 has.
NEVER = float(np.finfo(np.float32).max)
# Two numbers this close, relatively, are one that was rounded to float32 or computed in another order.
CLOSE = 1e-6


@dataclass(frozen=True, eq=False)
class Cell:
    """A neuron node as a population.

    Attributes:
        model: with the parameters that all units share.
        initial: by state variable, what differs from the model's own.
        factor: [units] what a weight that arrives is multiplied by.
    """

    model: Neuron
    factor: NDArray[np.float64]
    initial: dict[str, NDArray[np.float64] | float] = field(default_factory=dict)


def cell(node: Any, thing: str, size: int, bias: NDArray[np.float64], dt: float) -> Cell:
    """A neuron node of `size` units that receive the constant input `bias`.

    Raises:
        NeurosimInputError: a parameter of another shape, or that breaks its rule.
    """
    kind = type(node).__name__
    values = {name: _spread(getattr(node, name), f"{thing}.{name}", size) for name in PARAMETERS[kind]}
    for name, each in values.items():
        require(not name.startswith("tau") or bool((each > 0).all()), f"{thing}.{name}", "must be > 0 s", each.min())
    held = {key: _number(node.metadata, key, thing) for key in ("t_refractory", "soft_reset") if key in node.metadata}
    made = _MAKE[kind](values, bias, dt, held.get("t_refractory", 0.0), bool(held.get("soft_reset", 0.0)))
    return _exactly(made, node, thing, values, bias, dt)


PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    "I": ("r",),
    "IF": ("r", "v_threshold", "v_reset"),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
}


def _lif(p: Values, bias: NDArray, dt: float, hold: float, soft: bool) -> Cell:
    factor = _near_one(p["r"] * dt / p["tau"])
    top, reset = p.get("v_threshold", np.full(bias.shape, NEVER)), p.get("v_reset", np.zeros(bias.shape))
    names = {"tau_mem": p["tau"], "v_threshold": top, "v_leak": p["v_leak"], "v_reset": reset}
    one = _one({**names, "i_offset": bias, "r": p["r"]})
    if one is not None and "v_threshold" in p:
        return Cell(LIF(**one, t_refractory=hold, soft_reset=soft), factor)
    if one is not None:
        return Cell(LI(one["tau_mem"], one["v_leak"], one["r"], one["i_offset"]), factor)
    rest = p["v_leak"] + p["r"] * bias
    shared, own = _split({**names, "v_leak": rest})
    return Cell(VariedLIF(**shared, t_refractory=hold, soft_reset=soft), factor, {**own, "v": p["v_leak"]})


def _if(p: Values, bias: NDArray, dt: float, hold: float, soft: bool) -> Cell:
    factor = _near_one(p["r"] * dt)
    names = {"v_threshold": p.get("v_threshold", np.full(bias.shape, NEVER))}
    names["v_reset"] = p.get("v_reset", np.zeros(bias.shape))
    one = _one({**names, "i_offset": bias, "r": p["r"]})
    if one is not None:
        return Cell(IF(**one, t_refractory=hold, soft_reset=soft), factor)
    shared, own = _split({**names, "drift": p["r"] * bias})
    return Cell(VariedIF(**shared, t_refractory=hold, soft_reset=soft), factor, {**own, "v": names["v_reset"]})


def _cuba(p: Values, bias: NDArray, dt: float, hold: float, soft: bool) -> Cell:
    factor = _near_one(p["w_in"] * dt / p["tau_syn"])
    top, reset = p.get("v_threshold", np.full(bias.shape, NEVER)), p.get("v_reset", np.zeros(bias.shape))
    names = {"tau_mem": p["tau_mem"], "tau_syn": p["tau_syn"], "v_threshold": top, "v_leak": p["v_leak"]}
    names["v_reset"] = reset
    current = p["w_in"] * bias
    one = None if soft else _one({**names, "r": p["r"], "i_offset": current})
    # A constant input charges the current with its time constant: all of it, less what has not come yet.
    if one is not None:
        start = {"i_excitatory": -one["i_offset"]} if one["i_offset"] else {}
        return Cell(CubaLIF(**one, t_refractory=hold), factor, start)
    if soft:
        raise NeurosimInputError("soft_reset: CubaLIF resets to v_reset only; leave it out")
    shared, own = _split({**names, "v_leak": p["v_leak"] + p["r"] * current})
    start = {**own, "v": p["v_leak"], "i": -p["r"] * current}
    return Cell(VariedCubaLIF(**shared, t_refractory=hold), factor * p["r"], start)


_MAKE: Mapping[str, Callable[[Values, NDArray, float, float, bool], Cell]] = {
    "CubaLI": _cuba,
    "CubaLIF": _cuba,
    "I": _if,
    "IF": _if,
    "LI": _lif,
    "LIF": _lif,
}


def _exactly(made: Cell, node: Any, thing: str, values: Values, bias: NDArray, dt: float) -> Cell:
    """The neuron that the metadata tells, where it says the same as the node to the rounding of float32."""
    model = MODELS.get(str(_text(node.metadata.get("model", ""))))
    if model is None or bias.any():
        return made
    names = [f.name for f in fields(model) if f"p_{f.name}" in node.metadata]  # type: ignore[arg-type]
    try:
        told: Any = model(**{name: _told(model, name, node.metadata) for name in names})
        said = parameters(told, dt)
    except NeurosimInputError as error:
        raise NeurosimInputError(f"{thing}.metadata: {error}") from None
    agree = all(np.allclose(values[name], said[name], rtol=CLOSE, atol=0) for name in values)
    return Cell(told, made.factor) if agree else made


def _told(model: type, name: str, metadata: Mapping[str, Any]) -> Any:
    value = _number(metadata, f"p_{name}", "metadata")
    return bool(value) if isinstance(getattr(model, name), bool) else value


MODELS: Mapping[str, type[Neuron]] = {model.__name__: model for model in (CubaLIF, IF, LI, LIF)}
# Those whose units have parameters of their own, and the NIR node that holds them.
NODES = {"VariedLIF": "LIF", "VariedIF": "IF", "VariedCubaLIF": "CubaLIF"}


def node_of(population: Population) -> str:
    """The NIR node that a population's neuron is.

    Raises:
        NeurosimInputError: a model that NIR does not have, or a setting of it.
    """
    model, thing = population.model, f"population '{population.name}'"
    name = type(model).__name__
    if name in NODES:
        return NODES[name]
    if name not in MODELS:
        has = ", ".join([*MODELS, *NODES])
        raise NeurosimInputError(f"{thing}: NIR has no {name}; it has {has}; save the network as TOML instead")
    if isinstance(model, IF):
        require(model.i_offset == 0, f"{thing}: IF.i_offset", "must be 0: NIR has no constant current", model.i_offset)
        return "I" if model.v_threshold == NEVER else "IF"
    if isinstance(model, CubaLIF):
        other = model.tau_syn_inhibitory
        same = other is None or other == model.tau_syn
        require(same, f"{thing}: CubaLIF.tau_syn_inhibitory", "must be tau_syn: NIR has one of them", other)
        return "CubaLI" if model.v_threshold == NEVER else "CubaLIF"
    return "LI" if isinstance(model, LI) else "LIF"


def parameters(model: Any, dt: float) -> dict[str, float]:
    """The parameters of a neuron's NIR node, every unit's: so that a weight w is our w. A constant current is a higher
    v_leak, which says the same."""
    if isinstance(model, IF):
        return {"r": 1 / dt, "v_threshold": model.v_threshold, "v_reset": model.v_reset}
    rest = model.v_leak + model.r * model.i_offset
    if isinstance(model, LI):
        return {"tau": model.tau_mem, "r": model.tau_mem / dt, "v_leak": rest}
    spiking = {"v_leak": rest, "v_threshold": model.v_threshold, "v_reset": model.v_reset}
    if isinstance(model, LIF):
        return {"tau": model.tau_mem, "r": model.tau_mem / dt, **spiking}
    syn = {"tau_syn": model.tau_syn, "w_in": model.tau_syn / dt}
    return {"tau_mem": model.tau_mem, "r": model.r, **syn, **spiking}


def varied(population: Population, values: Values, dt: float) -> dict[str, NDArray[np.float64]]:
    """The same of a population whose units have parameters of their own: `values` [units] by state variable."""
    model: Any = population.model
    one = np.ones(population.size)
    own = {f.name: values.get(f.name, one * getattr(model, f.name)) for f in fields(model)}
    if isinstance(model, VariedIF):
        drifts = bool(np.any(own["drift"] != 0))
        require(
            not drifts, f"population '{population.name}': drift", "must be 0: NIR has no constant current", "others"
        )
        return {"r": one / dt, "v_threshold": own["v_threshold"], "v_reset": own["v_reset"]}
    spiking = {key: own[key] for key in ("v_leak", "v_threshold", "v_reset")}
    if isinstance(model, VariedLIF):
        return {"tau": own["tau_mem"], "r": own["tau_mem"] / dt, **spiking}
    return {"tau_mem": own["tau_mem"], "tau_syn": own["tau_syn"], "r": one, "w_in": own["tau_syn"] / dt, **spiking}


def metadata(model: Any) -> dict[str, Any]:
    """What NIR cannot say of a neuron, and its parameters as they are."""
    # Parameters by unit stand in the node alone.
    own = {f"p_{f.name}": getattr(model, f.name) for f in fields(model)} if type(model).__name__ in MODELS else {}
    told = {key: float(value) for key, value in own.items() if value is not None}
    plain = {key: float(getattr(model, key)) for key in ("t_refractory", "soft_reset") if getattr(model, key, 0)}
    return {"model": type(model).__name__, **told, **plain}


def _split(values: Values) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """What all units share, as parameters of the model, and what differs."""
    shared = {name: float(each[0]) for name, each in values.items() if (each == each[0]).all()}
    own = {name: each for name, each in values.items() if name not in shared}
    # The model checks its own threshold against its reset; where they are the units', it must not stand in the way.
    return {"v_threshold": NEVER, **shared}, own


def _one(values: Values) -> dict[str, Any] | None:
    """One number for each, if that serves all units."""
    if all((each == each[0]).all() for each in values.values()):
        return {name: float(each[0]) for name, each in values.items()}
    return None


def _near_one(factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """tau / dt times dt / tau is 1, and a weight should stay what it is; also where r went through float32."""
    return np.where(np.abs(factor - 1) < CLOSE, 1.0, factor)


def _spread(value: Any, thing: str, size: int) -> NDArray[np.float64]:
    array = np.asarray(value, np.float64).ravel()
    require(array.size in (1, size), thing, f"must hold {size} values", array.size)
    require(bool(np.isfinite(array).all()), thing, "must be finite", "NaN or infinity")
    return np.broadcast_to(array, size)


def _number(metadata: Mapping[str, Any], key: str, thing: str) -> float:
    value = np.asarray(metadata[key])
    require(value.size == 1 and value.dtype.kind in "biuf", f"{thing} {key}", "must be a number", metadata[key])
    return float(value.reshape(-1)[0])


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
