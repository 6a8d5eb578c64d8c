"""A language model as a compiled step: tokens in, logits out, nothing of torch and no new memory between tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, final

import numpy as np
import torch
from numpy.typing import NDArray

from ...attention import LanguageModel, Mixer
from ...attention.events import EventEmbedding
from ...attention.experts import Experts
from ...attention.kinds.bmojo import BMojo
from ...attention.kinds.comba import Comba
from ...attention.kinds.delta import KDA, DeltaNet, DeltaProduct, GatedDeltaNet
from ...attention.kinds.gam import GatedAssociativeMemory
from ...attention.kinds.gated_attention import TCNCA, SeqBoat
from ...attention.kinds.hax import HAX
from ...attention.kinds.hgrn import HGRN, HGRN2
from ...attention.kinds.hippo import HippoSSM
from ...attention.kinds.lightnet import LightNet
from ...attention.kinds.linear import GLA, LinearAttention, Retention, SimpleGLA
from ...attention.kinds.local_linear import LocalLinearAttention
from ...attention.kinds.mamba import Mamba, Mamba2
from ...attention.kinds.mixture_of_memories import MoM
from ...attention.kinds.neural_memory import Memora, Moneta, Titans, Yaad
from ...attention.kinds.parallel_rnn import ParaGRU, ParaLSTM
from ...attention.kinds.plstm import PLSTM
from ...attention.kinds.rwkv import RWKV7, ChannelMix, GatedChannelMix
from ...attention.kinds.rwkv6 import RWKV5, RWKV6
from ...attention.kinds.scout import CheckpointAttention
from ...attention.kinds.sea import SEA
from ...attention.kinds.slots import GatedSlotAttention
from ...attention.kinds.softmax import LatentAttention, SoftmaxAttention, WindowAttention
from ...attention.kinds.sparse_expansion import SSE, SSEDelta
from ...attention.kinds.state_space import AlmostLinearRNN, DiagonalSSM
from ...attention.kinds.titans import TitansContext, TitansGate
from ...attention.kinds.window_linear import WindowLinearAttention
from ...attention.model import GatedMLP, ResidualBlock
from ...errors import NeurosimInputError, Uncopied, require
from ...kernels.decode import program
from ...kernels.tools.intrinsics import APART
from ...kernels.tools.threads import together
from . import additive, attention, chosen, delta, feed_forward, networks, others, rwkv
from .builder import Builder
from .memory import Array, Buffer
from .program import NotCompiledError

MAX_TOKENS = 16
SPINS = 20000  # reads of a barrier, about 0.1 ms, before a thread gives its core away

# By the class of a mixer: its program, which returns the residual stream behind it.
KINDS: Mapping[type[Mixer], Callable[[Builder, Any, Buffer, Buffer], Buffer]] = {
    AlmostLinearRNN: others.almost_linear,
    BMojo: chosen.bmojo,
    CheckpointAttention: attention.softmax,
    Comba: delta.comba,
    DeltaNet: delta.delta_net,
    DeltaProduct: delta.delta_product,
    DiagonalSSM: others.diagonal,
    GatedAssociativeMemory: others.associative_memory,
    GatedDeltaNet: delta.gated_delta_net,
    GLA: additive.gla,
    GatedSlotAttention: additive.gated_slots,
    HAX: chosen.hax,
    HGRN: additive.hgrn,
    HGRN2: additive.hgrn2,
    HippoSSM: others.hippo,
    KDA: delta.kda,
    LatentAttention: attention.latent,
    LinearAttention: additive.linear_attention,
    LightNet: others.lightnet,
    LocalLinearAttention: attention.local_linear,
    Mamba: others.mamba,
    Mamba2: others.mamba2,
    Memora: networks.neural_memory,
    MoM: others.mom,
    Moneta: networks.neural_memory,
    ParaGRU: others.gated_units,
    ParaLSTM: others.gated_units,
    PLSTM: others.plstm,
    Retention: additive.retention,
    RWKV5: rwkv.rwkv5,
    RWKV6: rwkv.rwkv5,
    RWKV7: rwkv.rwkv7,
    SEA: chosen.sea,
    SeqBoat: attention.seqboat,
    SimpleGLA: additive.simple_gla,
    SSE: others.sse,
    SSEDelta: others.sse_delta,
    SoftmaxAttention: attention.softmax,
    TCNCA: attention.tcnca,
    Titans: networks.neural_memory,
    TitansContext: networks.titans_context,
    TitansGate: networks.titans_gate,
    WindowAttention: attention.softmax,
    WindowLinearAttention: attention.window_linear,
    Yaad: networks.neural_memory,
}


@final
class Decoder(Uncopied):
    """A compiled step of a language model, dense or converted, on the CPU.

    Computes what the model's `step` computes in its executed form. Weights are copied now: later changes of the model
    are not seen.

    Args:
        model: its linear layers may be `SpikedLinear`, simulated or executed.
        tokens: sequences that are stepped side by side, at most 16.
        threads: that share the work; they do not change the result.

    Raises:
        NotCompiledError: a part that no compiled operation computes: names it.
        NeurosimInputError: tokens or threads out of range. Copies and pickles of a decoder are refused, too.
    """

    COPY = "make another, Decoder(model, tokens), and step the same tokens"

    def __init__(self, model: LanguageModel, tokens: int = 1, threads: int = 1) -> None:
        require(1 <= tokens <= MAX_TOKENS, "Decoder.tokens", f"must be 1 to {MAX_TOKENS} side by side", tokens)
        require(threads >= 1, "Decoder.threads", "must be at least 1", threads)
        self.tokens, self.vocabulary = tokens, model.config.vocabulary
        self._builder = builder = Builder(tokens, threads)
        events = model.config.events
        self._units = None if events is None else math.prod(events.shape)
        self._given: Array = (
            np.zeros(tokens, np.int64) if self._units is None else np.zeros((tokens, self._units), np.float32)
        )
        with torch.no_grad():
            logits = _compile(builder, model, self._given)
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
            require(shape == self._given.shape, "tokens", f"must be [tokens, {self._units} units]", shape)
        self._given[:] = tokens
        if self._units is None:
            for token in self._given:
                require(0 <= token < self.vocabulary, "token", f"must be >= 0 and < {self.vocabulary}", int(token))
        position = int(self._context[program.POSITION])
        limit = self._builder.limit
        require(position < limit, "rope_scaling", f"its rates are known for {limit} tokens; reset", position + 1)
        for growing in self._builder.growing:
            growing.room(self._builder.states, position)
        self._sync[:] = 0
        context, sync = self._context.ctypes.data, self._sync.ctypes.data
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
    """Append the program of a model; return the buffer of its logits."""
    embeddings, bounds = model.embeddings, model.bounds()
    x = b.embed_events(tokens, embeddings) if isinstance(embeddings, EventEmbedding) else b.embed(tokens, embeddings)
    for i, block in enumerate(model.layers):
        b.lower_bound = None if bounds is None else bounds[i]
        with b.layer() as kept:
            x = _block(b, cast(ResidualBlock, block), x, f"layers.{i}")
            kept.extend([x] if b.first_values is None else [x, b.first_values])
        model.files.release()  # the rows of the layer are copied, in the order and pages that a step reads
    logits = b.linear(model.lm_head, b.norm(model.norm, x))
    model.files.release()
    return logits


def _block(b: Builder, block: ResidualBlock, x: Buffer, name: str) -> Buffer:
    x = x if block.pre_norm is None else b.norm(block.pre_norm, x)
    mixer = getattr(block.mixer, "mixer", block.mixer)  # of an executed model with q and k in spikes
    if type(mixer) not in KINDS:
        raise NotCompiledError(f"{name}.mixer: a {type(mixer).__name__} has no compiled step")
    try:
        x = KINDS[type(mixer)](b, mixer, b.norm(block.norm, x), x)
    except NotCompiledError as error:
        raise NotCompiledError(f"{name}.mixer: {error}") from None
    if block.mlp is None or block.mlp_norm is None:
        return x
    inner = b.norm(block.mlp_norm, x)
    if isinstance(block.mlp, ChannelMix) and type(block.mlp) in (ChannelMix, GatedChannelMix):
        return rwkv.channel_mix(b, block.mlp, inner, x)
    if type(block.mlp) is Experts:
        return feed_forward.experts(b, block.mlp, inner, x)
    if type(block.mlp) is not GatedMLP:
        raise NotCompiledError(f"{name}.mlp: a {type(block.mlp).__name__} has no compiled step")
    return feed_forward.gated_mlp(b, block.mlp, inner, x)
