"""Continuous batching: sequences join a decoder's step as they arrive, and leave it when they end."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, final

import torch

from ...base.errors import NeurosimError
from ...language.attention.tokenizer import Tokenizer
from ...language.conversion.decoder.decoder import Decoder
from ...language.conversion.generate import Sampling, draw_token
from .limits import Limits
from .prefixes import PrefixCache
from .text_stream import TextStream

STOP = "stop"  # an end-of-text token or a stop string
LENGTH = "length"  # as many tokens as the request allows
FAILED = "failed"
LATE = "timeout"


@final
@dataclass(frozen=True)
class Job:
    """A text to write.

    Attributes:
        prompt: at least one token of the model.
        sampling: number of tokens, and how they are drawn.
        stops: strings that end the text.
    """

    prompt: tuple[int, ...]
    sampling: Sampling
    stops: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Chunk:
    """A part of a text.

    Attributes:
        text: may be empty.
        reason: why the text ends here: STOP, LENGTH, FAILED or LATE; "" where it goes on.
        written: tokens written so far; the one that ends a text counts.
        reused: tokens of the prompt that a snapshot had read.
        problem: what went wrong, of FAILED and LATE.
    """

    text: str
    reason: str = ""
    written: int = 0
    reused: int = 0
    problem: str = ""


Sink: TypeAlias = Callable[[Chunk], None]
"""Receiver of the chunks of a job, called on the thread of the batch."""


class QueueFullError(NeurosimError):
    """Error of a job for which there is no place to wait."""


@final
@dataclass(eq=False)
class _Sequence:
    """A job on its way.

    Attributes:
        job, sink, deadline: what to write, for whom, and until when (`time.monotonic`).
        stream: its text so far.
        slot: sequence of the decoder.
        at: tokens of the prompt that were read.
        written: tokens that were written.
        next_token: to be read in the next step.
        places: numbers of tokens behind which a snapshot is kept.
        reused: tokens that a snapshot had read.
        begun: its slot holds what a snapshot knew of its prompt; from then on it reads tokens.
        cancelled: nobody waits for it.
    """

    job: Job
    sink: Sink
    deadline: float
    stream: TextStream
    slot: int = -1
    at: int = 0
    written: list[int] = field(default_factory=list)
    places: frozenset[int] = frozenset()
    reused: int = 0
    begun: bool = False
    cancelled: bool = False

    @property
    def next_token(self) -> int:
        if self.at < len(self.job.prompt):
            return self.job.prompt[self.at]
        return self.written[-1]


@final
@dataclass(frozen=True)
class Load:
    """Numbers of jobs: in the batch, waiting, and ended by reason; bytes of snapshots; tokens read and reused."""

    active: int
    waiting: int
    ended: dict[str, int]
    prefix_bytes: int
    tokens: int
    reused: int


@final
class Batch:
    """Jobs written side by side by one decoder, on a thread of its own.

    Each step gives every active sequence one token: the next of its prompt, or the one drawn last. Before it, one of
    the sequences with a long prompt reads `chunk` tokens of it at once; the others of these wait, so that a text is
    held up by one chunk a step at most. A job joins as soon as a sequence of the decoder is free. Its text depends on
    the job alone: the decoder gives the bits that it gives a sequence alone, and draws are keyed by seed and position.

    Args:
        decoder: must step any number of its sequences (`sizes`).
        ends: tokens that end a text.
    """

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer, ends: frozenset[int], limits: Limits) -> None:
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._ends = ends
        self._limits = limits
        self._prefixes = PrefixCache(limits.prefix_bytes)
        self._changed = threading.Condition()
        self._waiting: deque[_Sequence] = deque()
        self._active: list[_Sequence] = []
        self._free = list(range(decoder.tokens))
        self._ended: dict[str, int] = {}
        self._tokens = 0
        self._reused = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="batch", daemon=True)
        self._thread.start()

    def submit(self, job: Job, sink: Sink) -> Callable[[], None]:
        """Queue a job; return a function that cancels it, which may be called at any time.

        Raises:
            QueueFullError: too many jobs wait.
        """
        deadline = time.monotonic() + self._limits.seconds
        sequence = _Sequence(job, sink, deadline, TextStream(self._tokenizer, job.prompt, job.stops))
        with self._changed:
            # A job for which a place is free waits only until the present step ends.
            if self._closed or len(self._waiting) >= self._limits.queue + len(self._free):
                raise QueueFullError(f"queue: {len(self._waiting)} requests wait already; try again later")
            self._waiting.append(sequence)
            self._changed.notify()

        def cancel() -> None:
            with self._changed:
                sequence.cancelled = True
                self._changed.notify()

        return cancel

    def load(self) -> Load:
        """Return how busy it is."""
        with self._changed:
            return Load(
                active=len(self._active),
                waiting=len(self._waiting),
                ended=dict(self._ended),
                prefix_bytes=self._prefixes.size,
                tokens=self._tokens,
                reused=self._reused,
            )

    def close(self) -> None:
        """End all jobs and the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._gather():
            try:
                self._step()
            except Exception as error:
                # States may be half written: every job of the step fails, and the decoder begins anew.
                for sequence in list(self._active):
                    self._leave(sequence, FAILED, problem=f"{type(error).__name__}: {error}")
                self._decoder.reset()

    def _gather(self) -> bool:
        """Wait for something to do, let jobs leave and join; return False once the batch is closed."""
        with self._changed:
            while not self._closed and not self._active and not self._waiting:
                self._changed.wait()
            now = time.monotonic()
            late = f"the time limit of {self._limits.seconds:g} s is over"
            for sequence in [*self._active, *self._waiting]:
                if self._closed:
                    self._leave(sequence, FAILED, problem="the server stops")
                elif sequence.cancelled:
                    self._leave(sequence, "cancelled")
                elif now > sequence.deadline:
                    self._leave(sequence, LATE, problem=late)
            while self._waiting and self._free:
                sequence = self._waiting.popleft()
                sequence.slot = self._free.pop()
                self._active.append(sequence)
            return not self._closed

    def _begin(self, sequence: _Sequence) -> None:
        """Set the state of a sequence to the longest beginning of its prompt that is known."""
        prompt = sequence.job.prompt
        snapshot = self._prefixes.find(prompt)
        if snapshot is not None:
            self._decoder.restore(snapshot, sequence.slot)
            sequence.at = sequence.reused = snapshot.position
        sequence.places = self._prefixes.places(prompt)
        sequence.begun = True

    def _reads_at_once(self, sequence: _Sequence) -> bool:
        """Return whether a sequence reads a chunk of its prompt, in place of a token in the next step."""
        # Chunks end where a snapshot is taken, and before the last token, whose logits are needed.
        places = [place for place in sequence.places if place > sequence.at]
        end = min([*places, len(sequence.job.prompt) - 1])
        return self._decoder.chunk > 1 and end - sequence.at >= self._decoder.chunk

    def _read_chunk(self, sequence: _Sequence) -> None:
        """Read a chunk of a prompt."""
        begin = sequence.at
        end = begin + self._decoder.chunk
        self._decoder.read_chunk(sequence.job.prompt[begin:end], sequence.slot)
        self._tokens += end - begin
        self._advance(sequence, end)

    def _advance(self, sequence: _Sequence, at: int) -> None:
        """Note that `at` tokens of a prompt are read; take a snapshot where it may be of use."""
        sequence.at = at
        if at in sequence.places:
            self._keep(sequence, sequence.job.prompt[:at])

    def _step(self) -> None:
        """Read a chunk of a long prompt, give all other sequences a token, draw the next one where a prompt is read."""
        for sequence in self._active:
            if not sequence.begun:
                self._begin(sequence)
        reading = [sequence for sequence in self._active if self._reads_at_once(sequence)]
        active = [sequence for sequence in self._active if sequence not in reading]
        if reading:
            # In the order of their arrival.
            self._read_chunk(min(reading, key=lambda sequence: sequence.deadline))
        if not active:
            return
        logits = self._decoder.step([each.next_token for each in active], [each.slot for each in active])
        for sequence, own in zip(active, torch.from_numpy(logits), strict=True):
            self._tokens += 1
            if sequence.at < len(sequence.job.prompt):
                self._advance(sequence, sequence.at + 1)
            if sequence.at == len(sequence.job.prompt):
                try:
                    self._draw(sequence, own)
                except NeurosimError as error:  # its logits are not finite: the others go on
                    self._leave(sequence, FAILED, problem=str(error))

    def _keep(self, sequence: _Sequence, tokens: Sequence[int]) -> None:
        """Keep a snapshot of a sequence that has read `tokens`."""
        if self._prefixes.takes(tokens):
            self._prefixes.add(tokens, self._decoder.snapshot(sequence.slot))

    def _draw(self, sequence: _Sequence, logits: torch.Tensor) -> None:
        """Draw a token, and write what it adds to the text."""
        sampling = sequence.job.sampling
        token = draw_token(logits, sampling, len(sequence.written))
        sequence.written.append(token)
        stream = sequence.stream
        if token in self._ends:
            self._leave(sequence, STOP, stream.end())
            return
        text = stream.add(token)
        if stream.stopped:
            self._leave(sequence, STOP, text)
        elif len(sequence.written) == sampling.tokens:
            text += stream.end()
            self._leave(sequence, STOP if stream.stopped else LENGTH, text)
        elif text:
            sequence.sink(Chunk(text, written=len(sequence.written)))

    def _leave(self, sequence: _Sequence, reason: str, text: str = "", problem: str = "") -> None:
        """End a job: its place is free for another one."""
        with self._changed:
            if sequence.slot < 0:
                self._waiting.remove(sequence)
            else:
                # The last one takes its row, so that the decoder moves one state and not all that follow.
                place = self._active.index(sequence)
                self._active[place] = self._active[-1]
                self._active.pop()
                self._free.append(sequence.slot)
            self._ended[reason] = self._ended.get(reason, 0) + 1
            self._reused += sequence.reused
        if reason in (STOP, LENGTH):
            # What was read: all but the last token. The next message of a conversation begins with it.
            self._keep(sequence, [*sequence.job.prompt, *sequence.written[:-1]])
        if sequence.slot >= 0:
            # Free slots are empty: the next job begins there, and where rows change places little is copied.
            self._decoder.reset(sequence.slot)
        sequence.sink(
            Chunk(text=text, reason=reason, written=len(sequence.written), reused=sequence.reused, problem=problem)
        )
