"""NIR's neurons as neurosim's, and back.

A spike on an edge is a current of 1 that lasts one step `dt` of the program that wrote the graph, as in snnTorch,
Norse, Lava and sinabs. It moves a LIF by r dt / tau, a current of CubaLIF by w_in dt / tau_syn, an IF by
r dt: the area of the current, at once. Held over the step it moves a LIF by r (1 - exp(-dt / tau)), which is 6 % less
at tau = 8 dt. With dt = 1 s a spike has unit area: a Dirac pulse. Our weights are the jumps themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ..neurons.base import Neuron
from ..neurons.by_unit import rows
from ..neurons.current import CubaLIF
from ..neurons.lif import IF, LI, LIF
from .files import Metadata
from .transforms import vector

Value = float | NDArray[np.float64]
Values = Mapping[str, NDArray[np.float64]]
# The threshold of neurons that never fire, for I and CubaLI: the largest float32.
NEVER = float(np.finfo(np.float32).max)
# What a spike does: see `from_nir`.
RESETS = ("value", "subtract", "subtract_late")
# Relative difference of two numbers that are one, rounded to float32 or computed in another order.
CLOSE = 1e-6


@dataclass(frozen=True, eq=False)
class Cell:
    """A neuron node as a population.

    Attributes:
        model: the neuron; parameters that differ from unit to unit are vectors.
        initial: initial states that differ from the model's own.
        factor: [units] factor of the weights that arrive.
    """

    model: Neuron
    factor: NDArray[np.float64]
    initial: dict[str, NDArray[np.float64] | float] = field(default_factory=dict)


def cell(
    node: Any,
    title: str,
    size: int,
    bias: NDArray[np.float64],
    dt: float,
    *,
    integration: str = "exact",
    reset: str = "value",
) -> Cell:
    """Return the population of a neuron node of `size` units with the constant input `bias`.

    Args:
        integration: "exact", "held", or "euler" for constants whose exact step of `dt` is Euler's step of the node's.
        reset: what a spike does, where the node's metadata do not say it: see `from_nir`.

    Raises:
        NeurosimInputError: a parameter of another shape, or that breaks its rule.
    """
    kind = type(node).__name__
    values = {name: vector(getattr(node, name), f"{title}.{name}", size) for name in PARAMETERS[kind]}
    for name, each in values.items():
        if name.startswith("tau"):
            require(bool((each > 0).all()), f"{title}.{name}", "must be > 0 s", each.min())
    hold = _numbers(node.metadata.get("t_refractory", 0.0), f"{title} t_refractory", size)
    default = float(reset != "value")
    stated = _numbers(node.metadata.get("soft_reset", default), f"{title} soft_reset", size)
    converted = _MAKE[kind](values, bias, dt, SHARES[integration], hold, bool(np.any(stated)))
    if integration == "exact":
        converted = _exactly(converted, node, title, values, bias, dt)
    elif integration == "euler":
        converted = replace(converted, model=_of_euler(converted.model, title, dt))
    if reset == "subtract_late" and "soft_reset" not in node.metadata:
        converted = replace(converted, model=_subtracting_late(converted.model, dt))
    return converted


Share = Callable[[float, NDArray[np.float64]], NDArray[np.float64]]
# Way that a membrane or current of time constant tau goes by a spike's current of dt, to where it would end.
SHARES: Mapping[str, Share] = {
    "euler": lambda dt, tau: dt / tau,
    "exact": lambda dt, tau: dt / tau,
    "held": lambda dt, tau: -np.expm1(-dt / tau),
}


PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    "I": ("r",),
    "IF": ("r", "v_threshold", "v_reset"),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
}


def _lif(p: Values, bias: NDArray[Any], dt: float, share: Share, hold: Value, soft: bool) -> Cell:
    factor = _near_one(p["r"] * share(dt, p["tau"]))
    passive = _short({"tau_mem": p["tau"], "v_leak": p["v_leak"], "r": p["r"], "i_offset": bias})
    if "v_threshold" not in p:
        return Cell(LI(**passive), factor)
    return Cell(LIF(**passive, **_short(_ends(p, bias)), t_refractory=hold, soft_reset=soft), factor)


def _if(p: Values, bias: NDArray[Any], dt: float, share: Share, hold: Value, soft: bool) -> Cell:
    parameters = _short({**_ends(p, bias), "r": p["r"], "i_offset": bias})
    return Cell(IF(**parameters, t_refractory=hold, soft_reset=soft), _near_one(p["r"] * dt))


def _cuba(p: Values, bias: NDArray[Any], dt: float, share: Share, hold: Value, soft: bool) -> Cell:
    current = p["w_in"] * bias
    passive = {key: p[key] for key in ("tau_mem", "tau_syn", "v_leak", "r")} | {"i_offset": current}
    model = CubaLIF(**_short({**passive, **_ends(p, bias)}), t_refractory=hold, soft_reset=soft)
    # A constant input charges the current with its time constant: i_offset is its limit, and an initial current of
    # -i_offset that decays is the difference from it.
    start = {"i_excitatory": -current} if current.any() else {}
    return Cell(model, _near_one(p["w_in"] * share(dt, p["tau_syn"])), start)


def _of_euler(model: Any, title: str, dt: float) -> Neuron:
    """Return the model whose exact step of `dt` is Euler's step of `model`.

    A decay of exp(-dt / tau) becomes 1 - dt / tau. A current of CubaLIF moves the membrane by r dt / tau_mem: as in
    Norse, the current before its own step.

    Raises:
        NeurosimInputError: a time constant of at most `dt`.
    """
    if isinstance(model, IF):
        return model
    taus = {name: np.asarray(getattr(model, name)) for name in ("tau_mem", "tau_syn") if hasattr(model, name)}
    rule = f"must be > the step of {dt:g} s by Euler's method"
    for name, tau in taus.items():
        require(bool((tau > dt).all()), f"{title}.{name}", rule, tau.min())
    # exp(-dt / tau') = 1 - dt / tau
    changed: dict[str, Any] = {name: _plain(-dt / np.log1p(-dt / tau)) for name, tau in taus.items()}
    if isinstance(model, CubaLIF):
        # Move of the membrane by a current of 1 in an exact step, with r = 1: the third constant of CubaLIF.
        unit = replace(model, **changed, r=_plain(np.ones_like(taus["tau_mem"])), i_offset=0.0, v_leak=0.0)
        charge = rows(unit, lambda each: each.constants(dt))[2]
        before = np.asarray(model.r, np.float64)
        r = before * dt / taus["tau_mem"] / charge
        offset = np.asarray(model.i_offset, np.float64)
        changed |= {"r": _plain(r), "i_offset": _plain(offset * before / r)}
    return replace(model, **changed)


def _subtracting_late(model: Any, dt: float) -> Neuron:
    """Return the model from which a spike takes so much more that, a step's decay later, it is the threshold."""
    never_fires = isinstance(model, LI) or np.all(model.v_threshold == NEVER)
    if isinstance(model, IF) or never_fires:
        return model
    threshold = np.asarray(model.v_threshold, np.float64)
    taken = (threshold - model.v_reset) * np.exp(dt / np.asarray(model.tau_mem))
    return replace(model, v_reset=_plain(threshold - taken))


def _plain(values: NDArray[np.float64]) -> Value:
    return float(values) if np.ndim(values) == 0 else values


def _ends(p: Values, bias: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Return threshold and reset; without a threshold one that is out of reach."""
    threshold = p.get("v_threshold", np.full(bias.shape, NEVER))
    reset = p.get("v_reset", np.zeros(bias.shape))
    return {"v_threshold": threshold, "v_reset": reset}


def _short(values: Values) -> dict[str, Value]:
    """Return parameters by name: a number where all units have the same, else a vector."""
    short: dict[str, Value] = {}
    for name, each in values.items():
        if (each == each[0]).all():
            short[name] = float(each[0])
        else:
            short[name] = each
    return short


_MAKE: Mapping[str, Callable[[Values, NDArray[Any], float, Share, Value, bool], Cell]] = {
    "CubaLI": _cuba,
    "CubaLIF": _cuba,
    "I": _if,
    "IF": _if,
    "LI": _lif,
    "LIF": _lif,
}


def _exactly(converted: Cell, node: Any, title: str, values: Values, bias: NDArray[Any], dt: float) -> Cell:
    """Return the neuron in the metadata if it equals the node up to the rounding of float32, else the converted one."""
    model = MODELS.get(str(_text(node.metadata.get("model", ""))))
    if model is None or bias.any():
        return converted
    saved = {f.name: node.metadata[f"p_{f.name}"] for f in fields(model) if f"p_{f.name}" in node.metadata}  # type: ignore[arg-type]
    try:
        numbers = {name: _numbers(value, f"metadata p_{name}", bias.size) for name, value in saved.items()}
        flags = {name: bool(value) for name, value in numbers.items() if isinstance(getattr(model, name), bool)}
        exact: Any = model(**{**numbers, **flags})
        parameters = node_parameters(exact, dt)
    except NeurosimInputError as error:
        raise NeurosimInputError(f"{title}.metadata: {error}") from None
    # The node decides where another program changed it and left the metadata.
    agree = all(np.allclose(values[name], parameters[name], rtol=CLOSE, atol=0) for name in values)
    if agree:
        return Cell(exact, converted.factor)
    return converted


MODELS: Mapping[str, type[Neuron]] = {model.__name__: model for model in (CubaLIF, IF, LI, LIF)}


def node_of(model: Any, population: str) -> str:
    """Return the type of the NIR node of a population's neuron.

    Raises:
        NeurosimInputError: a model that NIR does not have, or a setting of it.
    """
    title = f"population '{population}'"
    name = type(model).__name__
    if name not in MODELS:
        has = ", ".join(MODELS)
        raise NeurosimInputError(f"{title}: NIR has no {name}; it has {has}; save the network as TOML instead")
    # NIR has nodes of their own for neurons that never fire: I, LI and CubaLI.
    if isinstance(model, IF):
        current = np.max(np.abs(model.i_offset))
        require(current == 0, f"{title}: IF.i_offset", "must be 0: NIR has no constant current", current)
        return "I" if np.all(model.v_threshold == NEVER) else "IF"
    if isinstance(model, CubaLIF):
        other = model.tau_syn_inhibitory
        same = other is None or np.all(other == model.tau_syn)
        require(bool(same), f"{title}: CubaLIF.tau_syn_inhibitory", "must be tau_syn: NIR has one of them", other)
        if np.all(model.v_threshold == NEVER):
            return "CubaLI"
        return "CubaLIF"
    return "LI" if isinstance(model, LI) else "LIF"


def node_parameters(model: Any, dt: float) -> dict[str, Value]:
    """Return the parameters of a neuron's NIR node, numbers or by unit, such that a weight w is our w.

    A constant current becomes an equivalent rise of v_leak.
    """
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


def metadata(model: Any) -> Metadata:
    """Return the settings of a neuron that NIR lacks, and its parameters as they are."""
    own = {f.name: getattr(model, f.name) for f in fields(model)}
    exact = {f"p_{name}": v if np.ndim(v) else float(v) for name, v in own.items() if v is not None}
    plain = {key: exact[f"p_{key}"] for key in ("t_refractory", "soft_reset") if np.any(own.get(key, 0))}
    return {"model": type(model).__name__, **exact, **plain}


def _near_one(factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return factors with 1 for those near it: tau / dt times dt / tau may miss 1, as may r in float32."""
    return np.where(np.abs(factor - 1) < CLOSE, 1.0, factor)


def _numbers(value: Any, title: str, size: int) -> float | NDArray[np.float64]:
    """Return a number for all units, or a vector."""
    array = np.asarray(value)
    require(array.dtype.kind in "biuf" and array.size in (1, size), title, "must be a number", f"{value!r:.60}")
    if array.size == 1:
        return float(array.reshape(-1)[0])
    return array.astype(np.float64).ravel()


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)
