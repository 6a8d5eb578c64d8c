"""A language model as a compiled step: tokens in, logits out, nothing of torch and no new memory between tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimInputError, Uncopied, require
from ....kernels.decode import program
from ....kernels.decode.linear.vnni import BATCH
from ....kernels.tools.intrinsics import APART
from ....kernels.tools.threads import together
from ...attention.model import LanguageModel
from .embedding import stored_table
from .memory import Array, SequenceStates, Weights
from .model_program import ModelProgram, program_of
from .operations import StepBuilder
from .program import NotCompiledError

MAX_TOKENS = 16
CHUNK = 64  # tokens of a prompt: four groups of the dense product, whose sums stay in the second cache
MAX_CHUNK = 256
SPINS = 20000  # reads of a barrier, about 0.1 ms, before a thread gives its core away


@final
@dataclass(frozen=True, eq=False)
class Snapshot:
    """The memory of one sequence of a decoder: what it knows of the tokens that it has read.

    Attributes:
        position: number of tokens read.
        states: a copy of each state [..]; of a window of all tokens, the part that is in use.
    """

    position: int
    states: tuple[Array, ...]

    @property
    def nbytes(self) -> int:
        """Return the bytes of the states."""
        return sum(state.nbytes for state in self.states)


def chunk_for(prompt: int) -> int:
    """Return the tokens that `Decoder.read` should take at once where a prompt has so many."""
    return max(chunk for chunk in (1, BATCH, CHUNK) if chunk < max(prompt, 2))


@final
class Decoder(Uncopied):
    """A compiled step of a language model, dense or converted, on the CPU.

    Computes what the model's `step` computes in its executed form. Weights are copied on construction: later
    changes of the model have no effect. A large embedding in 16 bits or in blocks is read where the model has it.

    Sequences are independent: each has its own position, and what it reads gives the same bits whichever sequences are
    stepped beside it. To let one join or leave, name the sequences of a step in `step(tokens, sequences)`.

    Args:
        model: its linear layers may be `SpikedLinear`, simulated or executed.
        tokens: sequences that are stepped side by side, at most 16.
        threads: number of threads that share the work; it does not change the result.
        sizes: numbers of sequences that one step may have beside `tokens`. Each has a program of its own, which shares
            weights and states with the others.
        chunk: tokens of a prompt that `read` takes at once, at most 256; 1 for steps alone.

    Raises:
        NotCompiledError: a part that no compiled operation computes: names it.
        NeurosimInputError: no `LanguageModel`; tokens, threads or sizes out of range. Copies and pickles of a decoder
            are refused, too.
    """

    COPY = "make another, Decoder(model, tokens), and restore a snapshot of this one, or step the same tokens"

    def __init__(
        self, model: LanguageModel, tokens: int = 1, threads: int = 1, sizes: Iterable[int] = (), chunk: int = 1
    ) -> None:
        must_be = "must be a LanguageModel; of what `convert` returns, give `.model`"
        require(isinstance(model, LanguageModel), "Decoder.model", must_be, type(model).__name__)
        require(1 <= tokens <= MAX_TOKENS, "Decoder.tokens", f"must be 1 to {MAX_TOKENS} side by side", tokens)
        require(threads >= 1, "Decoder.threads", "must be at least 1", threads)
        require(1 <= chunk <= MAX_CHUNK, "Decoder.chunk", f"must be 1 to {MAX_CHUNK} tokens", chunk)
        self.tokens = tokens
        self.sizes = tuple(sorted({*sizes, tokens}))
        for size in self.sizes:
            require(1 <= size <= tokens, "Decoder.sizes", f"must be 1 to {tokens}, the sequences", size)
        self.vocabulary = model.config.vocabulary
        self._states = SequenceStates(tokens)
        weights = Weights()
        events = model.config.events
        if events is None:
            self._units = None
        else:
            self._units = math.prod(events.shape)
        self._table = stored_table(model)
        self._programs: dict[int, ModelProgram] = {}
        for size in self.sizes:
            self._programs[size] = program_of(StepBuilder(size, threads, self._states, weights), model, self._table)
        self._prompts: ModelProgram | None = None
        if chunk > 1:
            # Kinds whose recurrence takes no tokens in order read a prompt in steps.
            with suppress(NotCompiledError):
                builder = StepBuilder(chunk, threads, self._states, weights, in_order=True)
                self._prompts = program_of(builder, model, self._table)
        # Row of the states that each sequence has; a step has its sequences in the first rows.
        self._all = range(tokens)
        self._in_order = list(self._all)
        self._rows = list(self._all)
        self._context: NDArray[np.int64] = np.zeros(program.POSITIONS + tokens, np.int64)
        self._positions = self._context[program.POSITIONS :]
        self._sync: NDArray[np.int64] = np.zeros(threads * APART, np.int64)

    def __repr__(self) -> str:
        programs = ", ".join(map(str, self._programs))
        return f"Decoder({self.tokens} sequences at most, programs for {programs}, vocabulary {self.vocabulary:,})"

    def step(self, tokens: Sequence[int] | NDArray[Any], sequences: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Return logits [n, vocabulary] after one token of each of n sequences; overwritten by the next step of n.

        Args:
            tokens: integers; or [n, units] numbers of events, of a model of events.
            sequences: which of the decoder's sequences read a token, in the order of `tokens`; all by default. The
                others stay as they are. Their number must be one of `sizes`. States are copied where a sequence takes
                another place in the order than in the step before.

        Raises:
            NeurosimInputError: a token outside of the vocabulary, or another number of them; a sequence that is
                unknown or named twice; values that are not finite, or counts so large that sums could overflow: the
                decoder then has to be reset.
        """
        if sequences is None:
            sequences = self._all
        count = len(sequences)
        require(count in self._programs, "sequences", f"must be {_listed(self.sizes)} of them: Decoder.sizes", count)
        require(len(tokens) == count, "tokens", f"must be {count}, one of each sequence", len(tokens))
        step = self._programs[count]
        self._write(step, tokens)
        if sequences is not self._all or self._rows != self._in_order:
            self._arrange(sequences)
        self._run(step, self._context, int(self._positions[:count].max()))
        self._positions[:count] += 1
        return step.logits

    def read(self, tokens: Sequence[int] | NDArray[Any], sequence: int = 0) -> NDArray[np.float32]:
        """Return logits [vocabulary] after the tokens of a prompt; overwritten by the next step.

        Bits of logits and states are those of a `step` for each token. `chunk` tokens are read at once, where weights
        pass through the processor once for all of them: the kinds whose recurrence is an operation of its own, and
        softmax attention. The rest of a prompt, and all other kinds, are read in steps of one token.

        Args:
            tokens: integers [n], at least 1; or [n, units] numbers of events.
            sequence: which of the decoder's sequences reads them; 1 must be one of `sizes`.

        Raises:
            NeurosimInputError: no tokens, or what `step` refuses.
        """
        require(len(tokens) > 0, "tokens", "must be at least 1", 0)
        at = 0
        if self.chunk > 1:
            # The last token is left to `step`, for its logits.
            while len(tokens) - at > self.chunk:
                self.read_chunk(tokens[at : at + self.chunk], sequence)
                at += self.chunk
        for token in tokens[at:]:
            logits = self.step([token], [sequence])
        return logits[0]

    def read_chunk(self, tokens: Sequence[int] | NDArray[Any], sequence: int = 0) -> None:
        """Let a sequence read `chunk` tokens of a prompt at once, without logits: the bits of a `step` for each.

        Raises:
            NeurosimInputError: another number of tokens, a model that reads in steps (`chunk` is 1), or what `step`
                refuses.
        """
        prompts = self._prompts
        if prompts is None:
            raise NeurosimInputError("Decoder.chunk: is 1: tokens are read in steps; call step, or read")
        chunk = self.chunk
        require(len(tokens) == chunk, "tokens", f"must be {chunk}: Decoder.chunk", len(tokens))
        self._write(prompts, tokens)
        self._arrange([sequence])
        position = int(self._positions[0])
        context: NDArray[np.int64] = np.zeros(program.POSITIONS + chunk, np.int64)
        context[program.IN_ORDER] = 1
        context[program.POSITIONS :] = np.arange(position, position + chunk)
        self._run(prompts, context, position + chunk - 1)
        self._positions[0] += chunk

    def _write(self, step: ModelProgram, tokens: Sequence[int] | NDArray[Any]) -> None:
        """Write the inputs of a program, checked."""
        if self._units is not None:
            shape = np.shape(tokens)
            require(shape == step.inputs.shape, "tokens", f"must be [tokens, {self._units} units]", shape)
        step.inputs[:] = tokens
        if self._units is None:
            for token in step.inputs:
                require(0 <= token < self.vocabulary, "token", f"must be >= 0 and < {self.vocabulary}", int(token))
        if self._table is not None and step.rows is not None:
            self._table.look_up(step.inputs, step.rows)

    def _run(self, step: ModelProgram, context: NDArray[np.int64], position: int) -> None:
        """Run a program in a context; `position` is the largest one in it."""
        limit = step.builder.limit
        require(position < limit, "rope_scaling", f"its rates are known for {limit} tokens; reset", position + 1)
        # Room for all tokens so far is made before the step: kernels allocate nothing.
        for growing in step.builder.growing:
            growing.room(self._states, position)
        # Counters of the barrier: threads that have arrived, apart by a cache line each.
        self._sync[:] = 0
        address = context.ctypes.data
        sync = self._sync.ctypes.data
        threads = len(step.lists)

        def work(thread: int) -> None:
            program.run(step.lists[thread], address, thread, threads, sync, SPINS)

        together(work, threads)
        # Kernels cannot raise: they leave a number, and the step is not counted.
        if context[program.PROBLEM]:
            self._context[program.PROBLEM] = context[program.PROBLEM]
            raise NeurosimInputError(_PROBLEMS[int(context[program.PROBLEM])])

    def _arrange(self, sequences: Sequence[int]) -> None:
        """Bring sequences into the first rows, in their order."""
        for sequence in sequences:
            self._check(sequence)
        require(len(set(sequences)) == len(sequences), "sequences", "must be named once each", list(sequences))
        for row, sequence in enumerate(sequences):
            old = self._rows[sequence]
            if old != row:
                other = self._rows.index(row)
                self._states.swap(row, old, self._positions.tolist())
                self._positions[[row, old]] = self._positions[[old, row]]
                self._rows[sequence] = row
                self._rows[other] = old

    def _check(self, sequence: int) -> None:
        require(0 <= sequence < self.tokens, "sequence", f"must be >= 0 and < {self.tokens}", sequence)

    def reset(self, sequence: int | None = None) -> None:
        """Forget all tokens, of one sequence or of all.

        Raises:
            NeurosimInputError: an unknown sequence.
        """
        if sequence is None:
            self._context[:] = 0
            rows = self._rows
        else:
            self._check(sequence)
            rows = [self._rows[sequence]]
        for row in rows:
            self._positions[row] = 0
            self._states.clear(row)

    def snapshot(self, sequence: int = 0) -> Snapshot:
        """Return a copy of the memory of a sequence, to continue from later, in this decoder or in one like it.

        Raises:
            NeurosimInputError: an unknown sequence.
        """
        self._check(sequence)
        row = self._rows[sequence]
        position = int(self._positions[row])
        return Snapshot(position, tuple(self._states.read(row, position)))

    def restore(self, snapshot: Snapshot, sequence: int = 0) -> None:
        """Let a sequence continue where a snapshot was made, bit for bit.

        Raises:
            NeurosimInputError: an unknown sequence, or a snapshot of another model.
        """
        self._check(sequence)
        row = self._rows[sequence]
        shapes = self._states.shapes(snapshot.position)
        theirs = [state.shape for state in snapshot.states]
        require(shapes == theirs, "snapshot", f"must have states {shapes}, as the same model has", theirs)
        self._states.write(row, snapshot.states, snapshot.position)
        self._positions[row] = snapshot.position

    @property
    def chunk(self) -> int:
        """Number of tokens of a prompt that are read at once; 1 where the model reads in steps."""
        return 1 if self._prompts is None else len(self._prompts.inputs)

    @property
    def state_bytes(self) -> int:
        """Bytes of memory that are carried from token to token."""
        return sum(state.nbytes for state in self._states.arrays)


def _listed(sizes: tuple[int, ...]) -> str:
    """Return numbers as words: "1, 2 or 4"."""
    *most, last = map(str, sizes)
    return f"{', '.join(most)} or {last}" if most else last


_PROBLEMS = {
    program.NOT_FINITE: "activations: must be finite (got NaN or infinity); look for such weights in the model",
    program.TOO_LARGE: "activations: counts are so large that an int32 sum could overflow; use float32 weights",
}
