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
from .compiled import Step
from .linear_system import LinearSystem
from .slices import Slices
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


@dataclass(frozen=True)
class RowUpdates:
    """Change of a state [H, K, V] by a token, by rows: entries of k choose those written, entries of q those read.

    Entries of 0 cost nothing where q and k are in spikes.

    Attributes:
        steps: steps of a token, with k, v and beta of their own [B, T, steps, ..]; the last is read.
        reads_first: by the delta rule a row is read before it is added to.
        products: products of the whole state with a vector, for every token beside its rows.
    """

    steps: int = 1
    reads_first: bool = False
    products: int = 0


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
        in_words: the recurrence, for those who read what a conversion made.
        holds_tokens: the memory is earlier tokens, or has them in it; they do not change any more, and are not coded.
        has_qk: q and k are inputs of the recurrence that can be sent as spikes.
        scale: factor of the outputs.
        auxiliary: loss of the last forward pass in training that is added to the task's, where the kind has one.
        last_rounds, residual: iterations of the last pass over many tokens, and the largest error that these left, of a
            kind that solves its recurrence by iterations; else None.
        reads_backwards: half of the heads can read a prefix from its end, see `both_ways`.
        recurrence: names of the methods that define the recurrence, see `compiled`.
        on_inputs: called with the inputs of the recurrence in every forward pass; None for nothing.

    Raises:
        NeurosimInputError: on construction, naming the option that breaks its rule.
    """

    chunk = 64
    why_not_parallel = ""
    in_words = "recurrence on floats"
    holds_tokens = False
    has_qk = False
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
        self.last_rounds: int | None = None
        self.residual: float | None = None
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

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        """Return the recurrence over the tokens of `inputs`, which `project` returned, as a linear system.

        Args:
            memory: before the tokens; the almost-linear network alone needs it, for its signs.

        Raises:
            NeurosimInputError: the kind has no state of fixed size that tokens change linearly; says why.
        """
        raise NeurosimInputError(
            f"{type(self).__name__}: its memory is no state of fixed size that tokens change linearly"
        )

    def row_updates(self) -> RowUpdates | None:
        """Return how tokens change rows of the state; None where they do not, or the work is not known."""
        return None

    @property
    def sees_everything(self) -> bool:
        """Say whether a token sees all earlier ones, also at distances that training has not shown."""
        return False

    def tokens_to_keep(self, inputs: Inputs) -> Tensor | None:
        """Return what later tokens may see of these [B, tokens, ..], where the memory is the last tokens; else None."""
        return None

    def visible_later(self, known: Tensor) -> Tensor:
        """Return the part of kept tokens [B, tokens, ..] that a later token may see."""
        return known

    def log_weights(self, x: Tensor) -> Tensor | None:
        """Return log a [B, H, T, T], the weight of token j for token i, of texts x [B, T, D]; -inf for tokens not seen.

        The texts begin with the first token. None: the outputs are no means of values with weights of at least 0.
        """
        return None

    def state_before(self, x: Tensor, shared: Shared, slices: Slices) -> State:
        """Return the state before a slice x [B, T, D] of a text, with the `memory` of a text that begins there.

        It has the position, and the tails of convolutions after the tokens before the slice.
        """
        state = self.initial(x)
        if "position" in state:
            state["position"] = state["position"] + slices.rank * x.shape[1]
        reach = max([value.shape[1] for name, value in state.items() if name.endswith("tail")], default=0)
        if not reach:
            return state
        before = slices.before(x, reach)
        scratch = dict(shared)
        if "first_values" in scratch:
            scratch["first_values"] = scratch["first_values"][:, :reach]
        _, after = self.project(before, state, scratch)
        tails = {name: value for name, value in after.items() if name.endswith("tail")}
        # 0 * value: the first slice too must use what was gathered, for the exchange of gradients.
        return state | {name: value if slices.rank else state[name] + 0 * value for name, value in tails.items()}

    def transition(self, empty: Tensor, inputs: Inputs) -> Tensor:
        """Return the effect of tokens on a memory before them, for `carried`: here a matrix [B, H, K, K].

        A memory enters linearly: the matrix is the memory after the tokens if it starts from an identity and nothing
        is written.

        Args:
            empty: a memory of zeros.
        """
        eye = torch.eye(empty.shape[-2], dtype=empty.dtype, device=empty.device).expand(*empty.shape[:-1], -1)
        # Values of 0 write nothing, and the memory starts as I: after the tokens it is the product of transitions.
        silent = inputs["v"].new_zeros(*inputs["v"].shape[:-1], empty.shape[-2])
        return self.chunked(eye, inputs | {"v": silent})[0]

    def carried(self, transition: Tensor, memory: Tensor) -> Tensor:
        """Return a memory after tokens of this `transition` that write nothing."""
        return transition @ memory

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


def pieces(inputs: Inputs, sizes: Sequence[int]) -> Iterator[Inputs]:
    """Yield the inputs of so many tokens in turn, cut at once: the gradient of a slice is a tensor of all tokens."""
    cut = (value.split(list(sizes), 1) for value in inputs.values())
    for parts in zip(*cut, strict=True):
        yield dict(zip(inputs, parts, strict=True))
