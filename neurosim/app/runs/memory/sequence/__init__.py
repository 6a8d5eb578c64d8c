"""Runs of a spatial pooler and a temporal memory on recordings: what they expect, and what surprises them."""

from __future__ import annotations

from ...data import Splits
from ...frame.kind import Kind
from .config import SequenceConfig
from .result import SequenceResult


class SequenceKind(Kind[SequenceConfig, Splits, SequenceResult]):
    name = "sequence"
    title = "a run of a sequence memory"
    result = SequenceResult
    heading = ("dataset", "split", "samples", "seed", "digest")
    # Nothing is `unfinished`: the file that a resumed run reads holds what was learned, which is a result.
    resumed_by = "memory sequence"


KIND = SequenceKind()
