"""Synapses: connection patterns, and the weights and delays they carry."""

from ..values import Distribution as Distribution
from ..values import Value as Value
from ..values import check_value as check_value
from ..values import draw as draw
from .base import Maker as Maker
from .base import Pattern as Pattern
from .base import Rows as Rows
from .base import Side as Side
from .patterns import AllToAll as AllToAll
from .patterns import Convolution as Convolution
from .patterns import DistanceDependentProbability as DistanceDependentProbability
from .patterns import FixedNumberPost as FixedNumberPost
from .patterns import FixedNumberPre as FixedNumberPre
from .patterns import FixedProbability as FixedProbability
from .patterns import FixedTotalNumber as FixedTotalNumber
from .patterns import FromList as FromList
from .patterns import OneToOne as OneToOne
from .values import DISTRIBUTIONS as DISTRIBUTIONS
from .values import LogNormal as LogNormal
from .values import Normal as Normal
from .values import Uniform as Uniform

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
    )
}
