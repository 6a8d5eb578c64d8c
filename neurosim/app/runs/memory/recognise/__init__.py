"""Runs of the recogniser: columns or patches see every item once and name new ones."""

from __future__ import annotations

from typing import Any

from ...frame.kind import Kind
from .config import RecogniseConfig
from .result import RecogniseResult


class RecogniseKind(Kind[RecogniseConfig, Any, RecogniseResult]):
    name = "recognise"
    title = "a run of the recogniser"
    result = RecogniseResult
    heading = ("dataset", "split", "samples", "seed", "digest")
    # Nothing is `unfinished`: the memory that a resumed run goes on filling is a result.
    resumed_by = "memory recognise"


KIND = RecogniseKind()
