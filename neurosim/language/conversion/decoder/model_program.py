"""The program of a language model for so many sequences: its layers run once, with values that record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast, final

import numpy as np
import torch
from numpy.typing import NDArray

from ....kernels.decode import program
from ...attention.events import EventEmbedding
from ...attention.model import LanguageModel, ResidualBlock
from ..spiked_mixer import SpikedMixer
from . import leaves
from .embedding import StoredTable
from .inputs import embed, embed_events
from .memory import Array, Buffer
from .nodes import StateNode
from .operations import StepBuilder
from .pointwise import overwrite
from .program import NotCompiledError
from .traced import Position, Traced


@final
@dataclass(frozen=True, eq=False)
class ModelProgram:
    """A compiled step of so many sequences.

    Attributes:
        builder: owner of its memory.
        inputs: [sequences] tokens, or [sequences, units] numbers of events.
        rows: [sequences, width] of the embedding, where it is not widened; else None.
        logits: [sequences, vocabulary].
        lists: operations of each thread.
    """

    builder: StepBuilder
    inputs: Array
    rows: Array | None
    logits: NDArray[np.float32]
    lists: list[NDArray[np.int64]]


def program_of(builder: StepBuilder, model: LanguageModel, table: StoredTable | None) -> ModelProgram:
    """Return the program of a model for the tokens of a builder.

    Args:
        table: the embedding, where its rows are read as the model has them.

    Raises:
        NotCompiledError: a part that no compiled operation computes, by its name.
    """
    events = model.config.events
    # The program reads its inputs at this address: `Decoder.step` writes them here.
    if events is None:
        inputs: Array = np.zeros(builder.tokens, np.int64)
    else:
        inputs = np.zeros((builder.tokens, math.prod(events.shape)), np.float32)
    rows = None if table is None else np.zeros((builder.tokens, table.width), np.float32)
    with torch.no_grad():
        logits = _compile(builder, model, inputs, rows)
    # Where every thread has its own copy of the logits, all are equal.
    out = logits.array[0] if logits.own else logits.array
    lists = [np.array(entries, np.int64).reshape(-1, program.COLUMNS) for entries in builder.lists]
    return ModelProgram(builder=builder, inputs=inputs, rows=rows, logits=out, lists=lists)


def _compile(b: StepBuilder, model: LanguageModel, tokens: Array, rows: Array | None) -> Buffer:
    """Append the program of a model, by running its layers on values that record; return the buffer of its logits.

    Args:
        tokens, rows: inputs of the program, see `ModelProgram`.
    """
    embeddings = model.embeddings
    bounds = model.bounds()
    if isinstance(embeddings, EventEmbedding):
        first = embed_events(b, tokens, embeddings)
    elif rows is not None:
        first = Buffer(rows, *rows.shape)
    else:
        first = embed(b, tokens, embeddings)
    x = Traced.of(b, first, [b.tokens, 1, model.config.width])
    if model.config.embedding_scale != 1.0:
        x = cast(Any, x) * model.config.embedding_scale
    shared: dict[str, Any] = {}
    for i, block in enumerate(model.layers):
        if bounds is not None:
            shared["lower_bound"] = bounds[i]
        with b.layer() as lasting:
            try:
                x = _block(cast(ResidualBlock, block), x, shared)
            except NotCompiledError as error:
                # "layers.3.mixer: .." names the mixer, "layers.3: .." the block around it.
                part = "." if str(error).startswith(leaves.MIXER) else ": "
                raise NotCompiledError(f"layers.{i}{part}{error}") from None
            # Later layers read x and the shared values: their buffers outlive this layer.
            lasting.append(x.node.buffer)
            lasting.extend(value.node.buffer for value in shared.values() if isinstance(value, Traced))
        model.files.release()  # the rows of the layer are copied, in the order and pages that a step reads
    if b.in_order:
        # Of a prompt only the states are needed: its last token is a step of its own.
        return x.token_rows
    logits = cast(Traced, model.config.logits(model.lm_head(model.norm(cast(Any, x))))).token_rows
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
    # `states_of` knows the mixer alone; the feed-forward layer of RWKV also reads the token before.
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
    for part, value in changed:
        overwrite(b, part.token_rows, value.token_rows)
    return cast(Traced, y)
