"""A language model as a compiled step: tokens in, logits out, nothing of torch and no new memory between tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast, final

import numpy as np
import torch
from numpy.typing import NDArray

from ....base.errors import NeurosimInputError, Uncopied, require
from ....kernels.decode import program
from ....kernels.tools.intrinsics import APART
from ....kernels.tools.threads import together
from ...attention.events import EventEmbedding
from ...attention.model import LanguageModel, ResidualBlock
from ..spiked_mixer import SpikedMixer
from . import leaves
from .builder import Builder
from .memory import Array, Buffer
from .nodes import StateNode
from .program import NotCompiledError
from .traced import Position, Traced

MAX_TOKENS = 16
SPINS = 20000  # reads of a barrier, about 0.1 ms, before a thread gives its core away


@final
class Decoder(Uncopied):
    """A compiled step of a language model, dense or converted, on the CPU.

    Computes what the model's `step` computes in its executed form. Weights are copied on construction: later
    changes of the model have no effect.

    Args:
        model: its linear layers may be `SpikedLinear`, simulated or executed.
        tokens: sequences that are stepped side by side, at most 16.
        threads: number of threads that share the work; it does not change the result.

    Raises:
        NotCompiledError: a part that no compiled operation computes: names it.
        NeurosimInputError: tokens or threads out of range. Copies and pickles of a decoder are refused, too.
    """

    COPY = "make another, Decoder(model, tokens), and step the same tokens"

    def __init__(self, model: LanguageModel, tokens: int = 1, threads: int = 1) -> None:
        require(1 <= tokens <= MAX_TOKENS, "Decoder.tokens", f"must be 1 to {MAX_TOKENS} side by side", tokens)
        require(threads >= 1, "Decoder.threads", "must be at least 1", threads)
        self.tokens = tokens
        self.vocabulary = model.config.vocabulary
        self._builder = builder = Builder(tokens, threads)
        events = model.config.events
        if events is None:
            self._units = None
        else:
            self._units = math.prod(events.shape)
        self._inputs: Array = (
            np.zeros(tokens, np.int64) if self._units is None else np.zeros((tokens, self._units), np.float32)
        )
        with torch.no_grad():
            logits = _compile(builder, model, self._inputs)
        self._logits: NDArray[np.float32] = logits.array[0] if logits.own else logits.array
        self._lists = [np.array(own, np.int64).reshape(-1, program.COLUMNS) for own in builder.lists]
        self._context: NDArray[np.int64] = np.zeros(program.CONTEXT, np.int64)
        self._sync: NDArray[np.int64] = np.zeros(threads * APART, np.int64)

    def step(self, tokens: Sequence[int] | NDArray[Any]) -> NDArray[np.float32]:
        """Return logits [tokens, vocabulary] after one token of each sequence; overwritten by the next step.

        Args:
            tokens: integers; or [tokens, units] numbers of events, of a model of events.

        Raises:
            NeurosimInputError: a token outside of the vocabulary, or another number of them; values that are not
                finite, or counts so large that sums could overflow.
        """
        require(len(tokens) == self.tokens, "tokens", f"must be {self.tokens}, one of each sequence", len(tokens))
        if self._units is not None:
            shape = np.shape(tokens)
            require(shape == self._inputs.shape, "tokens", f"must be [tokens, {self._units} units]", shape)
        self._inputs[:] = tokens
        if self._units is None:
            for token in self._inputs:
                require(0 <= token < self.vocabulary, "token", f"must be >= 0 and < {self.vocabulary}", int(token))
        position = int(self._context[program.POSITION])
        limit = self._builder.limit
        require(position < limit, "rope_scaling", f"its rates are known for {limit} tokens; reset", position + 1)
        for growing in self._builder.growing:
            growing.room(self._builder.states, position)
        self._sync[:] = 0
        context = self._context.ctypes.data
        sync = self._sync.ctypes.data
        threads = len(self._lists)

        def work(thread: int) -> None:
            program.run(self._lists[thread], context, thread, threads, sync, SPINS)

        together(work, threads)
        if self._context[program.PROBLEM]:
            raise NeurosimInputError(_PROBLEMS[int(self._context[program.PROBLEM])])
        self._context[program.POSITION] += 1
        return self._logits

    def reset(self) -> None:
        """Forget all tokens."""
        self._context[:] = 0
        for index, state in enumerate(self._builder.states):
            state[:] = self._builder.firsts.get(index, 0)

    @property
    def state_bytes(self) -> int:
        """Bytes of memory that are carried from token to token."""
        return sum(state.nbytes for state in self._builder.states)


_PROBLEMS = {
    program.NOT_FINITE: "activations: must be finite (got NaN or infinity); look for such weights in the model",
    program.TOO_LARGE: "activations: counts are so large that an int32 sum could overflow; use float32 weights",
}


def _compile(b: Builder, model: LanguageModel, tokens: Array) -> Buffer:
    """Append the program of a model, by running its layers on values that record; return the buffer of its logits."""
    embeddings = model.embeddings
    bounds = model.bounds()
    if isinstance(embeddings, EventEmbedding):
        first = b.embed_events(tokens, embeddings)
    else:
        first = b.embed(tokens, embeddings)
    x = Traced.of(b, first, [b.tokens, 1, model.config.width])
    shared: dict[str, Any] = {}
    for i, block in enumerate(model.layers):
        if bounds is not None:
            shared["lower_bound"] = bounds[i]
        with b.layer() as lasting:
            try:
                x = _block(cast(ResidualBlock, block), x, shared)
            except NotCompiledError as error:
                part = "." if str(error).startswith(leaves.MIXER) else ": "
                raise NotCompiledError(f"layers.{i}{part}{error}") from None
            # Later layers read x and the shared values: their buffers outlive this layer.
            lasting.append(x.node.buffer)
            lasting.extend(value.node.buffer for value in shared.values() if isinstance(value, Traced))
        model.files.release()  # the rows of the layer are copied, in the order and pages that a step reads
    logits = cast(Traced, model.lm_head(model.norm(cast(Any, x)))).token_rows
    model.files.release()
    return logits


def _block(block: ResidualBlock, x: Traced, shared: dict[str, Any]) -> Traced:
    """Append the operations of a layer, and the operations that write its state for the next token."""
    b = x.builder
    if isinstance(block.mixer, SpikedMixer):
        mixer = block.mixer.mixer
    else:
        mixer = block.mixer
    state = leaves.states_of(mixer, b)
    first = torch.zeros(b.tokens, 1, x.shape[-1])
    state["mlp_tail"] = Traced(StateNode(b, first), first.shape)
    y, after = cast(Any, block(cast(Any, x), state, shared))
    # All values are computed from the state of the token before, and then the state is written.
    y.node.append()
    changed = []
    for name, value in after.items():
        if isinstance(value, Position):
            value.check_next()
        elif isinstance(value, Traced) and value.node is not state[name].node:
            value.node.append()
            changed.append((state[name], value))
    for own, value in changed:
        b.overwrite(own.token_rows, value.token_rows)
    return cast(Traced, y)
