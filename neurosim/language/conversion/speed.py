"""Time of the compiled step of a model, in spikes and dense."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from ...base.errors import require
from ...base.heap import trim_heap
from ..attention.model import LanguageModel
from .decoder.decoder import Decoder
from .model import Converted
from .records import Speed

MAX_SECONDS = 1.0  # duration of one measurement, without its first steps
FIRST = 4  # steps that are not timed
FLOAT_BYTES = 2**28  # of the float32 weights of a converted model, up to which its dense step is timed beside it


def seconds_per_token(decoder: Decoder, tokens: Sequence[int]) -> float:
    """Return the median time of a step of one sequence over some tokens, from an empty state.

    Raises:
        NeurosimInputError: fewer than 2 tokens.
    """
    require(len(tokens) > 1, "seconds_per_token.tokens", "must be at least 2", len(tokens))
    decoder.reset()
    for token in tokens[:FIRST]:
        decoder.step([token])
    seconds: list[float] = []
    for token in tokens:
        start = time.perf_counter()
        decoder.step([token])
        seconds.append(time.perf_counter() - start)
        if sum(seconds) > MAX_SECONDS:
            break
    return statistics.median(seconds)


def compiled_step(model: LanguageModel, tokens: Sequence[int], threads: int = 1) -> tuple[float, int]:
    """Return the median time of a compiled step of a model, see `seconds_per_token`, and the bytes of its state.

    Raises:
        NotCompiledError: a part that no compiled operation computes: names it.
    """
    # What a reading of text freed makes room for the weights of the decoder.
    trim_heap()
    decoder = Decoder(model, threads=threads)
    seconds = seconds_per_token(decoder, tokens)
    state_bytes = decoder.state_bytes
    del decoder
    trim_heap()
    return seconds, state_bytes


def measure_speed(
    model: Converted | LanguageModel,
    tokens: Sequence[int],
    threads: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Speed:
    """Measure the step of a converted model, and of the dense model it holds; or of a dense model alone.

    The dense step of a converted model is left out where its float32 weights pass `FLOAT_BYTES`: they would take most
    of the memory of a conversion.

    Args:
        on_progress: called with (steps measured, 2), for a converted model.

    Raises:
        NotCompiledError: a part that no compiled operation computes: names it.
    """
    if isinstance(model, LanguageModel):
        dense_seconds, state_bytes = compiled_step(model, tokens, threads)
        return Speed(None, dense_seconds, threads, state_bytes)
    spiking, state_bytes = compiled_step(model.model, tokens, threads)
    if on_progress is not None:
        on_progress(1, 2)
    if float_bytes(model.model) > FLOAT_BYTES:
        return Speed(spiking, None, threads, state_bytes)
    with model.bypassed() as dense:
        dense_seconds, state_bytes = compiled_step(dense, tokens, threads)
    return Speed(spiking, dense_seconds, threads, state_bytes)


def float_bytes(model: LanguageModel) -> int:
    """Return the bytes of the weights of a model as float32."""
    return 4 * model.parameter_count()
