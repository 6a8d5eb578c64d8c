"""Layers from and to snnTorch's `Leaky` and `RLeaky`."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from ...base.distribution import install
from ...base.errors import NeurosimMissingError, require
from .neurons import LIFLayer
from .surrogates import Surrogate

# Resets of snnTorch by the name here, and the other way round.
TO = {"subtract_late": "subtract", "zero": "zero"}
FROM = {theirs: ours for ours, theirs in TO.items()}
# `RLeaky` with "zero" loses the input of the step after a spike too.
RECURRENT = ("subtract_late",)


def _package() -> Any:
    try:
        import snntorch
    except ImportError as error:
        raise NeurosimMissingError(f"snntorch: {error}; run: {install('train')}") from None
    return snntorch


def from_snntorch(module: nn.Module, units: int, dt: float = 1e-3, surrogate: str | Surrogate = "arctan") -> LIFLayer:
    """Return a `LIF` with the spikes and gradients of a snnTorch `Leaky` or `RLeaky`.

    Time constants are tau_mem = -dt / ln beta. A snnTorch surrogate is a function whose kind cannot be read: name it.

    Args:
        module: reset "subtract" or "zero" at the default delay; an `RLeaky`'s must be "subtract", and the feed-back
            linear, from all to all.
        units: number of neurons, which a `Leaky` does not store.

    Raises:
        NeurosimMissingError: snnTorch is not installed.
        NeurosimInputError: a module or a setting that `LIF` does not have.
    """
    snn = _package()
    theirs = cast(Any, module)
    recurrent = isinstance(module, snn.RLeaky)
    kind = type(module).__name__
    rule = "must be a Leaky or RLeaky; whole networks come as graphs: export_to_nir of snnTorch, then network.from_nir"
    require(recurrent or isinstance(module, snn.Leaky), "from_snntorch", rule, kind)
    beta = theirs.beta.detach().double()
    threshold = theirs.threshold.detach().double()
    _check_settings(theirs, beta, recurrent)
    layer = LIFLayer(
        units,
        tau_mem=_each(-dt / beta.log(), units),
        v_threshold=_each(threshold, units),
        dt=dt,
        reset=FROM[theirs.reset_mechanism],
        surrogate=surrogate,
        train_tau=isinstance(theirs.beta, nn.Parameter),
        train_threshold=isinstance(theirs.threshold, nn.Parameter),
        recurrent=recurrent,
    )
    if layer.recurrent is not None:
        with torch.no_grad():
            layer.recurrent.weight.copy_(theirs.recurrent.weight)
            if theirs.recurrent.bias is not None:
                layer.recurrent.bias = nn.Parameter(theirs.recurrent.bias.detach().clone())
    return layer


def _check_settings(module: Any, beta: Tensor, recurrent: bool) -> None:
    name = type(module).__name__
    rule = f"must be one of {', '.join(FROM)}"
    require(module.reset_mechanism in FROM, f"{name}.reset_mechanism", rule, module.reset_mechanism)
    require(module.reset_delay, f"{name}.reset_delay", "must be True", module.reset_delay)
    require(bool(((beta > 0) & (beta < 1)).all()), f"{name}.beta", "must be > 0 and < 1", beta.tolist())
    require(not module.inhibition, f"{name}.inhibition", "must be False", module.inhibition)
    require(not module.state_quant, f"{name}.state_quant", "must be off", module.state_quant)
    require(bool((module.graded_spikes_factor == 1).all()), f"{name}.graded_spikes_factor", "must be 1", "another")
    if recurrent:
        require(FROM[module.reset_mechanism] in RECURRENT, f"{name}.reset_mechanism", "must be 'subtract'", "zero")
        linear = isinstance(getattr(module, "recurrent", None), nn.Linear)
        require(linear, f"{name}.recurrent", "must be all-to-all and linear", type(module.recurrent).__name__)


def _each(value: Tensor, units: int) -> Tensor:
    """Return one number as it is, and other values repeated for each unit."""
    return value if value.ndim == 0 else value.expand(units)


def to_snntorch(layer: LIFLayer) -> nn.Module:
    """Return a snnTorch `Leaky` or `RLeaky` with the same spikes and gradients, and copies of the parameters.

    Raises:
        NeurosimMissingError: snnTorch is not installed.
        NeurosimInputError: a reset, surrogate or gradient that snnTorch does not have.
    """
    snn = _package()
    ours = layer.surrogate
    resets = TO if layer.recurrent is None else RECURRENT
    require(layer.reset in resets, "LIFLayer.reset", f"must be one of {', '.join(resets)} for snnTorch", layer.reset)
    require(layer.detach_reset, "LIFLayer.detach_reset", "must be True for snnTorch", layer.detach_reset)
    makers = {
        "fast_sigmoid": lambda: snn.surrogate.fast_sigmoid(slope=ours.slope),
        "arctan": lambda: snn.surrogate.atan(alpha=ours.slope),
        "sigmoid": lambda: snn.surrogate.sigmoid(slope=ours.slope),
    }
    known = ours.shape in makers and ours.scale == 1
    require(known, "LIFLayer.surrogate", "must be one of snnTorch's, of scale 1", ours)
    # beta = exp(-dt / tau_mem)
    common = {
        "beta": torch.exp(-layer.dt / layer.tau_mem()).detach().float(),
        "threshold": layer.v_threshold().detach().float(),
        "spike_grad": makers[ours.shape](),
        "learn_beta": layer.tau_mem.trained,
        "learn_threshold": layer.v_threshold.trained,
        "reset_mechanism": TO[layer.reset],
    }
    if layer.recurrent is None:
        return snn.Leaky(**common)
    module = snn.RLeaky(linear_features=layer.units, **common)
    bias = layer.recurrent.bias
    if bias is None:
        bias = torch.zeros(layer.units)
    with torch.no_grad():
        module.recurrent.weight.copy_(layer.recurrent.weight)
        module.recurrent.bias.copy_(bias)
    return module
