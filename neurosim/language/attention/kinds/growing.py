"""Memories of all tokens that are not copied for each further token: behind their rows there is room for more."""

from __future__ import annotations

import threading
from collections.abc import MutableMapping

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

MIN_ROOM = 64  # tokens
SHARE = 4  # room for a quarter more tokens: a token is then copied four times in all, on average


class _Room:
    """Rows of a memory and those free behind them.

    Attributes:
        rows: [B, capacity, ..].
        used: number of rows that have been written.
    """

    def __init__(self, rows: Tensor, used: int) -> None:
        self.rows = rows
        self.used = used
        self.lock = threading.Lock()

    def take(self, known: int, count: int) -> bool:
        """Return whether the `count` rows behind `known` are free, and mark them as used if so."""
        with self.lock:
            # Another text may have gone on from the same memory: its rows stay.
            if self.used != known or known + count > self.rows.shape[1]:
                return False
            self.used = known + count
            return True


# The room of each memory that `appended` returned, while it exists.
_ROOMS: MutableMapping[Tensor, _Room] = WeakIdKeyDictionary()


def appended(memory: Tensor, rows: Tensor) -> Tensor:
    """Return [B, N + T, ..], the rows of a memory [B, N, ..] and T further ones, as `torch.cat` does.

    Without gradients the result has room behind it, and the call after it writes there: time does not grow with N. The
    memory itself does not change, and any number of texts may go on from it.
    """
    # Gradients may need a memory as it was, and a write beside it counts as a change for torch.
    if torch.is_grad_enabled() or torch.is_inference_mode_enabled() or memory.dtype != rows.dtype:
        return torch.cat([memory, rows], 1)
    known = memory.shape[1]
    end = known + rows.shape[1]
    room = _ROOMS.get(memory)
    if room is None or not room.take(known, rows.shape[1]):
        capacity = end + max(end // SHARE, MIN_ROOM)
        room = _Room(memory.new_empty(len(memory), capacity, *memory.shape[2:]), end)
        room.rows[:, :known] = memory
    room.rows[:, known:end] = rows
    after = room.rows[:, :end]
    _ROOMS[after] = room
    return after


# The last channels of memories, while these exist.
_CHANNELS: MutableMapping[Tensor, Tensor] = WeakIdKeyDictionary()


def last_channels(before: Tensor, after: Tensor, count: int) -> Tensor:
    """Return the last `count` channels [B, N, count] of a memory, side by side where it has no gradients.

    Args:
        before: the memory that `after` was appended to; channels of its rows are not read again.
        after: [B, N, C].
    """
    own = after[..., -count:]
    if torch.is_grad_enabled():
        return own
    known = _CHANNELS.get(before)
    if known is None:
        channels = own.contiguous()
    else:
        channels = appended(known, own[:, known.shape[1] :])
    _CHANNELS[after] = channels
    return channels
