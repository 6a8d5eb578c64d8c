"""The operations of a compiled step, as a kind sees them that says its own: `Step`, which `conversion.decoder` is.

A compiled step of a model is traced: the methods of each kind run once, with values that record what is done to them.
Most recurrences become slow that way, since each torch function is an operation, with a pass over the state. A kind
whose recurrence is one operation of `kernels.decode` appends it in `Mixer.compiled`, and a function marked by `leaf` in
what `compiles` decorates. Both get a `Step`, and values that take torch functions, as tensors do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ....kernels.decode.program import Operation


@dataclass(frozen=True)
class Heads:
    """Threads share `count` heads, the first axis behind the sequences of what they read and write."""

    count: int


@dataclass(frozen=True)
class Channels:
    """Threads share `count` channels, the numbers of a token, in blocks of a vector."""

    count: int


@dataclass(frozen=True)
class Groups:
    """Threads share groups of `size` numbers, of all tokens."""

    size: int


@dataclass(frozen=True)
class EachToken:
    """Threads share the tokens, each with all its numbers."""


@dataclass(frozen=True)
class Cache:
    """Keys and values that a layer stores.

    Attributes:
        kv_heads, groups: heads of keys and values, and heads of queries that share each.
        keys, values: channels of a key and of a value.
        tokens: number of tokens attended to, the present one among them; 0 for all.
        interval: tokens of which the last one is stored.
        restarts: a full memory begins anew, instead of dropping the oldest token.
        rows: keys of a token.
        more: numbers that are stored of a token beside its keys and values.
        scale: factor of the scores; None for 1 / sqrt(keys).
        squared: weights are squares of the scores above 0, in place of their softmax.
        cap: c > 0: scores s are c tanh(s / c); None leaves them.
    """

    kv_heads: int
    groups: int
    keys: int
    values: int
    tokens: int
    interval: int = 1
    restarts: bool = False
    rows: int = 1
    more: int = 0
    scale: float | None = None
    squared: bool = False
    cap: float | None = None


@dataclass(frozen=True)
class Learnt:
    """Keys and values of a model, which every token sees beside those that are stored.

    Attributes:
        rows: [n, H, K + V], of each head of queries, the same for all sequences.
        q: [B, H, K], the queries without positions, which these keys have none of.
    """

    rows: Tensor
    q: Tensor


@dataclass(frozen=True)
class Routing:
    """Rule by which a router picks some of n memories or experts for a token, by its scores.

    Attributes:
        picked: how many. Their weights are softmax(scores).
        sum_to_one: the weights of those picked sum to 1; by default all do.
        fewer: how many of those picked, the first by score, count as `Routed.among`.
        all_take_one_more: one more, behind the n, takes every token.
        sigmoid: weights are sigmoids, as they are.
        bias: [n], added to the weights for the choice alone.
        groups, top_groups: the n are in so many groups, and those picked are in the best groups.
        scale: factor of the weights.
    """

    picked: int
    sum_to_one: bool = False
    fewer: int | None = None
    all_take_one_more: bool = False
    sigmoid: bool = False
    bias: Tensor | None = None
    groups: int = 1
    top_groups: int = 1
    scale: float = 1.0


@dataclass(frozen=True)
class Routed:
    """One of several memories or experts, and the tokens that a router sends to it.

    Attributes:
        weight: [B, 1], of each token; 1 for the one that all take.
        among: [B, 1], 1 where it is among the `Routing.fewer`, else 0; None without them.
        tokens: those that it takes, for `Step.only`.
    """

    weight: Tensor
    among: Tensor | None
    tokens: object


class Step(ABC):
    """Appends operations to the compiled step of a model, for one token of each of B sequences.

    Values are [B, ..], and states too, which stay from token to token. The decoder that the step belongs to deals an
    operation to its threads, and lets them wait for each other where one reads what another has written.
    """

    @abstractmethod
    def append(
        self,
        operation: Operation,
        over: Heads | Channels | Groups | EachToken,
        reads: Mapping[str, Tensor],
        writes: Mapping[str, Tensor],
        *,
        whole: Mapping[str, Tensor] | None = None,
        cache: Cache | None = None,
        **operands: object,
    ) -> None:
        """Append an operation of `kernels.decode`, or of your own (`kernels.decode.program.operation`).

        Args:
            over: what threads share.
            reads: values by operand, of which a thread reads its part. Heads that repeat (`repeat_heads`) are read
                once where the operation has an operand NAME_group, the number of heads that share each.
            writes: values and states by operand, of which a thread writes, and may read, its part.
            whole: values by operand, of which every thread reads all.
            cache: keys and values that the operation stores: it gets the operands of `attention.windows.CACHE`.
            operands: all others: numbers, tensors of the model, `scratch`, and None for 0. `tokens` and `mask` are
                added where the operation has them.

        Raises:
            TypeError: an operand is missing, or the operation has none of this name.
        """

    @abstractmethod
    def value(self, *shape: int) -> Tensor:
        """Return an empty value [B, *shape], for an operation to write."""

    @abstractmethod
    def state(self, *shape: int, first: Tensor | None = None) -> Tensor:
        """Return a state [B, *shape]: 0 before the first token of a sequence, or `first` [*shape]."""

    @abstractmethod
    def first(self, state: Tensor) -> Tensor:
        """Return the numbers of a state before the first token, as `Mixer.initial` makes them."""

    @abstractmethod
    def evaluate(self, *values: Tensor) -> None:
        """Append what computes these values: by default that waits until an operation reads them.

        A value that is first read inside `only` is computed for its tokens alone.
        """

    @abstractmethod
    def code_state(self, memory: Tensor, coder: nn.Module | None) -> None:
        """Leave a state [.., V] as a coder of `Codes` decodes it, or as it is without one.

        Raises:
            NotCompiledError: no operation has written it, as that of kinds that store keys and values.
        """

    @abstractmethod
    def route(self, scores: Tensor, choice: Routing) -> list[Routed]:
        """Send each token to some of n memories or experts by its scores [B, 1, n]; return the routes of all."""

    @abstractmethod
    def only(self, route: Routed) -> AbstractContextManager[None]:
        """Leave all tokens out that a route does not take: their states do not change, their values are not defined."""

    @abstractmethod
    def add(self, total: Tensor | None, out: Tensor, weight: Tensor | None = None) -> Tensor:
        """Add an output, times [B, 1] if given, to a sum for the tokens of `only`; return the sum.

        Args:
            total: the sum, [B, ..] as `out`; None to begin one, which is 0 for tokens that are left out.
        """

    @abstractmethod
    def require_own(self, position: Tensor) -> None:
        """Raise `NotCompiledError` for a position that is not the tokens' own, the part `position` of the state."""

    @abstractmethod
    def scratch(self, size: int, dtype: Any = "float32") -> object:
        """Return `size` numbers of each thread, which no other operation of the layer uses."""

    @abstractmethod
    def memory(self, cache: Cache) -> Tensor:
        """Return the state that a cache of a fixed number of tokens stores keys and values in."""

    @abstractmethod
    def attend(
        self,
        cache: Cache,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        memory: Tensor | None = None,
        learnt: Learnt | None = None,
        mass: Tensor | None = None,
        bias: Tensor | None = None,
        by_distance: bool = False,
    ) -> Tensor:
        """Store k and v, and return softmax attention [B, H, V] of q [B, H, K] over what is stored.

        Inside `only` a token that is left out stores nothing.

        Args:
            k, v: [B, kv_heads, K or V], or with `cache.rows` one behind the other in a row of the token.
            memory: `memory(cache)`; by default a new one.
            mass: [B, H], filled with the logarithm of the sum of all weights.
            bias: [tokens], added to the scores of keys by their age in stored tokens, or with `by_distance` [distances]
                by how far they lie in the text.
        """

    @abstractmethod
    def additive(self, memory: Tensor, inputs: Mapping[str, Tensor], scale: float) -> Tensor:
        """Append S = e^g S + k v^T; return o = scale S^T q [B, H, V].

        Args:
            memory: S [B, H, K, V].
            inputs: q, k [B, H, K], v [B, H, V] and g [B, H], [B, H, K] or absent.
        """

    @abstractmethod
    def delta(self, memory: Tensor, inputs: Mapping[str, Tensor], scale: float, steps: int | None = None) -> Tensor:
        """Append S = e^g S, S += k (beta (v - S^T k))^T; return o = scale S^T q [B, H, V].

        Args:
            inputs: as of `additive`, and beta [B, H].
            steps: n: k, v and beta are [B, n, H, ..], for n changes one after the other.
        """

    @abstractmethod
    def rank_one(self, memory: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """Append S = e^g S + b (S^T a)^T + k v^T with S^T a before the decay; return o = S^T q [B, H, V].

        Args:
            inputs: as of `additive`, with g, and a and b [B, H, K].
        """

    @abstractmethod
    def bonus(self, memory: Tensor, inputs: Mapping[str, Tensor], u: Tensor | None = None) -> Tensor:
        """Return o = S^T q + (q . u k) v with S before the token; append S = e^g S + k v^T.

        Args:
            inputs: as of `additive`, with g.
            u: [H, K]; None for 0.
        """
