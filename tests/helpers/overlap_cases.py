"""Triton's overlap of packed SDRs against the plain form. Run by `triton_tools`."""

from __future__ import annotations

import numpy as np
import torch

from neurosim.kernels.memory.overlap.reference import overlap_reference
from neurosim.kernels.memory.overlap.triton import overlap


def case_overlap(device: str) -> None:
    rng = np.random.default_rng(0)
    for rows, words in ((1, 1), (100, 33), (130, 70)):
        query, bank = rng.integers(0, 2**64, words, np.uint64), rng.integers(0, 2**64, (rows, words), np.uint64)
        bank[0] = query[:] = ~np.uint64(0)
        found = overlap(*(torch.from_numpy(a.view(np.int64)).to(device) for a in (query, bank)))
        np.testing.assert_array_equal(found.cpu().numpy(), overlap_reference(query, bank))
        assert found[0] == 64 * words
