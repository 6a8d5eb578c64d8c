"""Spikes at the state of an attention kind: q, k and the state coded, and the state updated where spikes touch it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..attention import LanguageModel, Mixer
from ..attention.base import AdditiveMixer, DeltaMixer, Shared, State
from ..attention.delta import DeltaProduct
from ..attention.model import ResidualBlock
from ..attention.rwkv import RWKV7
from ..attention.window import WindowAttention
from ..errors import NeurosimInputError
from ..kernels.spikes.lazy_state.launch import lazy_scan
from ..kernels.spikes.lazy_state.numba import read, write
from ..kernels.spikes.lazy_state.reference import LazyState, Traffic, decay, traffic
from .coding import Coder, ternary

Arrays = Mapping[str, NDArray[Any]]
INPUTS = ("q", "k", "v", "g", "beta", "a", "b")  # of the recurrences that can be updated lazily
Scan = Callable[[LazyState, Arrays, Any, int], NDArray[Any]]


def _additive(state: LazyState, inputs: Arrays, mixer: Any, threads: int) -> NDArray[Any]:
    q, k, v = (inputs[name] for name in "qkv")
    found: NDArray[Any] = lazy_scan(state, q, k, v, inputs.get("g"), None, mixer.scale, threads)
    return found


def _delta(state: LazyState, inputs: Arrays, mixer: Any, threads: int) -> NDArray[Any]:
    q, k, v = (inputs[name] for name in "qkv")
    found: NDArray[Any] = lazy_scan(state, q, k, v, inputs.get("g"), inputs["beta"], mixer.scale, threads)
    return found


def _product(state: LazyState, inputs: Arrays, mixer: Any, threads: int) -> NDArray[Any]:
    """k [T, n, H, K], v [T, n, H, V], beta [T, n, H]: n steps of the delta rule a token, after one decay."""
    q, k, v, beta = (inputs[name] for name in ("q", "k", "v", "beta"))
    out = np.empty((len(q), q.shape[1], v.shape[-1]), q.dtype)
    for t in range(len(q)):
        if "g" in inputs:
            decay(state, inputs["g"][t])
        for i in range(k.shape[1]):
            write(state, k[t, i], beta[t, i][:, None] * (v[t, i] - read(state, k[t, i])))
        out[t] = read(state, q[t], mixer.scale)
    return out


def _rwkv(state: LazyState, inputs: Arrays, mixer: Any, threads: int) -> NDArray[Any]:
    """What `a` reads before the decay is written along `b`; both are dense, so only k and q save anything."""
    q, k, v, g, a, b = (inputs[name] for name in ("q", "k", "v", "g", "a", "b"))
    out = np.empty_like(v)
    for t in range(len(q)):
        removed = read(state, a[t])
        decay(state, g[t])
        write(state, b[t], removed)
        write(state, k[t], v[t])
        out[t] = read(state, q[t])
    return out


# By the class a mixer is an instance of: how its state is updated lazily, and what it is.
LAZY: Mapping[type, Scan] = {AdditiveMixer: _additive, DeltaMixer: _delta, DeltaProduct: _product, RWKV7: _rwkv}
RECURRENCES: Mapping[type, str] = {
    AdditiveMixer: "state S = e^g S + k v^T, output S^T q",
    DeltaMixer: "state of the delta rule, S += k beta (v - S^T k)^T, output S^T q",
    DeltaProduct: "state of several delta steps a token, output S^T q",
    RWKV7: "state of RWKV-7, output S^T q",
    WindowAttention: "softmax attention over earlier tokens",
    Mixer: "recurrence on floats",
}


def _counted(mixer: Mixer) -> type | None:
    """The class whose traffic `kernels.spikes.lazy_state` knows, or None."""
    kinds: tuple[type, ...] = (AdditiveMixer, DeltaMixer)
    return next((kind for kind in kinds if isinstance(mixer, kind)), None)


def record_traffic(model: LanguageModel) -> None:
    """Start to count what moves into and out of the states of an executed model."""
    for mixer in model.mixers():
        if isinstance(mixer, SpikedMixer):
            mixer.moved = []


def recorded_traffic(model: LanguageModel) -> dict[str, Traffic]:
    """By mixer: what moved since `record_traffic`, of the kinds that are counted; then no more is counted."""
    found: dict[str, Traffic] = {}
    for i, mixer in enumerate(model.mixers()):
        if isinstance(mixer, SpikedMixer):
            if mixer.moved:
                found[f"layers.{i}.mixer"] = Traffic(*map(sum, zip(*mixer.moved, strict=True)))
            mixer.moved = None
    return found


def code(model: LanguageModel, qk: bool, state: bool, k: float) -> None:
    """Put coders where q, k and the state enter; each head of a token has its own threshold, each row of a state too.

    Raises:
        NeurosimInputError: a mixer without q and k.
    """
    for i, mixer in enumerate(model.mixers()):
        if qk and not _has_qk(mixer):
            raise NeurosimInputError(
                f"layers.{i}.mixer: a {type(mixer).__name__} has no q and k to code; leave Coding.qk out"
            )
        mixer.codes.q, mixer.codes.k = (ternary(k), ternary(k)) if qk else (None, None)
        mixer.codes.state = ternary(k) if state else None


def _has_qk(mixer: Mixer) -> bool:
    return isinstance(mixer, WindowAttention) or hasattr(mixer, "q_proj") or lazy_form(mixer) is not None


def coders(model: LanguageModel) -> dict[str, Coder]:
    """Those of q, k and state by name, of all mixers that have them."""
    found = {}
    for i, mixer in enumerate(model.mixers()):
        inner = mixer.mixer if isinstance(mixer, SpikedMixer) else mixer
        for name in ("q", "k", "state"):
            coder = getattr(inner.codes, name)
            if isinstance(coder, Coder):
                found[f"layers.{i}.mixer.codes.{name}"] = coder
    return found


def lazy_form(mixer: Mixer) -> Scan | None:
    """How this kind's state is updated lazily, or None where it has to be updated densely."""
    return next((scan for kind, scan in LAZY.items() if isinstance(mixer, kind)), None)


def described(mixer: Mixer) -> str:
    """What of a mixer is not a linear layer, and how it is computed."""
    words = next(words for kind, words in RECURRENCES.items() if isinstance(mixer, kind))
    if mixer.codes.q is None:
        return f"{words}, on floats"
    if lazy_form(mixer) is None or mixer.codes.state is not None:
        return f"{words}, q and k in spikes, updated densely"
    return f"{words}, q and k in spikes, updated lazily"


def wrap(model: LanguageModel, threads: int) -> None:
    """Let the states be updated lazily where q and k are coded and the kind can."""
    for block in model.layers:
        mixer = cast(ResidualBlock, block).mixer
        scan = lazy_form(mixer)
        if mixer.codes.q is not None and mixer.codes.state is None and scan is not None:
            block.mixer = SpikedMixer(mixer, scan, threads)


def unwrap(model: LanguageModel, threads: int) -> None:
    """Undo `wrap`."""
    for block in model.layers:
        if isinstance(block.mixer, SpikedMixer):
            block.mixer = block.mixer.mixer


@final
class SpikedMixer(nn.Module):
    """A mixer whose state is updated where q and k have spikes (`kernels.spikes.lazy_state`); no gradients.

    `moved` holds the traffic of the state since it was set to an empty list, by call; None keeps none.

    The state it is given is updated in place: to copy it would move what laziness saves. It holds `memory` [B, H, K, V]
    and `owed` [B, H, K], log decays not yet applied.
    """

    def __init__(self, mixer: Mixer, scan: Scan, threads: int) -> None:
        super().__init__()
        self.mixer, self.scan, self.threads = mixer, scan, threads
        self.moved: list[Traffic] | None = None

    @torch.no_grad()
    def forward(self, x: Tensor, state: State | None = None, shared: Shared | None = None) -> tuple[Tensor, State]:
        """As `Mixer.forward`."""
        state = self.mixer.initial(x) if state is None else state
        inputs, kept = self.mixer.project(x, state, {} if shared is None else shared)
        inputs = self.mixer.coded(inputs)
        memory = state["memory"]
        owed = state["owed"] if "owed" in state else memory.new_zeros(memory.shape[:3])
        known = {name: inputs[name].detach().numpy() for name in INPUTS if name in inputs}
        if self.moved is not None and (kind := _counted(self.mixer)) is not None:
            self.moved.append(traffic(known["q"], known["k"], memory.shape[-1], delta=kind is DeltaMixer))
        outs = []
        for b in range(len(x)):
            lazy = LazyState(memory[b].numpy(), owed[b].numpy())
            outs.append(self.scan(lazy, {name: value[b] for name, value in known.items()}, self.mixer, self.threads))
        out = torch.from_numpy(np.stack(outs))
        return self.mixer.finish(out, x, inputs), kept | {"memory": memory, "owed": owed}
