"""Feature maps of linear attention: the product phi(q) . phi(k) takes the place of exp(q . k).

Each map is a module [.., K] -> [.., features] with the attribute `features`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import lookup
from .modules import linear
from .tracing import leaf


class FeatureMap(nn.Module):
    """A map of [.., width] to [.., features].

    Attributes:
        is_query: true for the map of queries, which may differ from the map of keys.
    """

    features: int
    is_query: bool = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = width


class Pointwise(FeatureMap):
    """A function of each channel."""

    def __init__(self, width: int, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(width)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Hadamard(FeatureMap):
    """The product, element by element, of two learned linear maps."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.layer1 = linear(width, width, bias=True)
        self.layer2 = linear(width, width, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer1(x) * self.layer2(x)


class Hedgehog(FeatureMap):
    """softmax([2 (W x + b), -2 (W x + b)]) (Zhang et al. 2024, arXiv 2402.04347); starts with W = I."""

    def __init__(self, width: int) -> None:
        super().__init__(2 * width)
        self.layer = linear(width, width, bias=True)
        nn.init.eye_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = 2 * self.layer(x)
        return torch.cat([y, -y], -1).softmax(-1)


class HedgehogByHead(FeatureMap):
    """[softmax(W_h x), softmax(-W_h x)] with a matrix W_h for each head h, which starts as I.

    The map of Hedgehog's authors (Zhang et al. 2024, arXiv 2402.04347, as in their LoLCATs, 2410.10254): a softmax for
    each sign, where `Hedgehog`, as flash-linear-attention has it, takes one over both, of twice the numbers.

    Args:
        heads: H, of x [.., H, width].
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(2 * width)
        self.layers = nn.ModuleList([linear(width, width) for _ in range(heads)])
        for layer in self.layers:
            nn.init.eye_(layer.weight)  # type: ignore[arg-type] # of a linear layer

    def forward(self, x: Tensor) -> Tensor:
        y = torch.stack([layer(part) for layer, part in zip(self.layers, x.unbind(-2), strict=True)], -2)
        return torch.cat([y.softmax(-1), (-y).softmax(-1)], -1)


class LearnedRelu(FeatureMap):
    """relu(W x) (Kasai et al. 2021, arXiv 2103.13076)."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.layer = linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.layer(x))


class DPFP(FeatureMap):
    """Products of [relu(x), relu(-x)] with itself rolled by 1 to 4 places (Schlag et al. 2021)."""

    rolls = 4

    def __init__(self, width: int) -> None:
        super().__init__(2 * width * self.rolls)

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        # Positive and negative parts: features of both signs stay apart and are >= 0.
        y = torch.cat([F.relu(x), F.relu(-x)], -1)
        return torch.cat([y * y.roll(j, -1) for j in range(1, self.rolls + 1)], -1)


class Taylor(FeatureMap):
    """phi(q) . phi(k) = 1 + x + x^2 / 2, x = q . k / sqrt(width) (Based, Arora et al. 2024, arXiv 2402.18668).

    Entries of the square above the diagonal appear once, times sqrt(2): 1 + width + width (width + 1) / 2 features.
    """

    def __init__(self, width: int) -> None:
        super().__init__(1 + width + width * (width + 1) // 2)
        self.root = math.sqrt(width)

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        rows, columns = torch.triu_indices(x.shape[-1], x.shape[-1], 1, device=x.device)
        # sum_ij q_i q_j k_i k_j / (2 width): squares carry 1 / 2, and pairs i < j stand for two terms.
        once = x.square() / (self.root * math.sqrt(2))
        twice = x[..., rows] * x[..., columns] / self.root
        return torch.cat([torch.ones_like(x[..., :1]), x / math.sqrt(self.root), once, twice], -1)


class NormAware(FeatureMap):
    """Norm x direction of queries and keys (NaLaFormer, Meng et al. 2025, arXiv 2506.21137).

    With d = x / |x| and angle a = pi d / 4, both map to [m cos a, m sin a]: a product is m_q m_k cos(a_q - a_k) >= 0 in
    every channel. The magnitude m of a query is |d|^p(|q|), p(n) = lambda (1/2 + tanh n): the longer the query, the
    more its largest channels dominate, which the normaliser of linear attention otherwise cancels. The magnitude of a
    key is |k|^lambda.

    Attributes:
        fixed_power: lambda where it is not learned.
    """

    fixed_power = 3.0

    def __init__(self, width: int) -> None:
        super().__init__(2 * width)
        self.raw_power: nn.Parameter | None = None

    def set_power(self, power: float, *, trained: bool) -> None:
        """Set lambda; if it is trained, it is the softplus of a parameter."""
        self.fixed_power = power
        if trained:
            # softplus(raw) = power
            self.raw_power = nn.Parameter(torch.tensor([math.log(math.expm1(power))]))

    @property
    def power(self) -> float | Tensor:
        """lambda."""
        if self.raw_power is None:
            return self.fixed_power
        return F.softplus(self.raw_power)

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        norm = (x.square().sum(-1, keepdim=True) + 1e-12).sqrt()
        d = x / norm
        # p(|q|) for queries, lambda for keys; 1e-6 keeps the derivative of the power finite at 0.
        power = self.power * (0.5 + norm.tanh()) if self.is_query else self.power
        base = d if self.is_query else x
        size = (base.abs() + 1e-6) ** power
        angle = d * (math.pi / 4)
        return torch.cat([size * angle.cos(), size * angle.sin()], -1)


FEATURE_MAPS: dict[str, Callable[..., FeatureMap]] = {
    "based": Taylor,
    "dpfp": DPFP,
    # Katharopoulos et al. 2020
    "elu": partial(Pointwise, function=lambda x: F.elu(x) + 1),
    "hadamard": Hadamard,
    "hedgehog": Hedgehog,
    "hedgehog_by_head": HedgehogByHead,
    "identity": partial(Pointwise, function=lambda x: x),
    "norm_aware": NormAware,
    "relu": partial(Pointwise, function=F.relu),
    "swish": partial(Pointwise, function=F.silu),
    "t2r": LearnedRelu,
}


def feature_map(name: str, width: int, heads: int, *, is_query: bool) -> FeatureMap:
    """Build the map of this name for queries or keys of `heads` heads of `width` channels.

    Raises:
        NeurosimInputError: no such map.
    """
    kind = lookup(FEATURE_MAPS, name, "feature map")
    layer = kind(width, heads) if kind is HedgehogByHead else kind(width)
    layer.is_query = is_query
    return layer
