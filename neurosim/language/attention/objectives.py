"""Training objectives as changes of text: next bytes, and those of Birdie (Blouir et al. 2024, arXiv 2411.01030).

A sequence is a control byte, what is given, a separator, and the answer, whose bytes alone are in the loss. Control
bytes never occur in UTF-8, so that a model of 256 bytes stays one: text without a control byte is continued as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...base.errors import lookup, require

Bytes = NDArray[np.uint8]
Objective = Callable[[Bytes, int, np.random.Generator], tuple[Bytes, Bytes]]
"""(text, room, draws) -> (given, answer) of at most `room` bytes together, from a window anywhere in the text."""

SEPARATOR = 0xFF
MASK = 0xFE
FIND = 0xFD
PADDING = 0xFC
# share of the bytes that are masked, and bytes of a span
MASKED = 0.15
MEAN_SPAN = 3
SHUFFLED = 0.75  # share of the bytes that change places
# bytes to find, bytes shown on either side of them, bytes of text for each query
FOUND = 8
EDGE = 3
ROOM_OF_QUERY = 64
MIN_LENGTH = 48  # bytes of a sequence


def _window(text: Bytes, size: int, draws: np.random.Generator) -> Bytes:
    start = int(draws.integers(len(text) - size + 1))
    return text[start : start + size]


def _parts(total: int, count: int, draws: np.random.Generator) -> NDArray[np.int64]:
    """Cut `total` into `count` parts of at least 1."""
    cuts = np.sort(draws.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff([0, *cuts, total])


def _masked(text: Bytes, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """(the text with a MASK for each span, each span behind a MASK)."""
    hidden = max(round(MASKED * len(text)), 1)
    count = max(round(hidden / MEAN_SPAN), 1)
    spans = _parts(hidden, count, draws)
    gaps = _parts(len(text) - hidden, count + 1, draws)
    edges = np.cumsum(np.stack([gaps[:-1], spans], 1).ravel())
    pieces = np.split(text, edges)
    mask = np.array([MASK], np.uint8)
    given = [piece if i % 2 == 0 else mask for i, piece in enumerate(pieces)]
    answer = [part for piece in pieces[1::2] for part in (mask, piece)]
    return np.concatenate(given), np.concatenate(answer)


def infilling(text: Bytes, room: int, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Spans of 3 bytes in the mean, 15 % of the text, are masked; they are the answer."""
    return _masked(_window(text, int(room / (1 + 2 * MASKED / MEAN_SPAN)) - 2, draws), draws)


def autoencoding(text: Bytes, room: int, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """The same is masked; the whole text is the answer."""
    window = _window(text, int(room / (2 - MASKED + MASKED / MEAN_SPAN)) - 2, draws)
    return _masked(window, draws)[0], window


def copying(text: Bytes, room: int, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """The text again."""
    window = _window(text, room // 2, draws)
    return window, window


def deshuffling(text: Bytes, room: int, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """75 % of the bytes have changed places; the text as it was is the answer."""
    window = _window(text, room // 2, draws)
    moved = draws.choice(len(window), int(SHUFFLED * len(window)), replace=False)
    given = window.copy()
    given[moved] = window[draws.permutation(moved)]
    return given, window


def selective_copying(text: Bytes, room: int, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Behind the text come the three bytes on either side of some spans of it; the spans are the answer."""
    count = max(room // ROOM_OF_QUERY, 1)
    window = _window(text, room - count * (2 + 2 * EDGE + FOUND + 1), draws)
    starts = EDGE + draws.choice(len(window) - FOUND - 2 * EDGE + 1, count, replace=False)
    find = np.array([FIND], np.uint8)
    given = [window]
    answer = []
    for start in starts:
        end = start + FOUND
        given += [find, window[start - EDGE : start], find, window[end : end + EDGE]]
        answer += [window[start:end], find]
    return np.concatenate(given), np.concatenate(answer)


def prefix(text: Bytes, room: int, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """A quarter to three quarters of the text; the rest is the answer."""
    window = _window(text, room, draws)
    cut = int(draws.integers(room // 4, 3 * room // 4 + 1))
    return window[:cut], window[cut:]


NEXT_TOKEN = "next_token"
OBJECTIVES: dict[str, tuple[int, Objective]] = {
    "autoencoding": (0xFB, autoencoding),
    "copying": (0xFA, copying),
    "deshuffling": (0xF9, deshuffling),
    "infilling": (0xF8, infilling),
    "prefix": (0xF7, prefix),
    "selective_copying": (0xF6, selective_copying),
}
"""Control byte and change of each objective beside `NEXT_TOKEN`, which has none."""
NAMES = (NEXT_TOKEN, *OBJECTIVES)
CONTROLS = (SEPARATOR, MASK, FIND, PADDING, *(byte for byte, _ in OBJECTIVES.values()))


@dataclass(frozen=True, eq=False)
class ObjectiveBatch:
    """Sequences of one length.

    Attributes:
        tokens: [B, T + 1].
        asked: [B, T] whether the token behind is in the loss.
        given: [B] tokens up to and with the separator; 0 where there is none.
    """

    tokens: Tensor
    asked: Tensor
    given: Tensor


def check_text(text: Tensor) -> None:
    """Check a text [n] of bytes.

    Raises:
        NeurosimInputError: it has a control byte.
    """
    found = text[torch.isin(text, torch.tensor(CONTROLS, device=text.device))][:1]
    require(not len(found), "text", "must be UTF-8 for other objectives than next_token", found.tolist())


def draw_batch(text: Tensor, names: Sequence[str], length: int, seed: int) -> ObjectiveBatch:
    """Draw a sequence of `length` + 1 bytes of each objective from a text [n], which must be longer.

    Raises:
        NeurosimInputError: no such objective, or a length under `MIN_LENGTH`.
    """
    require(length >= MIN_LENGTH, "length", f"must be at least {MIN_LENGTH} bytes for these objectives", length)
    source = text.cpu().numpy().astype(np.uint8)
    draws = np.random.default_rng(seed)
    tokens = np.full((len(names), length + 1), PADDING, np.int64)
    asked = np.zeros((len(names), length), bool)
    before = np.zeros(len(names), np.int64)
    for i, name in enumerate(names):
        if name == NEXT_TOKEN:
            tokens[i] = _window(source, length + 1, draws)
            asked[i] = True
            continue
        control, change = lookup(OBJECTIVES, name, "objective")
        given, answer = change(source, length - 1, draws)
        row = np.concatenate([[control], given, [SEPARATOR], answer])
        tokens[i, : len(row)] = row
        before[i] = len(given) + 2
        asked[i, before[i] - 1 : len(row) - 1] = True
    return ObjectiveBatch(*(torch.from_numpy(a).to(text.device) for a in (tokens, asked, before)))
