"""HAX: a state-space layer, and softmax attention over few tokens of the past, which a hash and a score select."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import lookup
from ....base.rules import Rule
from ....kernels.decode.attention import sparse
from ....kernels.layers.picks.launch import attend_to_picks, best_so_far, last_of_bucket
from ....kernels.layers.picks.reference import PICK_NONE
from .base import Inputs, Mixer, Shared, State
from .compiled import Cache, EachToken, Step
from .growing import appended, last_channels
from .mamba import Mamba2
from .modules import linear
from .nested import PREFIX, initial_inside, spread_over

PLANES = 8  # random hyperplanes: 256 buckets
CENTRES = {name: name for name in ("running", "sequence")}  # of q and k, before they are hashed
RANKING = 0.1  # weight of the loss of the scores
RANKED = 256  # tokens of a sequence that the loss of the scores ranks


@dataclass(eq=False, repr=False, kw_only=True)
class HAX(Mixer):
    """y = finish(SSM(u) + E softmax(q k^T / sqrt(K)) u over few tokens) (Zhan et al. 2025, hybrid sparse attention).

    u, the values of the state-space layer (Mamba-2) behind its convolution, are the attention's values too, and q and k
    their projections; E is a vector, and `finish` the layer's norm, gate and output projection. A token sees itself,
    the last `topk` tokens whose key falls into its query's bucket (locality-sensitive hashing: the signs of 8 random
    projections), and the `topk` tokens of highest score so far. The score of a token is an MLP of its key and of the
    direction of the sum of queries up to it; `auxiliary` trains it alone, to rank tokens as their attention by sigmoids
    ranks them, for the choice itself has no gradient. Of a longer sequence it ranks 256 tokens at equal distances, so
    that time grows with the tokens, and not with their pairs.

    As published q and k are centred before they are hashed, by their means over the whole sequence; here by their means
    so far, for a token is hashed before the next one comes.

    Args:
        topk: tokens of each of the two choices.
        key_dim: K.
        centre: means that q and k are centred by in training: 'running', those so far, or 'sequence', those over all
            tokens of a pass, as published. Buckets then differ from those of evaluation, which are always 'running'.
        mamba: options of the state-space layer.

    The memory is [B, tokens, K + I + 2]: key, value, bucket, score, I channels inside the layer; it grows with the
    sequence.
    """

    why_not_parallel = "its keys of earlier tokens lie in other processes"
    holds_tokens = True
    has_qk = True

    topk: Annotated[int, Rule(">= 1 tokens")] = 32
    key_dim: Annotated[int, Rule("> 0")] = 64
    centre: str = "running"
    mamba: Mapping[str, object] | None = None

    def build(self) -> None:
        lookup(CENTRES, self.centre, self.name("centre"))
        options: Mapping[str, object] = self.mamba or {}
        self.ssm = Mamba2(self.width, self.depth, **options)  # type: ignore[arg-type]
        self.q_proj, self.k_proj = (linear(self.ssm.inner, self.key_dim) for _ in range(2))
        self.gain = nn.Parameter(torch.ones(self.ssm.inner))
        both = 2 * self.key_dim
        hidden = (linear(both, both, bias=True), nn.ReLU(), linear(both, both, bias=True), nn.ReLU())
        self.score = nn.Sequential(*hidden, linear(both, 1))

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(len(x), 0, self.key_dim + self.ssm.inner + 2)
        # Sums of the queries and of the keys so far, and the number of tokens.
        sums = x.new_zeros(len(x), 2 * self.key_dim + 1)
        return {"memory": memory, "sums": sums} | initial_inside(self.ssm, x)

    def planes(self) -> Tensor:
        """Return the normals [K, PLANES] of the hyperplanes: the same in every model, neither trained nor saved."""
        return torch.randn(self.key_dim, PLANES, generator=torch.Generator().manual_seed(self.depth.layer))

    def _bucket(self, x: Tensor) -> Tensor:
        """Return the bucket [.., 1] of centred q or k [.., K]."""
        # The signs of the projections are the digits of the bucket.
        bits = x @ self.planes().to(x) > 0
        return (bits * 2 ** torch.arange(PLANES, device=x.device)).sum(-1, keepdim=True).to(x.dtype)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        own = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
        inner, after = self.ssm.project(x, own, shared)
        if x.shape[1] == 1:
            run = self.ssm.stepwise
        else:
            run = self.ssm.chunked
        after["memory"], out = run(own["memory"], inner)
        u = inner["u"].flatten(-2)
        q = self.q_proj(u)
        k = self.k_proj(u)
        ones = torch.ones_like(q[..., :1])
        # Running sums give the means so far, and the direction of all queries so far.
        sums = state["sums"][:, None] + torch.cat([q, k, ones], -1).detach().cumsum(1)
        queries, keys, count = sums.split([self.key_dim, self.key_dim, 1], -1)
        # detached keys: the loss of the scores trains the MLP alone
        scores = self.score(torch.cat([k.detach(), F.normalize(queries, dim=-1)], -1))
        if self.training and torch.is_grad_enabled():
            self.auxiliary = RANKING * self._ranking_loss(q.detach(), k.detach(), scores[..., 0])
        inputs = {"q": q, "k": k, "values": u, "scores": scores.detach()}
        mean_q = queries / count
        mean_k = keys / count
        if self.centre == "sequence" and self.training:
            mean_q = mean_q[:, -1:]
            mean_k = mean_k[:, -1:]
        inputs |= {"centred_q": q - mean_q, "centred_k": k - mean_k}
        inputs |= {"out": out.flatten(-2), "u": inner["u"], "z": inner["z"]}
        return inputs, {PREFIX + name: value for name, value in after.items()} | {"sums": sums[:, -1]}

    def _ranking_loss(self, q: Tensor, k: Tensor, scores: Tensor) -> Tensor:
        """Return the cross entropy of the order of every two scores [B, T], by the attention of later queries."""
        ranked = spread_over(scores.shape[1], RANKED, scores.device)
        scores = scores[:, ranked]
        # A token's rank is the attention that queries from it on pay it, by sigmoids instead of a softmax.
        pays = (q @ k[:, ranked].mT * self.key_dim**-0.5).sigmoid()
        later = torch.arange(q.shape[1], device=q.device)[:, None] >= ranked
        attention = (pays * later).sum(1)
        above = (attention[:, :, None] > attention[:, None]).to(q.dtype)
        return F.binary_cross_entropy_with_logits(scores[:, :, None] - scores[:, None], above)

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        return self.one_by_chunked(memory, inputs)

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        picked = self.topk
        inner = self.ssm.inner
        names = {"q": "q", "k": "k", "v": "values", "score": "scores"}
        names |= {"hashed_q": "centred_q", "hashed_k": "centred_k"}
        rows = {operand: inputs[name] for operand, name in names.items()}
        out = step.value(inner)
        # Scores are in `best`, the ranking so far.
        written = {"out": out, "best": step.state(picked, 2), "last": step.state(2**PLANES)}
        step.append(
            sparse.attend_picks,
            EachToken(),
            rows,
            written,
            # Beside key and value of every token its bucket, and the token before in it.
            cache=Cache(kv_heads=1, groups=1, keys=self.key_dim, values=inner, tokens=0, more=2),
            chosen=picked,
            planes=self.planes(),
            picks=step.scratch(2 * picked + 1, "int32"),
        )
        return out

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        row = [inputs["k"], inputs["values"], self._bucket(inputs["centred_k"]), inputs["scores"]]
        known = appended(memory, torch.cat(row, -1))
        # Choices read two numbers of every token: 32,768 of them from rows of 162 take .6 ms, side by side .1 ms.
        buckets, scores = last_channels(memory, known, 2).unbind(-1)
        picks = self._picks(self._bucket(inputs["centred_q"])[..., 0], buckets, scores)
        # One head of keys: its axis is the third.
        out = attend_to_picks(inputs["q"][:, :, None], known[:, :, None], picks[:, :, None], self.ssm.inner)
        return known, out[:, :, 0]

    def _picks(self, bucket: Tensor, buckets: Tensor, scores: Tensor) -> Tensor:
        """Return the tokens [B, T, picks] that the T last of N see, each once, and PICK_NONE.

        Args:
            bucket: [B, T], of the queries.
            buckets, scores: [B, N], of the keys.
        """
        batch, length = bucket.shape
        first = buckets.shape[1] - length
        now = torch.arange(first, first + length, device=bucket.device).expand(batch, -1)[..., None]
        same = last_of_bucket(bucket, buckets, self.topk)
        best = best_so_far(scores, now[0, :, 0] + 1, self.topk)
        # Seen already: of the query's bucket, and not before the oldest that was picked there.
        of_bucket = buckets[:, None].expand(-1, length, -1).gather(2, best.clamp(min=0)) == bucket[..., None]
        oldest = same.masked_fill(same == PICK_NONE, buckets.shape[1]).amin(-1, keepdim=True)
        seen = (best == now) | (of_bucket & (best >= oldest))
        others = [same.masked_fill(same == now, PICK_NONE), best.masked_fill(seen, PICK_NONE)]
        return torch.cat([now, *others], -1)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        # SSM(u) + E attention; norm, gate and projection belong to the state-space layer.
        both = inputs["out"] + self.gain * out
        return self.ssm.finish(both.unflatten(-1, (self.ssm.heads, -1)), x, inputs)
