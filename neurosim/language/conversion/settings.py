"""The settings of the spike coding of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ...base.errors import lookup, require
from ...base.rules import Rule, check_rules
from .coding import CANONICAL, SCHEMES
from .expansions import EXPANSIONS, usual_planes
from .linear import WEIGHTS


@dataclass(frozen=True)
class Coding:
    """Settings of the spike coding of a model.

    Attributes:
        scheme: a name of `SCHEMES`.
        k: counts that a token's mean |x| is worth, for 'ternary' and for q, k and the state.
        spikes: mean spikes a channel, for the schemes that calibrate each channel.
        levels: L, the largest count of 'qcfs' and 'stbif'.
        expansion: a name of `EXPANSIONS`; None for the scheme's own.
        planes: T, planes of a count, larger counts escaping exactly; None for those that counts of +-15 need.
        weights: 'int8', with one step for each output channel; 'int4', with one for 32 weights of an output, kept from
            a GGUF file (Q4_0, Q4_1) where thresholds are not of channels, else rounded so that errors cancel on the
            text, or to the nearest without text, with int8 in the head and in layers whose inputs are not a multiple
            of 32 channels; or 'float32'.
        shrink: soft threshold before rounding, in thresholds.
        price: price of a spike in squared thresholds, for 'ternary' in canonical digits: a value is rounded to a count
            of fewer digits where the error that it adds costs less; 0 rounds to the nearest.
        balance: for 'ternary': a k for each group of layers that read the same values, from text, with one price of a
            spike over all of them (`balance_counts`); k is then their geometric mean over channels.
        rotate: rotate the residual stream to its principal axes first, where possible (schemes with thresholds of
            channels).
        qk: code q and k where they enter the state; the state is then updated lazily. Executed, its sums are taken in
            another order than simulated: most kinds agree to about 1e-6, not bit for bit.
        state: code the state itself, after every token; for kinds whose state is changed by tokens, and does not hold
            them.
        head: code the input of the output layer too.

    Raises:
        NeurosimInputError: naming what breaks its rule.
    """

    scheme: str = "ternary"
    k: Annotated[float, Rule("> 0 and < 1e6")] = 3.0
    spikes: Annotated[float, Rule("> 0 and < 8 a channel")] = 0.9
    levels: Annotated[int, Rule(">= 1 and <= 127")] = 15
    expansion: str | None = None
    planes: int | None = None
    weights: str = "int8"
    shrink: Annotated[float, Rule(">= 0 and < 100 thresholds")] = 0.0
    price: Annotated[float, Rule(">= 0 and <= 1 squared threshold")] = 0.0
    balance: bool = False
    rotate: bool = True
    qk: bool = False
    state: bool = False
    head: bool = False

    def __post_init__(self) -> None:
        lookup(SCHEMES, self.scheme, "Coding.scheme")
        lookup(WEIGHTS, self.weights, "Coding.weights")
        check_rules(self)
        # The price of a spike silences small values of channels already.
        twice = SCHEMES[self.scheme].channel and self.shrink > 0
        require(not twice, "Coding.shrink", f"must be 0: scheme '{self.scheme}' finds its own", self.shrink)
        code = lookup(EXPANSIONS, self.sent_as, "Coding.expansion")
        follows_tokens = SCHEMES[self.scheme].token
        has_price = follows_tokens and self.sent_as == CANONICAL
        rule = "must be 0 but for scheme 'ternary' in canonical digits (expansion 'canonical')"
        require(has_price or not self.price, "Coding.price", rule, self.price)
        rule = "must be false but for scheme 'ternary'"
        require(follows_tokens or not self.balance, "Coding.balance", rule, self.balance)
        require(code.signed, "Coding.expansion", "must have a sign, because activations have one", self.expansion)
        require(1 <= self.sent_planes <= 62, "Coding.planes", "must be 1 to 62", self.planes)

    @property
    def sent_as(self) -> str:
        """The expansion in use, a name of `EXPANSIONS`."""
        return self.expansion or SCHEMES[self.scheme].expansion

    @property
    def sent_planes(self) -> int:
        """T, the planes in use."""
        if self.planes is None:
            return usual_planes(EXPANSIONS[self.sent_as])
        return self.planes
