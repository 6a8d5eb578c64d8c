"""Rows of an embedding for tokens, from the table where the model has it in fewer bits than float32."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from ...attention.gguf.blocks import BlockTensor
from ...attention.model import LanguageModel
from ..linear import SpikedLinear
from .linear import multiplies_blocks
from .memory import Array

# Bytes of a table as float32 up to which a decoder has a copy of it: a token's row of 16 bits takes 5 us to look up
# where it is stored, and one in blocks 40 us.
MAX_WIDENED = 2**24


@final
class StoredTable:
    """An embedding in 16 bits or in blocks, which lies where the model has it.

    Args:
        weight: [vocabulary, width].
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.detach()
        self.width = weight.shape[1]

    def look_up(self, tokens: Array, out: Array) -> None:
        """Fill `out` [n, width] float32 with the rows of tokens [n]."""
        rows = torch.nn.functional.embedding(torch.from_numpy(tokens), self.weight)
        out[:] = rows.float().numpy()


def stored_table(model: LanguageModel) -> StoredTable | None:
    """Return the table of a model that a decoder should not widen to float32, or None.

    That of SmolLM2 takes 30 MB in blocks of 8 bits and 113 MB as floats.
    """
    table = getattr(model.embeddings, "weight", None)
    if not isinstance(table, Tensor) or not (isinstance(table, BlockTensor) or table.element_size() == 2):
        return None
    if 4 * table.numel() <= MAX_WIDENED or _head_widens(model.lm_head, table):
        return None
    return StoredTable(table)


def _head_widens(head: Any, table: Tensor) -> bool:
    """Return whether the output layer has the same weights, and multiplies them as floats."""
    if head.weight is not table or multiplies_blocks(table):
        return False
    return not isinstance(head, SpikedLinear) or head.coder.bypassed
