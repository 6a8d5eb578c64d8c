"""The reference language model: embedding, blocks of norm, mixer, norm and feed-forward layer, norm, head."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from ...base.errors import lookup, require
from ...base.plain import from_plain, to_plain
from .events import EventEmbedding, EventInput
from .experts import Experts, ExpertsSpec
from .gguf.blocks import BlockTensor
from .kinds import build
from .kinds.base import Depth, Mixer, Shared, State
from .kinds.channel_mix import ChannelMix, GatedChannelMix
from .kinds.hgrn import BoundedMixer
from .kinds.modules import activation, linear
from .tensors import MappedFiles


@dataclass(frozen=True)
class MixerSpec:
    """A mixer of a stack: a name of `KINDS`, and options of that kind (see `options_of`)."""

    kind: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class LanguageConfig:
    """The shape of a `LanguageModel`.

    Attributes:
        layers: mixers, bottom to top, of any kinds.
        vocabulary: number of tokens; 256 for bytes.
        width: D, channels of the residual stream.
        mlp: feed-forward layer of every block, a name of `MLPS`: 'gated', 'plain' (GPT-NeoX), 'channel_mix' (RWKV-7),
            'gated_channel_mix' (RWKV-5 and 6) or 'none' (Mamba).
        hidden: channels of the feed-forward layer (default: 8/3 width, rounded up to a multiple of 32).
        act, gate_act: activation of 'plain' and 'channel_mix', and of 'gated'.
        mlp_bias: give the layers of 'gated' and 'plain' biases.
        parallel: the feed-forward layer reads what the mixer reads, not what it leaves (GPT-NeoX).
        norm: 'rms' or 'layer'; `norm_bias` for 'layer'.
        norms: where a block has norms, a name of `PLACES`: 'before' its mixer and its feed-forward layer, 'behind' them
            (OLMo 2) or 'both' (Gemma 2).
        first_norm: add a norm behind the embedding.
        eps: epsilon of the norms.
        tied: the head's weight is the embedding's.
        embedding_scale: factor of the rows of the embedding.
        logit_scale: factor of the outputs of the head.
        logit_cap: c > 0: logits a become c tanh(a / c), after that factor; None leaves them.
        experts: experts of the feed-forward layers, which must be 'gated'; the layers of `dense_layers` have none.
        events: how a token that is the events of a window is embedded; None for tokens that are integers.
    """

    layers: tuple[MixerSpec, ...]
    vocabulary: int = 256
    width: int = 128
    mlp: str = "gated"
    hidden: int | None = None
    act: str = "sqrelu"
    gate_act: str = "silu"
    mlp_bias: bool = False
    parallel: bool = False
    norm: str = "rms"
    norm_bias: bool = True
    norms: str = "before"
    first_norm: bool = False
    eps: float = 1e-6
    tied: bool = False
    embedding_scale: float = 1.0
    logit_scale: float = 1.0
    logit_cap: float | None = None
    experts: ExpertsSpec | None = None
    dense_layers: tuple[int, ...] = ()
    events: EventInput | None = None

    def logits(self, out: Tensor) -> Tensor:
        """Return logits from the outputs of the head: scaled, then bounded."""
        if self.logit_scale != 1.0:
            out = out * self.logit_scale
        if self.logit_cap is not None:
            out = torch.tanh(out / self.logit_cap) * self.logit_cap
        return out

    def to_json(self) -> dict[str, object]:
        """Return the config as a tree of plain values."""
        return cast(dict[str, object], to_plain(self))

    @staticmethod
    def from_json(values: object) -> LanguageConfig:
        """Return the config that `to_json` wrote.

        Raises:
            NeurosimInputError: an unknown key, or a value of the wrong type.
        """
        return from_plain(LanguageConfig, values)


class GatedMLP(nn.Module):
    """W_down (f(W_gate x) W_up x); f is silu by default."""

    def __init__(self, width: int, hidden: int, act: str = "silu", bias: bool = False) -> None:
        super().__init__()
        self.activation = activation(act, "LanguageConfig.gate_act")
        self.gate_proj = linear(width, hidden, bias)
        self.up_proj = linear(width, hidden, bias)
        self.down_proj = linear(hidden, width, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))


class MLP(nn.Module):
    """W_down f(W_up x)."""

    def __init__(self, width: int, hidden: int, act: str, bias: bool = False) -> None:
        super().__init__()
        self.activation = activation(act, "LanguageConfig.act")
        self.up_proj = linear(width, hidden, bias)
        self.down_proj = linear(hidden, width, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.activation(self.up_proj(x)))


MLPS: dict[str, Callable[[LanguageConfig, int], nn.Module | None]] = {
    "channel_mix": lambda config, hidden: ChannelMix(config.width, hidden, config.act),
    "gated_channel_mix": lambda config, hidden: GatedChannelMix(config.width, hidden, config.act),
    "gated": lambda config, hidden: GatedMLP(config.width, hidden, config.gate_act, config.mlp_bias),
    "none": lambda config, hidden: None,
    "plain": lambda config, hidden: MLP(config.width, hidden, config.act, config.mlp_bias),
}

NORMS: dict[str, Callable[[LanguageConfig], nn.Module]] = {
    "layer": lambda config: nn.LayerNorm(config.width, eps=config.eps, bias=config.norm_bias),
    "rms": lambda config: nn.RMSNorm(config.width, config.eps),
}

# Whether a block has norms before its layers, and behind them.
PLACES: dict[str, tuple[bool, bool]] = {"before": (True, False), "behind": (False, True), "both": (True, True)}


class ResidualBlock(nn.Module):
    """y = x + out_norm(mixer(norm(x))), then y + mlp_out_norm(mlp(mlp_norm(y))) where there is an mlp.

    With `LanguageConfig.parallel` the mlp reads x in the place of y. Norms that `LanguageConfig.norms` has none of are
    identities.
    """

    def __init__(self, config: LanguageConfig, depth: Depth) -> None:
        super().__init__()
        layer = config.layers[depth.layer]
        norm = lookup(NORMS, config.norm, "LanguageConfig.norm")
        self.pre_norm = norm(config) if config.first_norm and depth.layer == 0 else None
        before, behind = lookup(PLACES, config.norms, "LanguageConfig.norms")
        self.norm = norm(config) if before else nn.Identity()
        self.out_norm = norm(config) if behind else nn.Identity()
        self.mixer: Mixer = build(layer.kind, config.width, depth, layer.options)
        hidden = config.hidden or 32 * math.ceil(config.width * 8 / 3 / 32)
        self.mlp = lookup(MLPS, config.mlp, "LanguageConfig.mlp")(config, hidden)
        if config.experts is not None and depth.layer not in config.dense_layers:
            require(config.mlp == "gated", "LanguageConfig.mlp", "must be 'gated' for experts", config.mlp)
            self.mlp = Experts(config.width, config.experts, partial(MLPS["gated"], config))  # type: ignore[arg-type]
        self.parallel = config.parallel
        has_mlp = self.mlp is not None
        self.mlp_norm = norm(config) if before and has_mlp else nn.Identity()
        self.mlp_out_norm = norm(config) if behind and has_mlp else nn.Identity()

    def forward(self, x: Tensor, state: State | None, shared: Shared) -> tuple[Tensor, State]:
        if self.pre_norm is not None:
            x = self.pre_norm(x)
        # Kinds with an activation behind the residual read the stream itself.
        shared["stream"] = x
        mixed, after = self.mixer(self.norm(x), state, shared)

        def before(inner: Tensor) -> Tensor:
            return torch.zeros_like(inner[:, :1]) if state is None else state["mlp_tail"]

        out, tail = self.feed(x, mixed, before)
        return out, after | tail

    def feed(self, stream: Tensor, mixed: Tensor, before: Callable[[Tensor], Tensor]) -> tuple[Tensor, State]:
        """Return the residual stream behind mixer and feed-forward layer, and what the latter adds to the state.

        Args:
            stream: [B, T, D] before the block.
            mixed: [B, T, D] outputs of the mixer.
            before: function from the layer's inputs [B, T, D] to the token before them [B, 1, D].
        """
        x = stream + self.out_norm(mixed)
        if self.mlp is None:
            return x, {}
        inner = self.mlp_norm(stream if self.parallel else x)
        if isinstance(self.mlp, ChannelMix):
            # RWKV mixes each token with the one before it here, too: the last one is state.
            out, tail = self.mlp(inner, before(inner))
            return x + self.mlp_out_norm(out), {"mlp_tail": tail}
        return x + self.mlp_out_norm(self.mlp(inner)), {}


class LanguageModel(nn.Module):
    """A stack of attention kinds from tokens to logits.

    `model(tokens)` runs many tokens at once by the chunked forms; `model.step(token, state)` runs one, and its memory
    does not grow (except with a window of all tokens). Linear layers are `nn.Linear` under stable names, listed by
    `named_modules`: `layers.0.mixer.q_proj`, `layers.0.mlp.down_proj`, `lm_head`. `layers[i].mixer.codes` holds the
    coders of a conversion for q, k and the state. It may be copied (`copy.deepcopy`) and pickled, as any module.

    Attributes:
        files: files that its weights are mapped from, if any.

    Raises:
        NeurosimInputError: on construction, naming what breaks its rule.
    """

    def __init__(self, config: LanguageConfig, seed: int = 0) -> None:
        super().__init__()
        require(len(config.layers) > 0, "LanguageConfig.layers", "must be at least one", 0)
        require(config.vocabulary > 0, "LanguageConfig.vocabulary", "must be > 0 tokens", config.vocabulary)
        rule = "must be false for tokens that are events"
        require(not (config.events and config.tied), "LanguageConfig.tied", rule, config.tied)
        self.config = config
        self.files = MappedFiles()
        # Layers draw their first weights from torch's generator: seeded here, and restored afterwards.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embeddings: nn.Embedding | EventEmbedding
            if config.events is None:
                self.embeddings = nn.Embedding(config.vocabulary, config.width)
            else:
                self.embeddings = EventEmbedding(config.events, config.width)
            count = len(config.layers)
            self.layers = nn.ModuleList([ResidualBlock(config, Depth(i, count)) for i in range(count)])
            self.norm = lookup(NORMS, config.norm, "LanguageConfig.norm")(config)
            self.lm_head = linear(config.width, config.vocabulary)
            self._start(count)
        # Bounds rise from layer to layer: their parameter belongs to the model.
        bounded = [isinstance(m, BoundedMixer) and m.use_lower_bound for m in self.mixers()]
        self.lower_bounds = nn.Parameter(torch.zeros(count, config.width)) if any(bounded) else None
        self.tie()

    def tie(self) -> None:
        """Give the head the embedding's weight, where the config says so."""
        if isinstance(self.embeddings, nn.Embedding) and self.config.tied:
            self.lm_head.weight = self.embeddings.weight

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LanguageModel:
        """Move or widen the weights; `to`, `float` and the like come here.

        torch would change a parameter in place, and leave blocks in a shell of another type: those are replaced first.
        """
        replaced: dict[int, nn.Parameter] = {}
        for module in self.modules():
            for name, value in module._parameters.items():
                if not isinstance(value, BlockTensor):
                    continue
                # One parameter of two modules, as a tied head's, stays one.
                if id(value) not in replaced:
                    new = fn(value.detach()).detach()
                    replaced[id(value)] = nn.Parameter(new, requires_grad=value.requires_grad)
                module._parameters[name] = replaced[id(value)]
        return super()._apply(fn, recurse)

    def _start(self, count: int) -> None:
        """Draw first weights: normal, deviation .02, less by depth where a layer writes to the residual stream."""
        if isinstance(self.embeddings, nn.Embedding):
            nn.init.normal_(self.embeddings.weight, std=0.02)
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear) and "feature_map" not in name and not name.startswith("embeddings"):
                # 2 layers of a block write to the stream: its power then does not grow with depth (GPT-2, 2019).
                writes = name.rsplit(".", 1)[-1] in ("o_proj", "out_proj", "down_proj", "value")
                deviation = 0.02 / math.sqrt(2 * count) if writes else 0.02
                nn.init.normal_(module.weight, std=deviation)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.lm_head.weight.device

    def mixers(self) -> list[Mixer]:
        """Return the mixer of each layer, bottom to top."""
        return [cast(ResidualBlock, block).mixer for block in self.layers]

    def forward(
        self, tokens: Tensor, state: list[State] | None = None, prefix: Tensor | None = None
    ) -> tuple[Tensor, list[State]]:
        """Return (logits [B, T, vocabulary], the state after them) from tokens [B, T] and the state before them.

        Tokens are [B, T, units], numbers of events, where the config says so.

        Args:
            prefix: [B] number of first tokens that are read in both directions, see `Mixer.both_ways`.

        Raises:
            NeurosimInputError: a prefix, for a kind that cannot read it so.
        """
        return self.through(self.embed(tokens), state, prefix)

    def through(
        self, x: Tensor, state: list[State] | None = None, prefix: Tensor | None = None
    ) -> tuple[Tensor, list[State]]:
        """Return what `forward` does from embedded tokens x [B, T, D]."""
        hidden, after = self.hidden(x, state, prefix)
        return self.config.logits(self.lm_head(hidden)), after

    def hidden(
        self, x: Tensor, state: list[State] | None = None, prefix: Tensor | None = None, *, empties: bool = False
    ) -> tuple[Tensor, list[State]]:
        """Return (inputs of the head [B, T, D], the state after them) from embedded tokens x [B, T, D].

        Logits of many tokens and a large vocabulary take more memory than all else: the head can read these in parts.

        Args:
            empties: leave the states before the tokens empty, so that no layer has both in memory with the others'.
        """
        shared: Shared = {} if prefix is None else {"prefix": prefix}
        after: list[State] = []
        bounds = self.bounds()
        for i, block in enumerate(self.layers):
            if bounds is not None:
                shared["lower_bound"] = bounds[i]
            before = None if state is None else state[i]
            if state is not None and empties:
                state[i] = {}
            x, block_state = block(x, before, shared)
            after.append(block_state)
        return self.norm(x), after

    def auxiliary_loss(self) -> Tensor:
        """Return the sum of the losses that mixers added in the last forward pass in training."""
        losses = (mixer.auxiliary for mixer in self.mixers() if mixer.auxiliary is not None)
        return sum(losses, torch.zeros((), device=self.device))

    def embed(self, tokens: Tensor) -> Tensor:
        """Return [.., D] rows of the embedding, scaled, in the type of the norms."""
        x: Tensor = self.embeddings(tokens).to(self.norm.weight.dtype)
        if self.config.embedding_scale == 1.0:
            return x
        return x * self.config.embedding_scale

    def bounds(self) -> Tensor | None:
        """Return [layers, D] lower bounds of forget gates (`BoundedMixer`), rising by layer; None without such."""
        if self.lower_bounds is None:
            return None
        # lb_i = sum_{j = 1..i} softmax(Gamma)_j: 0 in layer 0, and at most 1 (Qin et al. 2023, HGRN).
        parts = self.lower_bounds.softmax(0)
        return parts.cumsum(0) - parts[:1]

    def step(self, token: Tensor, state: list[State] | None = None) -> tuple[Tensor, list[State]]:
        """Return (logits [B, vocabulary], the state after it) from one token each [B]."""
        logits, state = self(token[:, None], state)
        return logits[:, 0], state

    def parameter_count(self) -> int:
        """Return the number of parameters, tied ones once."""
        return sum(p.numel() for p in self.parameters())
