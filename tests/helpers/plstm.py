"""Nodes and gates of pLSTM."""

from __future__ import annotations

from helpers.attention_kinds import noise
from torch import Tensor

from neurosim.language.attention.kinds.plstm_graph import line_graph

Node = tuple[int, int]


def gates(edges: Tensor) -> list[Tensor]:
    """Source, transition and mark of two heads."""
    counts = (len(edges), len(line_graph(edges)), len(edges))
    return [noise(2, count, 2, seed=10 + n) for n, count in enumerate(counts)]
