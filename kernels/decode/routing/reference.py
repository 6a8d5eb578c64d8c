"""Routing of tokens to memories or experts, in numpy."""

from __future__ import annotations

import numpy as np

from ..vectors.reference import sigmoid, softmax


def route(
    scores: np.ndarray,
    picked: int,
    sum_to_one: bool,
    bias: np.ndarray | None = None,
    groups: int = 1,
    top_groups: int = 1,
    scale: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights [memories, tokens], the softmax of scores [tokens, memories], and masks of the `picked` largest.

    With a bias weights are sigmoids. The largest are then those with the bias added, of the `top_groups` groups whose
    two largest sum to the most.
    """
    weights = softmax(scores) if bias is None else sigmoid(scores)
    choice = weights if bias is None else weights + bias
    parts = choice.reshape(len(scores), groups, -1)
    best = np.argsort(-np.sort(parts, axis=2)[:, :, -2:].sum(2), axis=1)[:, :top_groups]
    outside = ~(best[:, :, None] == np.arange(groups)).any(1)
    choice = np.where(outside[:, :, None], -np.inf, parts).reshape(scores.shape)
    masks = np.zeros(scores.shape, np.uint8)
    # Stable: of equal scores the lower memory is picked, as in the compiled form.
    np.put_along_axis(masks, np.argsort(-choice, axis=1, kind="stable")[:, :picked], 1, 1)
    if sum_to_one:
        weights = weights / (weights * masks).sum(1, keepdims=True)
    return scale * weights.T, masks.T
