"""The attention kinds by name, built from their options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ..errors import NeurosimInputError, lookup, require
from .base import Mixer, Place
from .delta import KDA, DeltaNet, DeltaProduct, GatedDeltaNet
from .linear import GLA, HGRN2, Lightning, LinearAttention, Retention, SimpleGLA
from .mamba import Mamba2
from .routed import SSE, MoM
from .rwkv import RWKV7
from .spaces import AlmostLinearRNN, DiagonalSSM
from .window import WindowAttention

KINDS: dict[str, type[Mixer]] = {
    "alrnn": AlmostLinearRNN,
    "deltanet": DeltaNet,
    "deltaproduct": DeltaProduct,
    "gated_deltanet": GatedDeltaNet,
    "gla": GLA,
    "hgrn2": HGRN2,
    "kda": KDA,
    "lightning": Lightning,
    "linear": LinearAttention,
    "mamba2": Mamba2,
    "mom": MoM,
    "retention": Retention,
    "rwkv7": RWKV7,
    "simple_gla": SimpleGLA,
    "sse": SSE,
    "ssm": DiagonalSSM,
    "window": WindowAttention,
}


def options_of(kind: str) -> dict[str, Any]:
    """The options of a kind with their defaults.

    Raises:
        NeurosimInputError: no such kind.
    """
    parameters = inspect.signature(lookup(KINDS, kind, "attention kind")).parameters
    return {name: p.default for name, p in parameters.items() if name not in ("width", "place")}


def build(kind: str, width: int, place: Place, options: Mapping[str, Any]) -> Mixer:
    """A mixer of this kind for `width` channels.

    Raises:
        NeurosimInputError: no such kind or option, or an option that breaks its rule.
    """
    known = options_of(kind)
    for name in options:
        lookup(known, name, f"{kind} option")
    require(width > 0, f"{kind}.width", "must be > 0", width)
    try:
        return KINDS[kind](width, place, **options)  # type: ignore[call-arg]
    except TypeError as error:
        raise NeurosimInputError(f"{kind}: an option is of the wrong type ({error})") from None
