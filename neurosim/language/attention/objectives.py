"""Training objectives as changes of text: next bytes, and the objectives of Birdie (Blouir et al. 2024, 2411.01030).

A sequence is a control byte, a prompt, a separator, and the answer; only the bytes of the answer are in the loss.
Control bytes never occur in UTF-8, so a model of 256 bytes needs no new tokens; it continues other text as before.
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
"""(text, room, draws) -> (prompt, answer) of at most `room` bytes together, from a window anywhere in the text."""

SEPARATOR = 0xFF
MASK = 0xFE
FIND = 0xFD
PADDING = 0xFC
# Share of the bytes that are masked, and mean bytes of a span.
MASKED = 0.15
MEAN_SPAN = 3
SHUFFLED = 0.75  # share of the bytes that change places
FIRST_NUMBER = ord("0")  # byte behind the MASK of the first span; the next spans count on
NUMBERS = 20  # spans after which numbers begin again
# Bytes to find, fewest and most bytes shown on either side of them, and bytes of text for each query.
TARGET_BYTES = 8
EDGES = (8, 64)
ROOM_OF_QUERY = 64
PREFIX = 0.75  # share of the text that a prefix has
MIN_LENGTH = 48  # bytes of a sequence


def _window(text: Bytes, size: int, draws: np.random.Generator) -> Bytes:
    """Return `size` bytes from anywhere in a text."""
    start = int(draws.integers(len(text) - size + 1))
    return text[start : start + size]


def _parts(total: int, count: int, draws: np.random.Generator) -> NDArray[np.int64]:
    """Cut `total` into `count` parts of at least 1."""
    cuts = np.sort(draws.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff([0, *cuts, total])


def _masked(text: Bytes, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Return (the text with MASK and number for each span, the spans, each behind its MASK and number)."""
    hidden = max(round(MASKED * len(text)), 1)
    count = max(round(hidden / MEAN_SPAN), 1)
    spans = _parts(hidden, count, draws)
    gaps = _parts(len(text) - hidden, count + 1, draws)
    edges = np.cumsum(np.stack([gaps[:-1], spans], 1).ravel())
    pieces = np.split(text, edges)
    masks = [np.array([MASK, FIRST_NUMBER + i % NUMBERS], np.uint8) for i in range(count)]
    # Even pieces are visible, odd ones are the masked spans.
    shortened = [piece if i % 2 == 0 else masks[i // 2] for i, piece in enumerate(pieces)]
    answer = [part for pair in zip(masks, pieces[1::2], strict=True) for part in pair]
    return np.concatenate(shortened), np.concatenate(answer)


def infilling(text: Bytes, room: int, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Mask 15 % of the text, in spans of 3 bytes on average; the spans are the answer."""
    # A masked text and its spans have n bytes together, and a mask of two bytes for each span on either side.
    window = _window(text, int(room / (1 + 4 * MASKED / MEAN_SPAN)) - 3, draws)
    return _masked(window, draws)


def autoencoding(text: Bytes, room: int, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Mask the same share as `infilling`; the whole text is the answer."""
    # (1 - MASKED) n bytes of prompt, n of text, and two of a mask for each of MASKED n / MEAN_SPAN spans.
    window = _window(text, int(room / (2 - MASKED + 2 * MASKED / MEAN_SPAN)) - 2, draws)
    return _masked(window, draws)[0], window


def copying(text: Bytes, room: int, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Ask for the whole text again."""
    window = _window(text, room // 2, draws)
    return window, window


def deshuffling(text: Bytes, room: int, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Let 75 % of the bytes change places; the original text is the answer."""
    window = _window(text, room // 2, draws)
    moved = draws.choice(len(window), int(SHUFFLED * len(window)), replace=False)
    shuffled = window.copy()
    shuffled[moved] = window[draws.permutation(moved)]
    return shuffled, window


def selective_copying(text: Bytes, room: int, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Append the 8 to 64 bytes on either side of some spans to the text, as many as fit; the spans are the answer."""
    count = max(room // ROOM_OF_QUERY, 1)
    # The text must have a place for each span, with its edges: in short sequences edges are short.
    longest = min(EDGES[1], (room - count * (TARGET_BYTES + 4) - TARGET_BYTES) // (2 * (count + 1)))
    edge = int(draws.integers(min(EDGES[0], longest), longest + 1))
    # Each query takes two FIND, both edges, the bytes to find, and a FIND behind the answer.
    window = _window(text, room - count * (2 + 2 * edge + TARGET_BYTES + 1), draws)
    starts = edge + draws.choice(len(window) - TARGET_BYTES - 2 * edge + 1, count, replace=False)
    find = np.array([FIND], np.uint8)
    prompt = [window]
    answer = []
    for start in starts:
        end = start + TARGET_BYTES
        prompt += [find, window[start - edge : start], find, window[end : end + edge]]
        answer += [window[start:end], find]
    return np.concatenate(prompt), np.concatenate(answer)


def prefix(text: Bytes, room: int, draws: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Cut the text after three quarters; the rest is the answer."""
    window = _window(text, room, draws)
    cut = round(PREFIX * room)
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
        loss_mask: [B, T] true where the next token is in the loss.
        prefix: [B] number of tokens up to and with the separator; 0 where there is none.
    """

    tokens: Tensor
    loss_mask: Tensor
    prefix: Tensor


def check_text(text: Tensor) -> None:
    """Check a text [n] of bytes.

    Raises:
        NeurosimInputError: it has a control byte.
    """
    controls = text[torch.isin(text, torch.tensor(CONTROLS, device=text.device))][:1]
    require(not len(controls), "text", "must be UTF-8 for other objectives than next_token", controls.tolist())


def draw_batch(text: Tensor, names: Sequence[str], length: int, seed: int) -> ObjectiveBatch:
    """Draw a sequence of `length` + 1 bytes of each objective from a text [n], which must be longer.

    Raises:
        NeurosimInputError: no such objective, or a length under `MIN_LENGTH`.
    """
    require(length >= MIN_LENGTH, "length", f"must be at least {MIN_LENGTH} bytes for these objectives", length)
    source = text.cpu().numpy().astype(np.uint8)
    draws = np.random.default_rng(seed)
    tokens = np.full((len(names), length + 1), PADDING, np.int64)
    loss_mask = np.zeros((len(names), length), bool)
    prefix_lengths = np.zeros(len(names), np.int64)
    for i, name in enumerate(names):
        if name == NEXT_TOKEN:
            tokens[i] = _window(source, length + 1, draws)
            loss_mask[i] = True
            continue
        control, change = lookup(OBJECTIVES, name, "objective")
        prompt, answer = change(source, length - 1, draws)
        row = np.concatenate([[control], prompt, [SEPARATOR], answer])
        tokens[i, : len(row)] = row
        prefix_lengths[i] = len(prompt) + 2
        # The separator predicts the first byte of the answer.
        loss_mask[i, prefix_lengths[i] - 1 : len(row) - 1] = True
    return ObjectiveBatch(*(torch.from_numpy(a).to(text.device) for a in (tokens, loss_mask, prefix_lengths)))
