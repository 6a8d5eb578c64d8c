"""Keys of random streams: randomness is keyed by a seed and labels, never drawn from a shared generator."""

from __future__ import annotations

import functools
import hashlib


# A key is asked for again with every part of a network that is drawn.
@functools.lru_cache(maxsize=4096)
def rng_key(seed: int, *labels: str) -> int:
    """Return the 64-bit key of a random stream; streams of different seeds or labels are independent."""
    text = "\0".join((str(int(seed)), *labels))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def torch_seed(key: int) -> int:
    """Return a seed for a generator of torch, which takes 64 bits: `key` where it fits, otherwise a hash of it."""
    return key if key < 2**64 else rng_key(key)
