"""Appends the operations of kinds to a compiled step: `StepBuilder` is the `Step` of `kinds.compiled`.

A kind says in its own file which operations its recurrence is; here are those that several kinds share, and the way in
which any operation gets its operands, its parts for the threads, and its reads and writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast, final

import numpy as np
import torch
from torch import Tensor, nn

from ....kernels.decode.matrix_states import cpu as states
from ....kernels.decode.program import Operation
from ....kernels.decode.vectors import pointwise as pointwise_kernels
from ...attention.kinds.compiled import Cache, Channels, EachToken, Groups, Heads, Learnt, Routed, Routing, Step
from . import cached, encoding
from .memory import WHOLE, Array, Buffer, Share, Touch, reads, writes
from .nodes import StateNode, grouped
from .program import DecoderProgram, NotCompiledError
from .routes import Taken, routes
from .traced import Position, Traced

Value = Traced | Tensor
Over = Heads | Channels | Groups | EachToken


@final
class StepBuilder(DecoderProgram, Step):
    """A program that kinds can append operations to.

    The methods of `Step` take and return `Traced`; kinds are written for tensors, whose place these take.
    """

    def append(
        self,
        operation: Operation,
        over: Over,
        reads: Mapping[str, Tensor],
        writes: Mapping[str, Tensor],
        *,
        whole: Mapping[str, Tensor] | None = None,
        cache: Cache | None = None,
        **operands: object,
    ) -> None:
        declared = operation.operands.places
        written = {name: traced(value).node.buffer for name, value in writes.items()}
        # Writes first: the buffer that is written decides how the work is dealt to threads, and what each then reads.
        places, share = self._dealt(over, written)
        touches = [Touch(buffer, share, is_write=True) for buffer in written.values()]
        bound: dict[str, Any] = dict(written)
        for values, part in ((reads, share), (whole or {}, WHOLE)):
            for name, value in values.items():
                bound[name], group = self._rows(value, may_repeat=f"{name}_group" in declared)
                if f"{name}_group" in declared:
                    bound[f"{name}_group"] = group
                if isinstance(bound[name], Buffer):
                    touches.append(self._read(bound[name], part, places, group))
        for name, operand in operands.items():
            bound[name] = self.constant(operand) if isinstance(operand, Tensor) else operand
        if cache is not None:
            memory = cached.memory_of(self, cache)
            touches.append(Touch(memory, share, is_write=True))
            # An operand that the caller named wins over that of the cache.
            known = cached.operands_of(self, cache, memory) | {"weights": self.scratch(cached.capacity_of(cache))}
            bound = {name: known[name] for name in known.keys() & declared.keys()} | bound
        if "tokens" in declared:
            bound["tokens"] = self.tokens
        if "mask" in declared:
            bound["mask"] = self.mask
        tables = self.emit(operation(**bound), places, self.masked(touches))
        if cache is not None:
            cached.let_grow(self, cache, operation, tables)

    def _dealt(self, over: Over, written: Mapping[str, Buffer]) -> tuple[Sequence[int] | int, Share]:
        """Return where threads begin, and the share of each."""
        if isinstance(over, Heads):
            return self.by_heads(over.count)
        if isinstance(over, Channels):
            return self.by_width(over.count, self.tokens)
        some = next(iter(written.values()))
        if isinstance(over, Groups):
            return self.by_groups(some, over.size)
        return self.by_rows(some)

    def _rows(self, x: Value, *, may_repeat: bool) -> tuple[Buffer | Array, int]:
        """Return a value as an operation takes it, and the heads of the state that share each of its heads."""
        # The same for all tokens: its numbers lie in the program once.
        if isinstance(x, Tensor):
            return self.constant(x.expand(self.tokens, *x.shape[1:])), 1
        if may_repeat and x.ndim > 2:
            # A repeated head is read once for its group, without a copy.
            node, group = grouped(x.node, x.shape[-1])
            return node.rows(node.size), group
        return x.token_rows, 1

    def _read(self, x: Buffer, share: Share, places: Sequence[int] | int, group: int) -> Touch:
        """Return a read of a value, whose heads serve groups of the heads that `share` divides."""
        if isinstance(places, int) or share == WHOLE:
            return reads(x, share)
        return self.head_read(x, share, places, group)

    def value(self, *shape: int) -> Tensor:
        return _as_tensor(Traced.of(self, self.buffer(int(np.prod(shape))), [self.tokens, *shape]))

    def state(self, *shape: int, first: Tensor | None = None) -> Tensor:
        buffer = self.state_buffer(*shape, first=None if first is None else self.constant(first))
        return _as_tensor(Traced.of(self, buffer, [self.tokens, *shape]))

    def first(self, state: Tensor) -> Tensor:
        return cast(StateNode, traced(state).node).first[0]

    def evaluate(self, *values: Tensor) -> None:
        for value in values:
            traced(value).node.append()

    def code_state(self, memory: Tensor, coder: nn.Module | None) -> None:
        if coder is None:
            return
        node = traced(memory).node
        if node.waits:
            raise NotCompiledError("codes.state: no operation writes the state")
        encoding.code_state(self, node.buffer, coder, memory.shape[-1])

    def route(self, scores: Tensor, choice: Routing) -> list[Routed]:
        return routes(self, traced(scores).token_rows, choice)

    @contextmanager
    def only(self, route: Routed) -> Iterator[None]:
        taken = cast(Taken, route.tokens)
        self.mask = taken.mask
        self.routed = taken.routed
        yield
        self.mask = self.routed = None

    def add(self, total: Tensor | None, out: Tensor, weight: Tensor | None = None) -> Tensor:
        rows = traced(out).token_rows
        factors: Array | Buffer
        if weight is None:
            factors = self.constant(torch.ones(self.tokens))
        else:
            factors = traced(weight).node.buffer
        begins = total is None
        if total is None:
            summed = self.buffer(rows.width)
        else:
            summed = traced(total).node.buffer
        places, share = self.by_columns(summed)
        sizes = {"width": rows.width, "tokens": self.tokens}
        # The first operation sets the sum of all tokens, to 0 where its mask leaves them out.
        bound = pointwise_kernels.accumulate(x=rows, **sizes, factors=factors, sets=begins, out=summed, mask=self.mask)
        self.emit(bound, places, self.masked([reads(rows, share), writes(summed, share)]))
        return _as_tensor(Traced.of(self, summed, out.shape))

    def require_own(self, position: Tensor) -> None:
        if not isinstance(position, Position) or position.ahead != 0:
            raise NotCompiledError("positions: compiled for the tokens' own, state['position']")

    def memory(self, cache: Cache) -> Tensor:
        memory = cached.memory_of(self, cache)
        return _as_tensor(Traced.of(self, memory, [self.tokens, memory.width]))

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
        written = {} if mass is None else {"mass": traced(mass).node.buffer}
        if self.mask is not None:
            # Not every token is stored: how many of each sequence are. Threads share the heads, so each counts alone.
            written["counts"] = self.state_buffer(cache.kv_heads)
        if by_distance:
            written["positions"] = self.state_buffer(cache.kv_heads, cached.capacity_of(cache))
        stored = cached.memory_of(self, cache) if memory is None else traced(memory).node.buffer
        out = cached.attend(
            self,
            cache,
            stored,
            *(traced(x).token_rows for x in (q, k, v)),
            plain=None if learnt is None else traced(learnt.q).token_rows,
            learnt=None if learnt is None else self.constant(learnt.rows),
            bias=None if bias is None else self.constant(bias),
            written=written,
        )
        return _as_tensor(Traced.of(self, out, [self.tokens, cache.kv_heads * cache.groups, cache.values]))

    def additive(self, memory: Tensor, inputs: Mapping[str, Tensor], scale: float) -> Tensor:
        _, heads, keys, values = memory.shape
        out = self.value(heads, values)
        rows = {name: _expanded(inputs[name], heads, size) for name, size in (("q", keys), ("k", keys), ("v", values))}
        decay, rows_of_g = _decays(memory, inputs.get("g"))
        # Without a decay there are no heads of it that could repeat.
        group: dict[str, Any] = {} if rows_of_g else {"g_group": 1}
        self.append(
            states.additive,
            Heads(heads),
            rows_of_g | rows,
            {"state": memory, "out": out},
            **_sizes(memory),
            **group,
            decay=decay,
            scale=scale,
            keep=self.scratch(keys),
        )
        return out

    def delta(self, memory: Tensor, inputs: Mapping[str, Tensor], scale: float, steps: int | None = None) -> Tensor:
        _, heads, keys, values = memory.shape
        out = self.value(heads, values)
        several = () if steps is None else (steps,)
        changes = {
            "k": _expanded(inputs["k"], *several, heads, keys),
            "v": _expanded(inputs["v"], *several, heads, values),
            "beta": _expanded(inputs["beta"], *several, heads),
        }
        decay, rows_of_g = _decays(memory, inputs.get("g"))
        # Without a decay there are no heads of it that could repeat.
        group: dict[str, Any] = {} if rows_of_g else {"g_group": 1}
        rows = rows_of_g | {"q": _expanded(inputs["q"], heads, keys)}
        # The heads of several steps do not lie side by side: every thread reads all of them.
        one = steps in (None, 1)
        self.append(
            states.delta,
            Heads(heads),
            rows | changes if one else rows,
            {"state": memory, "out": out},
            whole=None if one else changes,
            **_sizes(memory),
            **group,
            steps=steps or 1,
            decay=decay,
            scale=scale,
            keep=self.scratch(keys),
            change=self.scratch(values),
        )
        return out

    def rank_one(self, memory: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        _, heads, keys, values = memory.shape
        out = self.value(heads, values)
        decay, rows_of_g = _decays(memory, inputs["g"])
        sizes = {"q": keys, "k": keys, "v": values, "a": keys, "b": keys}
        rows = {name: _expanded(inputs[name], heads, size) for name, size in sizes.items()}
        turn = {name: rows.pop(name) for name in "ab"}
        self.append(
            states.rank_one,
            Heads(heads),
            rows | rows_of_g | turn,
            {"state": memory, "out": out},
            **_sizes(memory),
            decay=decay,
            keep=self.scratch(keys),
            change=self.scratch(values),
        )
        return out

    def bonus(self, memory: Tensor, inputs: Mapping[str, Tensor], u: Tensor | None = None) -> Tensor:
        _, heads, keys, values = memory.shape
        out = self.value(heads, values)
        decay, rows_of_g = _decays(memory, inputs["g"])
        rows = {name: _expanded(inputs[name], heads, size) for name, size in (("q", keys), ("k", keys), ("v", values))}
        operands: dict[str, Any] = {}
        # Constant decays of a model have one row for all tokens.
        by_token = isinstance(inputs["g"], Traced)
        if by_token:
            rows |= rows_of_g
        else:
            operands["g"] = rows_of_g["g"][0]
        self.append(
            states.bonus,
            Heads(heads),
            rows,
            {"state": memory, "out": out},
            **_sizes(memory),
            **operands,
            g_rows=by_token,
            u=u,
            decay=decay,
            keep=self.scratch(keys),
        )
        return out


def traced(value: Tensor) -> Traced:
    """Return a value as what it is.

    Raises:
        NotCompiledError: a tensor that is the same for all tokens, where an operation needs values of each.
    """
    if not isinstance(value, Traced):
        raise NotCompiledError("a tensor that does not depend on tokens: no compiled operation takes it here")
    return value


def _as_tensor(value: Traced) -> Tensor:
    return cast(Tensor, value)


def _expanded(x: Tensor, *shape: int) -> Tensor:
    """Return x [B, ..], or [1, ..], with axes of length 1 repeated to [.., *shape]."""
    return x.expand(x.shape[0], *shape)


def _sizes(memory: Tensor) -> dict[str, Any]:
    """Return the sizes of `kernels.decode.matrix_states.cpu.STATE` of a memory [B, H, K, V]."""
    _, heads, keys, values = memory.shape
    return {"heads": heads, "keys": keys, "values": values}


def _decays(memory: Tensor, g: Tensor | None) -> tuple[int, dict[str, Tensor]]:
    """Return the kind of decay, and log decays as they are read."""
    _, heads, keys, _ = memory.shape
    if g is None:
        return states.NO_DECAY, {}
    if g.dim() == memory.dim() - 1:
        return states.KEY_DECAY, {"g": _expanded(g, heads, keys)}
    return states.HEAD_DECAY, {"g": _expanded(g, heads)}
