"""`lif_pack` for a CPU."""

from __future__ import annotations

import numpy as np
from numba import njit, uint32


@njit(cache=True, nogil=True)
def step_and_pack(current, v, decay, threshold, leak, reset, keep, words):
    fired = np.empty(v.shape[1], np.uint8)
    for i in range(v.shape[0]):
        u, arrived = v[i], current[i]
        for j in range(u.size):
            free = leak + (u[j] - leak) * decay + arrived[j]
            over = free > threshold
            u[j] = reset + keep * (free - threshold) if over else free
            fired[j] = over
        for w in range(words.shape[1]):
            word = uint32(0)
            for j in range(32 * w, min(32 * w + 32, u.size)):
                word |= uint32(fired[j]) << uint32(j & 31)
            words[i, w] = word
