"""`overlap` of numpy arrays, and of torch tensors on a GPU."""

from __future__ import annotations

import numpy as np


def overlap(query, bank, threads=1):
    """[words], [M, words] uint64 to [M] int32 common bits, on `threads` threads (the result does not depend on it).

    Tensors of a GPU (the same words as int64) are counted there, and the result stays there.
    """
    if isinstance(bank, np.ndarray):
        from .numba import overlap as on_cpu

        return on_cpu(query, bank, threads)
    from .triton import overlap as on_gpu

    return on_gpu(query, bank)
