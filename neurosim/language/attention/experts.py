"""A feed-forward layer of experts, of which each token passes a few (Shazeer et al. 2017; DeepSeek-V3's scores)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...base.errors import lookup, require
from ...base.rules import Natural, Rule, check_rules
from .kinds.compiled import Routing, Step
from .kinds.tracing import compiles, leaf

SCORES: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "softmax": lambda x: x.softmax(-1)}
MAX_EXPERTS = 4096  # experts: they are made before they are compared with the file


@dataclass(frozen=True)
class ExpertsSpec:
    """The experts of a layer.

    Attributes:
        count, top: number of experts, and number of experts that a token passes.
        hidden: channels of each.
        shared: channels of an expert that every token passes, 0 for none; `gated` weighs it by sigmoid(w . x).
        scores: scoring of experts, a name of `SCORES`; with 'sigmoid' a bias is added for the choice alone.
        normalise: scores of the experts of a token are divided by their sum.
        scale: factor of the weights.
        groups, top_groups: number of groups of experts, and number of best groups that experts are chosen from.
    """

    count: Annotated[int, Rule("> 0"), Rule(f"<= {MAX_EXPERTS}")]
    top: Annotated[int, Rule("> 0")]
    hidden: Annotated[int, Rule("> 0")]
    shared: Natural = 0
    gated: bool = False
    scores: str = "softmax"
    normalise: bool = True
    scale: float = 1.0
    groups: Annotated[int, Rule("> 0")] = 1
    top_groups: Annotated[int, Rule("> 0")] = 1

    def check(self) -> None:
        """Check every value.

        Raises:
            NeurosimInputError: a value breaks its rule.
        """
        lookup(SCORES, self.scores, "ExpertsSpec.scores")
        check_rules(self)
        require(self.top <= self.count, "ExpertsSpec.top", f"must be at most {self.count}", self.top)
        fits = self.count % self.groups == 0 and self.top_groups <= self.groups
        require(fits, "ExpertsSpec.groups", f"must divide {self.count} experts", self.groups)


class Router(nn.Module):
    """Chooses experts for tokens, on floats: a spike more would send a token elsewhere."""

    def __init__(self, width: int, spec: ExpertsSpec) -> None:
        super().__init__()
        self.spec = spec
        self.score = SCORES[spec.scores]
        self.weight = nn.Parameter(torch.randn(spec.count, width) * 0.02)
        self.bias = nn.Parameter(torch.zeros(spec.count)) if spec.scores == "sigmoid" else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (indices, weights) [n, top] of the experts of each token x [n, D]."""
        spec = self.spec
        scores = self.score(x @ self.weight.T.to(x.dtype))
        # The bias balances the load of experts: it moves the choice, and not the weights.
        choice = scores if self.bias is None else scores + self.bias
        if spec.groups > 1:
            grouped = choice.unflatten(-1, (spec.groups, -1))
            # The score of a group is the sum of its two best experts, as in DeepSeek-V3.
            best = grouped.topk(min(2, grouped.shape[-1]), -1).values.sum(-1).topk(spec.top_groups, -1).indices
            in_best_groups = torch.zeros_like(grouped[..., 0]).scatter(-1, best, 1.0) > 0
            choice = grouped.masked_fill(~in_best_groups[..., None], -torch.inf).flatten(-2)
        index = choice.topk(spec.top, -1).indices
        weights = scores.gather(-1, index)
        if spec.normalise:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        return index, weights * spec.scale


class Experts(nn.Module):
    """sum_i w_i E_i(x) over the experts E_i of a token, plus the shared one.

    Args:
        make: function that returns a feed-forward layer for a number of hidden channels.
    """

    def __init__(self, width: int, spec: ExpertsSpec, make: Callable[[int], nn.Module]) -> None:
        super().__init__()
        spec.check()
        self.router = Router(width, spec)
        self.experts = nn.ModuleList([make(spec.hidden) for _ in range(spec.count)])
        self.shared = make(spec.shared) if spec.shared else None
        self.shared_gate = nn.Parameter(torch.zeros(1, width)) if spec.shared and spec.gated else None

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, -2)
        index, weights = self.router(flat)
        out = torch.zeros_like(flat)
        # One product for the tokens of each expert, instead of one for each token.
        for i in index.unique().tolist():
            token, place = torch.nonzero(index == i, as_tuple=True)
            out = out.index_add(0, token, self.experts[i](flat[token]) * weights[token, place, None])
        if self.shared is not None:
            always = self.shared(flat)
            if self.shared_gate is not None:
                always = (flat @ self.shared_gate.T).sigmoid() * always
            out = out + always
        return out.view_as(x)


@compiles(Experts.forward)
def _routed(step: Step, layer: Experts, x: Tensor) -> Tensor:
    """Append all experts in turn, each for the tokens that chose it; for the others no row is added."""
    router = layer.router
    spec = router.spec
    choice = Routing(
        spec.top,
        sum_to_one=spec.normalise,
        sigmoid=spec.scores == "sigmoid",
        bias=router.bias,
        groups=spec.groups,
        top_groups=spec.top_groups,
        scale=spec.scale,
    )
    out = None
    for route, expert in zip(step.route(F.linear(x, router.weight), choice), layer.experts, strict=True):
        with step.only(route):
            out = step.add(out, expert(x), route.weight)
    assert out is not None
    if layer.shared is None:
        return out
    always = layer.shared(x)
    if layer.shared_gate is not None:
        always = always * F.linear(x, layer.shared_gate).sigmoid()
    return out + always
