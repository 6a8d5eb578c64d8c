"""Synapses: connection patterns, and the weights and delays they carry."""

from .base import Pattern
from .convolution import Convolution
from .parts import BetweenParts
from .patterns import (
    AllToAll,
    DistanceDependentProbability,
    FixedNumberPost,
    FixedNumberPre,
    FixedProbability,
    FixedTotalNumber,
    FromList,
    OneToOne,
)

PATTERNS: dict[str, type[Pattern]] = {
    pattern.__name__: pattern
    for pattern in (
        AllToAll,
        OneToOne,
        FixedProbability,
        FixedNumberPre,
        FixedNumberPost,
        FixedTotalNumber,
        DistanceDependentProbability,
        FromList,
        Convolution,
        BetweenParts,
    )
}
