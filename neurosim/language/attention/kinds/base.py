"""The contract of an attention kind: projections to per-token inputs, a recurrence, and an output.

`Mixer.recur` is the definition of a kind, one token at a time; `chunked` computes the same for many tokens at once.
Tests hold both equal, values and gradients.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ....base.errors import NeurosimInputError
from ....base.rules import check_rules
from . import chunks
from .compiled import Step
from .tracing import leaf

Inputs = dict[str, Tensor]
"""Per-token inputs of a recurrence by name, each [B, T, ..]: q, k, v, and g, beta, .. where the kind has them."""

State = dict[str, Tensor]
"""State of a layer by name: `memory`, which `recur` updates, and the last tokens (tails) of its convolutions."""

Shared = dict[str, Tensor]
"""Values that layers hand to later layers within one forward pass, by name; and `prefix`, see `Mixer.both_ways`."""

Run = Callable[[Tensor, Inputs], tuple[Tensor, Tensor]]
"""(memory, inputs) to (memory after them, outputs): `stepwise` or `chunked`."""

_OF_HEADS = ("q", "k", "v", "g", "beta")  # inputs [B, T, H, ..] of additive kinds and of the delta rule


@dataclass(frozen=True)
class Depth:
    """Index of a mixer in its stack, and the number of layers of the stack: some kinds depend on them."""

    layer: int = 0
    layers: int = 1


class Codes(nn.Module):
    """Coders that a conversion puts in front of the state: modules tensor -> tensor, None by default.

    `q` and `k` see [B, T, H, K] as they enter the recurrence (after convolution, feature map and normalisation, before
    scaling); `state` sees `memory` after every token, and then tokens go one at a time.
    """

    q: nn.Module | None
    k: nn.Module | None
    state: nn.Module | None

    def __init__(self) -> None:
        super().__init__()
        self.q = self.k = self.state = None


@dataclass(eq=False, repr=False)
class Mixer(nn.Module, ABC):
    """An attention kind: x [B, T, D] to y [B, T, D] through a state of fixed size.

    A kind is a dataclass: its fields are its options, given by keyword, and `build` makes its layers from them. Options
    are checked before that by the rules in their annotations: `slots: Annotated[int, Rule("> 0")] = 512`.

    Args:
        width: D, channels of x.
        depth: place in the stack.

    Attributes:
        codes: coders of a conversion, see `Codes`.
        chunk: tokens in a chunk of the chunked form.
        why_not_parallel: why the state cannot be composed over processes; empty where it can.
        scale: factor of the outputs.
        auxiliary: loss of the last forward pass in training that is added to the task's, where the kind has one.
        reads_backwards: half of the heads can read a prefix from its end, see `both_ways`.
        recurrence: names of the methods that define the recurrence, see `compiled`.
        on_inputs: called with the inputs of the recurrence in every forward pass; None for nothing.

    Raises:
        NeurosimInputError: on construction, naming the option that breaks its rule.
    """

    chunk = 64
    why_not_parallel = ""
    scale = 1.0
    reads_backwards = False
    recurrence: ClassVar[tuple[str, ...]] = ("recur",)

    width: int
    depth: Depth

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # Another recurrence has other operations: it is traced until the class says which.
        if "compiled" not in vars(cls) and not vars(cls).keys().isdisjoint(cls.recurrence):
            cls.compiled = Mixer.compiled  # type: ignore[method-assign]
        if "compiled_layer" not in vars(cls):
            cls.compiled_layer = Mixer.compiled_layer  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        super().__init__()
        self.codes = Codes()
        self.auxiliary: Tensor | None = None
        self.on_inputs: Callable[[Inputs], None] | None = None
        check_rules(self)
        self.build()

    def __getstate__(self) -> dict[str, object]:
        """Return the attributes of a copy, without the loss of a pass: its graph cannot be copied."""
        return self.__dict__ | {"auxiliary": None}

    def name(self, option: str) -> str:
        """Return the name of an option in errors."""
        return f"{type(self).__name__}.{option}"

    @abstractmethod
    def build(self) -> None:
        """Check the options and make the layers."""

    @abstractmethod
    def initial(self, x: Tensor) -> State:
        """Return the state before the first token, for the batch, type and device of x [B, T, D]."""

    @abstractmethod
    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        """Return the inputs of the recurrence for x [B, T, D], and the state after it without `memory`."""

    @abstractmethod
    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return the memory after one token and its output: the definition of the kind.

        Args:
            memory: [B, H, K, V], or as the kind says.
            inputs: the inputs that `project` returns, without the time axis.
        """

    @abstractmethod
    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return the memory after many tokens and their outputs [B, T, ..], equal to `stepwise`."""

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        """Append `recur` to a compiled step as operations of its own, and return the output; None: `recur` is traced.

        The operations write the memory in place, or other states that they make. A subclass that overrides a method of
        `recurrence`, and not this one, is traced.

        Args:
            memory, inputs: as of `recur`, traced: torch functions of them become operations, too.
        """
        return None

    def compiled_layer(self, step: Step, x: Tensor, state: State, shared: Shared) -> Tensor | None:
        """Append the whole layer to a compiled step, and return y [B, 1, D]; None: `forward` is traced.

        It is for kinds whose methods choose tokens by value, which a trace has not: `Step.route` sends them, and what
        is inside `Step.only` is computed for those that a route takes. A subclass has one of its own, or is traced.

        Args:
            x, state, shared: as of `forward`, traced.
        """
        return None

    @abstractmethod
    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        """Return y [B, T, D] from the outputs of the recurrence: normalisation, gate and output projection."""

    @leaf
    def stepwise(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Run many tokens by `recur`, one after the other."""
        outputs = []
        # Taken apart at once: the gradient of an index would be a tensor of all tokens, for each of them.
        for token in zip(*(value.unbind(1) for value in inputs.values()), strict=True):
            memory, out = self.recur(memory, dict(zip(inputs, token, strict=True)))
            if self.codes.state is not None:
                # The next token reads the state as a receiver decodes it from spikes.
                memory = self.codes.state(memory)
            outputs.append(out)
        return memory, torch.stack(outputs, 1)

    def one_by_chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return what `chunked` makes of one token, for a kind whose `recur` it defines."""
        after, out = self.chunked(memory, {name: value[:, None] for name, value in inputs.items()})
        return after, out[:, 0]

    def coded(self, inputs: Inputs) -> Inputs:
        """Return the inputs with q and k coded by `codes`."""
        coders = {"q": self.codes.q, "k": self.codes.k}
        return inputs | {name: coder(inputs[name]) for name, coder in coders.items() if coder and name in inputs}

    def both_ways(self, memory: Tensor, inputs: Inputs, prefix: Tensor, run: Run) -> tuple[Tensor, Tensor]:
        """Return what `run` does, but the second half of the heads reads the first `prefix` [B] tokens backwards.

        Behind them all heads go on token by token: what they know of the prefix is of both directions (Blouir et al.
        2024, arXiv 2411.01030).

        Raises:
            NeurosimInputError: a kind that cannot.
        """
        heads = memory.shape[1]
        if not self.reads_backwards or heads < 2:
            raise NeurosimInputError(
                f"{type(self).__name__}: cannot read a prefix backwards; give it two heads or more, use another kind, "
                "or train without training.bidirectional"
            )
        time = torch.arange(inputs["q"].shape[1], device=memory.device)
        # Token t of the prefix changes places with token prefix - 1 - t; tokens behind the prefix stay.
        order = torch.where(time < prefix[:, None], prefix[:, None] - 1 - time, time)

        def reversed_heads(value: Tensor) -> Tensor:
            first, second = value.split([heads - heads // 2, heads // 2], 2)
            index = order.view(*order.shape, *[1] * (value.dim() - 2)).expand_as(second)
            return torch.cat([first, second.gather(1, index)], 2)

        flipped = {name: reversed_heads(inputs[name]) for name in _OF_HEADS if name in inputs}
        memory, out = run(memory, inputs | flipped)
        # Reversal is its own inverse: outputs return to the places of their tokens.
        return memory, reversed_heads(out)

    @leaf
    def forward(self, x: Tensor, state: State | None = None, shared: Shared | None = None) -> tuple[Tensor, State]:
        """Return (y [B, T, D], the state after it) from x [B, T, D] and the state before it."""
        if state is None:
            state = self.initial(x)
        handed_on: Shared = {} if shared is None else shared
        inputs, after = self.project(x, state, handed_on)
        inputs = self.coded(inputs)
        if self.on_inputs is not None:
            self.on_inputs(inputs)
        # The chunked form has no state between two tokens of a chunk, which a coder of the state needs.
        if x.shape[1] == 1 or self.codes.state is not None:
            run = self.stepwise
        else:
            run = self.chunked
        prefix = handed_on.get("prefix")
        if prefix is None:
            memory, out = run(state["memory"], inputs)
        else:
            memory, out = self.both_ways(state["memory"], inputs, prefix, run)
        return self.finish(out, x, inputs), after | {"memory": memory}


class AdditiveMixer(Mixer):
    """S = e^g S + k v^T;  o = scale S^T q, g is [H] or [H, K] for each token, or absent."""

    reads_backwards = True

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # S = e^g S + k v^T
        memory = decayed(memory, inputs.get("g")) + inputs["k"][..., None] * inputs["v"][..., None, :]
        # o = scale S^T q
        return memory, read(memory, inputs["q"]) * self.scale

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return step.additive(memory, inputs, self.scale)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # o is linear in q: the scale may go onto q.
        q = inputs["q"] * self.scale
        return chunks.additive(q, inputs["k"], inputs["v"], memory, inputs.get("g"), self.chunk)


class DeltaMixer(Mixer):
    """S = e^g S;  u = beta (v - S^T k);  S += k u^T;  o = scale S^T q."""

    reads_backwards = True

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # S = e^g S;  S += k (beta (v - S^T k))^T
        memory = delta_step(memory, inputs["k"], inputs["v"], inputs["beta"], inputs.get("g"))
        # o = scale S^T q
        return memory, read(memory, inputs["q"]) * self.scale

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return step.delta(memory, inputs, self.scale)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        q = inputs["q"] * self.scale
        return chunks.delta(q, inputs["k"], inputs["v"], inputs["beta"], memory, inputs.get("g"), self.chunk)


def pieces(inputs: Inputs, sizes: Sequence[int]) -> Iterator[Inputs]:
    """Yield the inputs of so many tokens in turn, cut at once: the gradient of a slice is a tensor of all tokens."""
    cut = (value.split(list(sizes), 1) for value in inputs.values())
    for parts in zip(*cut, strict=True):
        yield dict(zip(inputs, parts, strict=True))


def decayed(memory: Tensor, g: Tensor | None) -> Tensor:
    """Return e^g S; g is [B, H], [B, H, K] or None."""
    if g is None:
        return memory
    # g [B, H, K] has a decay for each row of S, g [B, H] one for all of S.
    per_row = g.dim() == memory.dim() - 1
    log_decay = g[..., None] if per_row else g[..., None, None]
    return memory * log_decay.exp()


def read(memory: Tensor, q: Tensor) -> Tensor:
    """Return S^T q: [.., V] from S [.., K, V] and q [.., K]."""
    return (q[..., None, :] @ memory)[..., 0, :]


def delta_step(memory: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor | None) -> Tensor:
    """Return S after one step of the (gated) delta rule; beta is [.., H]."""
    memory = decayed(memory, g)
    # S^T k is the value that the state holds for k; u moves it towards v by the step beta.
    update = beta[..., None] * (v - read(memory, k))
    return memory + k[..., None] * update[..., None, :]
