"""Snapshots of prompts that were read: a prompt that begins alike goes on from there."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...language.conversion.decoder.decoder import Snapshot

MAX_RECENT = 64  # prompts that a new one is compared with
MAX_SNAPSHOTS = 512  # each prompt is compared with all of them
MIN_SHARED = 16  # tokens: a shorter beginning is read again faster than it is copied


class PrefixCache:
    """Snapshots by the tokens that they have read, of at most `max_bytes`; the one unused for longest goes first.

    A recurrent state cannot be cut: a snapshot serves the prompts that begin with all of its tokens. Of every prompt
    one is kept before its last token, so that the same prompt, and one that continues it, need not be read again; and
    one at the place where the prompt leaves an earlier one, which is where a common instruction ends.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        self._snapshots: OrderedDict[tuple[int, ...], Snapshot] = OrderedDict()
        self._recent: deque[NDArray[np.int64]] = deque(maxlen=MAX_RECENT)

    def find(self, prompt: Sequence[int]) -> Snapshot | None:
        """Return the snapshot of the longest beginning of a prompt that leaves its last token to be read."""
        tokens = tuple(prompt)
        shorter = [own for own in self._snapshots if len(own) < len(tokens)]
        # The last tokens differ as a rule, and the beginnings need not be compared.
        fitting = [own for own in shorter if own[-1] == tokens[len(own) - 1] and own == tokens[: len(own)]]
        if not fitting:
            return None
        longest = max(fitting, key=len)
        self._snapshots.move_to_end(longest)
        return self._snapshots[longest]

    def places(self, prompt: Sequence[int]) -> frozenset[int]:
        """Return the numbers of tokens of a prompt behind which a snapshot is to be taken; remember the prompt."""
        if self.max_bytes == 0:
            return frozenset()
        own = np.array(prompt, np.int64)
        last = len(own) - 1
        shared = max((min(_shared(own, other), last) for other in self._recent), default=0)
        self._recent.append(own)
        return frozenset(place for place in (shared, last) if place >= MIN_SHARED)

    def takes(self, tokens: Sequence[int]) -> bool:
        """Return whether a snapshot behind these tokens would be kept, should it fit."""
        return self.max_bytes > 0 and len(tokens) >= MIN_SHARED and tuple(tokens) not in self._snapshots

    def add(self, tokens: Sequence[int], snapshot: Snapshot) -> None:
        """Keep a snapshot, if it fits at all."""
        size = snapshot.nbytes
        if size > self.max_bytes:
            return
        self._snapshots[tuple(tokens)] = snapshot
        self.size += size
        while self.size > self.max_bytes or len(self._snapshots) > MAX_SNAPSHOTS:
            _, oldest = self._snapshots.popitem(last=False)
            self.size -= oldest.nbytes


def _shared(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    """Return the number of tokens with which both begin."""
    size = min(len(a), len(b))
    differ = np.flatnonzero(a[:size] != b[:size])
    return int(differ[0]) if len(differ) else size
