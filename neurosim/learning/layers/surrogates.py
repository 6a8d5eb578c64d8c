"""Surrogate derivatives of a spike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, final

from ...base.errors import lookup
from ...base.rules import Rule, check_rules
from ...kernels.layers.scan.kinds import ARCTAN, FAST_SIGMOID, SIGMOID, TRIANGLE


@final
@dataclass(frozen=True)
class Surrogate:
    """A derivative h(x) for the step [x > 0], x being membrane minus threshold.

        fast_sigmoid  h = scale / (1 + slope |x|)^2                        Zenke & Ganguli 2018
        arctan        h = scale (slope / 2) / (1 + (pi / 2 slope x)^2)     Fang et al. 2021
        triangle      h = scale max(0, 1 - slope |x|)                      Bellec et al. 2018, whose scale is .3
        sigmoid       h = scale slope g (1 - g), g = 1 / (1 + e^(-slope x))

    The first, second and fourth are snnTorch's `fast_sigmoid(slope)`, `atan(alpha=slope)` and `sigmoid(slope)`.

    Attributes:
        shape: name of one of these functions.
        slope: 1 / V (or dimensionless, with membranes alike).
        scale: dimensionless.

    Raises:
        NeurosimInputError: an unknown shape; a slope or scale that is not finite and > 0.
    """

    shape: str
    slope: Annotated[float, Rule("finite and > 0")]
    scale: Annotated[float, Rule("finite and > 0")] = 1.0

    def __post_init__(self) -> None:
        lookup(SHAPES, self.shape, "Surrogate.shape")
        check_rules(self)

    def numbers(self) -> tuple[int, float, float]:
        """Return shape, slope and scale for the kernels."""
        return SHAPES[self.shape], float(self.slope), float(self.scale)


SHAPES = {"fast_sigmoid": FAST_SIGMOID, "arctan": ARCTAN, "triangle": TRIANGLE, "sigmoid": SIGMOID}
SURROGATES = {
    "fast_sigmoid": Surrogate("fast_sigmoid", 25.0),
    "arctan": Surrogate("arctan", 2.0),
    "triangle": Surrogate("triangle", 1.0),
    "sigmoid": Surrogate("sigmoid", 25.0),
}


def to_surrogate(surrogate: str | Surrogate, name: str) -> Surrogate:
    """Return the surrogate of a layer called `name`, from its name in `SURROGATES` or as it is."""
    if isinstance(surrogate, Surrogate):
        return surrogate
    return lookup(SURROGATES, surrogate, f"{name}.surrogate")
