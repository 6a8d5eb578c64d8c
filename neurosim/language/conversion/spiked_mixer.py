"""Spikes at the state of an attention kind: coders of q, k and the state, and states updated only where spikes are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from ...base.errors import NeurosimInputError
from ...kernels.spikes.lazy_state.launch import lazy_scan
from ...kernels.spikes.lazy_state.reference import LazyState, StateTraffic, traffic
from ..attention.kinds.base import AdditiveMixer, DeltaMixer, Inputs, Mixer, Shared, State
from ..attention.kinds.delta import DeltaProduct
from ..attention.kinds.hgrn import HGRN
from ..attention.kinds.rwkv import RWKV7
from ..attention.kinds.rwkv6 import RWKV5
from ..attention.kinds.softmax import CachedAttention
from ..attention.kinds.tracing import leaf
from ..attention.model import LanguageModel, ResidualBlock
from .coding import Coder, ternary

INPUTS = ("q", "k", "v", "g", "beta", "a", "b")  # of the recurrences that can be updated lazily
Scan = Callable[[LazyState, Inputs, Any, int], Tensor]


def _lazily(state: LazyState, inputs: Inputs, mixer: Any, threads: int) -> Tensor:
    """Run the recurrence that the inputs define. In RWKV-7 a and b are dense: only spikes of q and k save work."""
    q, k, v = (inputs[name] for name in "qkv")
    turn = (inputs["a"], inputs["b"]) if "a" in inputs else None
    out: Tensor = lazy_scan(state, q, k, v, inputs.get("g"), inputs.get("beta"), mixer.scale, threads, turn)
    return out


def _delta_product(state: LazyState, inputs: Inputs, mixer: Any, threads: int) -> Tensor:
    """Run n steps of the delta rule for each token: k [T, n, H, K], v [T, n, H, V], beta [T, n, H].

    The steps follow each other as tokens; the decay comes before the first, and the last alone is read.
    """
    steps = inputs["k"].shape[1]
    spread = {name: inputs[name].flatten(0, 1) for name in ("k", "v", "beta")}
    spread["q"] = torch.zeros_like(spread["k"])
    spread["q"][steps - 1 :: steps] = inputs["q"]
    if "g" in inputs:
        spread["g"] = torch.zeros_like(spread["beta"])
        spread["g"][::steps] = inputs["g"]
    return _lazily(state, spread, mixer, threads)[steps - 1 :: steps]


# By the class of a mixer, the first that fits: its description, and the lazy update of its state, if there is one.
RECURRENCES: Mapping[type, tuple[str, Scan | None]] = {
    RWKV5: ("state S = e^g S + k v^T, read as S^T r before its token, which adds (r . u k) v", None),
    AdditiveMixer: ("state S = e^g S + k v^T, output S^T q", _lazily),
    DeltaMixer: ("state of the delta rule, S += k beta (v - S^T k)^T, output S^T q", _lazily),
    DeltaProduct: ("state of several delta steps a token, output S^T q", _delta_product),
    RWKV7: ("state of RWKV-7, output S^T q", _lazily),
    CachedAttention: ("softmax attention over earlier tokens", None),
    Mixer: ("recurrence on floats", None),
}


def recurrence(mixer: Mixer) -> tuple[str, Scan | None]:
    """Return the description of a mixer's recurrence, and its lazy update or None."""
    return next(entry for kind, entry in RECURRENCES.items() if isinstance(mixer, kind))


def record_traffic(model: LanguageModel) -> None:
    """Start to record the traffic of the states of an executed model."""
    for mixer in model.mixers():
        if isinstance(mixer, SpikedMixer):
            mixer.recorded = []


def recorded_traffic(model: LanguageModel) -> dict[str, StateTraffic]:
    """Return the traffic since `record_traffic` by mixer, of the kinds whose traffic is known, and stop to record."""
    totals: dict[str, StateTraffic] = {}
    for i, mixer in enumerate(model.mixers()):
        if isinstance(mixer, SpikedMixer):
            if mixer.recorded:
                totals[f"layers.{i}.mixer"] = StateTraffic(*map(sum, zip(*mixer.recorded, strict=True)))
            mixer.recorded = None
    return totals


def add_coders(model: LanguageModel, *, qk: bool, state: bool, k: float) -> None:
    """Put coders in front of the states; each head of a token has its own threshold, and each row of a state.

    Raises:
        NeurosimInputError: a mixer without q and k.
    """
    if qk:
        check_qk(model)
    for mixer in model.mixers():
        for name, coded in (("q", qk), ("k", qk), ("state", state)):
            # Each coder is a module of its own, so that its counts and name are its own.
            setattr(mixer.codes, name, ternary(k).to(model.device) if coded else None)


def check_qk(model: LanguageModel) -> None:
    """Raise `NeurosimInputError` for a mixer without q and k."""
    for i, mixer in enumerate(model.mixers()):
        if not _has_qk(mixer):
            raise NeurosimInputError(
                f"layers.{i}.mixer: a {type(mixer).__name__} has no q and k to code; leave Coding.qk out"
            )


def _has_qk(mixer: Mixer) -> bool:
    """Return whether a mixer has q and k to code."""
    if isinstance(mixer, HGRN):  # its heads have one channel
        return False
    return (
        isinstance(mixer, CachedAttention | AdditiveMixer)
        or hasattr(mixer, "q_proj")
        or recurrence(mixer)[1] is not None
    )


def coders(model: LanguageModel) -> dict[str, Coder]:
    """Return the coders of q, k and state by name, of all mixers that have them."""
    by_name = {}
    for i, mixer in enumerate(model.mixers()):
        inner = mixer.mixer if isinstance(mixer, SpikedMixer) else mixer
        for name in ("q", "k", "state"):
            coder = getattr(inner.codes, name)
            if isinstance(coder, Coder):
                by_name[f"layers.{i}.mixer.codes.{name}"] = coder
    return by_name


def describe(mixer: Mixer) -> str:
    """Describe the recurrence of a mixer, and how it is computed."""
    words, scan = recurrence(mixer)
    if mixer.codes.q is None:
        return f"{words}, on floats"
    lazily = scan is not None and mixer.codes.state is None
    updated = "updated lazily" if lazily else "updated densely"
    return f"{words}, q and k in spikes, {updated}"


def wrap(model: LanguageModel, threads: int) -> None:
    """Update the states lazily where q and k are coded and the kind allows it."""
    for block in model.layers:
        mixer = cast(ResidualBlock, block).mixer
        _, scan = recurrence(mixer)
        if mixer.codes.q is not None and mixer.codes.state is None and scan is not None:
            block.mixer = SpikedMixer(mixer, scan, threads)


def unwrap(model: LanguageModel) -> None:
    """Undo `wrap`."""
    for block in model.layers:
        if isinstance(block.mixer, SpikedMixer):
            block.mixer = block.mixer.mixer


@final
class SpikedMixer(nn.Module):
    """A mixer whose state is updated where q and k have spikes (`kernels.lazy_state`), on its device; no gradients.

    The state passed to it is updated in place: a copy would move the bytes that laziness saves. It consists of `memory`
    [B, H, K, V] and `owed` [B, H, K], log decays not yet applied.

    Attributes:
        recorded: traffic of the state by call, where it is a list; None records nothing.
    """

    def __init__(self, mixer: Mixer, scan: Scan, threads: int) -> None:
        super().__init__()
        self.mixer = mixer
        self.scan = scan
        self.threads = threads
        self.recorded: list[StateTraffic] | None = None
        self.roundings = {name: self._coder(name).kernel_rounding(1)[0] for name in "qk"}

    def _coder(self, name: str) -> Coder:
        """Return the coder of q or k."""
        return cast(Coder, getattr(self.mixer.codes, name))

    @leaf
    @torch.no_grad()
    def forward(self, x: Tensor, state: State | None = None, shared: Shared | None = None) -> tuple[Tensor, State]:
        if state is None:
            state = self.mixer.initial(x)
        inputs, after = self.mixer.project(x, state, {} if shared is None else shared)
        for name in "qk":
            inputs[name] = self._coder(name).executed(inputs[name], self.roundings[name], self.threads)
        memory = state["memory"]
        owed = state["owed"] if "owed" in state else memory.new_zeros(memory.shape[:3])
        if self.recorded is not None and isinstance(self.mixer, AdditiveMixer | DeltaMixer):
            delta = isinstance(self.mixer, DeltaMixer)
            self.recorded.append(traffic(inputs["q"], inputs["k"], memory.shape[-1], delta=delta))
        outputs = []
        for b in range(len(x)):
            # The kernel updates the state of one sequence, token by token.
            sequence = {name: inputs[name][b].detach() for name in INPUTS if name in inputs}
            lazy = LazyState(memory[b], owed[b])  # type: ignore[arg-type] # of tensors or of arrays
            outputs.append(self.scan(lazy, sequence, self.mixer, self.threads))
        return self.mixer.finish(torch.stack(outputs), x, inputs), after | {"memory": memory, "owed": owed}
