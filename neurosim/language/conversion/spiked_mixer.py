"""Spikes at the state of an attention kind: coders of q, k and the state, and states updated only where spikes are."""

from __future__ import annotations

from typing import cast, final

import torch
from torch import Tensor, nn

from ...base.errors import NeurosimInputError
from ...kernels.spikes.lazy_state.launch import lazy_scan
from ...kernels.spikes.lazy_state.reference import LazyState, StateTraffic, traffic
from ..attention.kinds.base import Inputs, Mixer, RowUpdates, Shared, State
from ..attention.kinds.tracing import leaf
from ..attention.model import LanguageModel, ResidualBlock
from .coding import Coder, ternary

INPUTS = ("q", "k", "v", "g", "beta", "a", "b")  # of the recurrences that can be updated lazily


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
        NeurosimInputError: a mixer without q and k, or without a state that is coded.
    """
    if qk:
        check_qk(model)
    if state:
        _check_state(model)
    for mixer in model.mixers():
        for name, coded in (("q", qk), ("k", qk), ("state", state)):
            # Each coder is a module of its own, so that its counts and name are its own.
            setattr(mixer.codes, name, ternary(k).to(model.device) if coded else None)


def check_qk(model: LanguageModel) -> None:
    """Raise `NeurosimInputError` for a mixer without q and k."""
    for i, mixer in enumerate(model.mixers()):
        if not mixer.has_qk:
            raise NeurosimInputError(
                f"layers.{i}.mixer: a {type(mixer).__name__} has no q and k to code; leave Coding.qk out"
            )


def _check_state(model: LanguageModel) -> None:
    """Raise `NeurosimInputError` for a mixer that holds tokens: each would be rounded again with every later token."""
    for i, mixer in enumerate(model.mixers()):
        if mixer.holds_tokens:
            raise NeurosimInputError(
                f"layers.{i}.mixer: a {type(mixer).__name__} holds earlier tokens, and has no state that tokens "
                "change; leave Coding.state out"
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
    if mixer.codes.q is None:
        return f"{mixer.in_words}, on floats"
    updated = "updated lazily" if _is_lazy(mixer) else "updated densely"
    return f"{mixer.in_words}, q and k in spikes, {updated}"


def _is_lazy(mixer: Mixer) -> bool:
    """Return whether spikes of q and k choose the rows of the state that change."""
    return mixer.codes.q is not None and mixer.codes.state is None and mixer.row_updates() is not None


def wrap(model: LanguageModel, threads: int) -> None:
    """Update the states lazily where q and k are coded and the kind allows it."""
    for block in model.layers:
        mixer = cast(ResidualBlock, block).mixer
        if _is_lazy(mixer):
            block.mixer = SpikedMixer(mixer, threads)


def unwrap(model: LanguageModel) -> None:
    """Undo `wrap`."""
    for block in model.layers:
        if isinstance(block.mixer, SpikedMixer):
            block.mixer = block.mixer.mixer


@final
class SpikedMixer(nn.Module):
    """A mixer whose state is updated where q and k have spikes, on its device, without gradients.

    `kernels.spikes.lazy_state` is the operation.

    The state passed to it is updated in place: a copy would move the bytes that laziness saves. It consists of `memory`
    [B, H, K, V] and `owed` [B, H, K], log decays not yet applied.

    Attributes:
        recorded: traffic of the state by call, where it is a list; None records nothing.
    """

    def __init__(self, mixer: Mixer, threads: int) -> None:
        super().__init__()
        self.mixer = mixer
        self.updates = cast(RowUpdates, mixer.row_updates())
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
        updates = self.updates
        # The traffic is known of one step a token that touches rows alone.
        if self.recorded is not None and updates.steps == 1 and updates.products == 0:
            self.recorded.append(traffic(inputs["q"], inputs["k"], memory.shape[-1], delta=updates.reads_first))
        outputs = []
        for b in range(len(x)):
            # The kernel updates the state of one sequence, token by token.
            sequence = {name: inputs[name][b].detach() for name in INPUTS if name in inputs}
            lazy = LazyState(memory[b], owed[b])  # type: ignore[arg-type] # of tensors or of arrays
            outputs.append(self._scan(lazy, sequence))
        return self.mixer.finish(torch.stack(outputs), x, inputs), after | {"memory": memory, "owed": owed}

    def _scan(self, state: LazyState, inputs: Inputs) -> Tensor:
        """Run the tokens of a sequence, and return what they read."""
        steps = self.updates.steps
        if steps > 1:
            inputs = _as_tokens(inputs, steps)
        q, k, v = (inputs[name] for name in "qkv")
        turn = (inputs["a"], inputs["b"]) if "a" in inputs else None
        scale = self.mixer.scale
        out: Tensor = lazy_scan(state, q, k, v, inputs.get("g"), inputs.get("beta"), scale, self.threads, turn)
        return out[steps - 1 :: steps]


def _as_tokens(inputs: Inputs, steps: int) -> Inputs:
    """Return the steps of a token, k [T, n, H, K], v [T, n, H, V] and beta [T, n, H], as tokens that follow each other.

    The decay comes before the first of them, and the last alone is read.
    """
    spread = {name: inputs[name].flatten(0, 1) for name in ("k", "v", "beta")}
    spread["q"] = torch.zeros_like(spread["k"])
    spread["q"][steps - 1 :: steps] = inputs["q"]
    if "g" in inputs:
        spread["g"] = torch.zeros_like(spread["beta"])
        spread["g"][::steps] = inputs["g"]
    return spread
