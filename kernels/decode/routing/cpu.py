"""Routing of tokens to memories or experts: the weights of all, and masks of those picked."""

from __future__ import annotations

import math

import numpy as np
from numba import float32, njit

from ...tools.compiled import compiled
from ...tools.pointers import matrix, vector
from ..program import FLAG, FLOAT, ONE, ZERO, operation


@operation(
    "scores memories picked sum_to_one tokens weights masks sigmoid bias? groups top_groups scale:real choice shares?"
)
def route(p, context, begin, end):
    """Pick the memories or experts of each token by the softmax of its scores, or by their sigmoid.

    Operands: `picked` of the memories; `weights` and `masks` (uint8) [memories, tokens]; `sum_to_one`, the weights of
    those picked do; `sigmoid`, weights are sigmoids; `bias` is added to them for the choice; of `groups` the best
    `top_groups` are picked first; `scale` of the weights; `choice` float32 [memories + groups] for this thread;
    `shares` float32 [memories, tokens] for the masks. Parts are tokens.
    """
    memories = p.memories
    weights = matrix(p.weights, memories, p.tokens, FLOAT)
    masks = matrix(p.masks, memories, p.tokens, FLAG)
    choice = vector(p.choice, memories, FLOAT)
    for i in range(begin, end):
        scores = vector(p.scores + 4 * i * memories, memories, FLOAT)
        total = _weigh(p.sigmoid, scores, choice)
        for m in range(memories):
            weights[m, i] = choice[m]
            masks[m, i] = 0
        if p.bias:
            more = vector(p.bias, memories, FLOAT)
            for m in range(memories):
                choice[m] += more[m]
        if p.groups > 1:
            _keep_groups(choice, p.top_groups, vector(p.choice + 4 * memories, p.groups, FLOAT))
        picked = float32(0)
        for _ in range(p.picked):
            best = _largest(choice)
            choice[best] = -np.inf
            masks[best, i] = 1
            picked += weights[best, i]
        # Sigmoids are weights as they are; exponentials are divided by their sum: softmax.
        divisor = total
        if p.sum_to_one:
            divisor = picked
        elif p.sigmoid:
            divisor = ONE
        factor = float32(p.scale) / divisor
        for m in range(memories):
            weights[m, i] *= factor
            if p.shares:
                matrix(p.shares, memories, p.tokens, FLOAT)[m, i] = masks[m, i]


@njit(inline="always")
def _weigh(by_sigmoid, scores, weights):
    """Fill weights with the sigmoids of scores, or with e^(score - largest score); return their sum."""
    most = scores[0]
    for m in range(scores.size):
        most = max(most, scores[m])
    total = float32(0)
    for m in range(scores.size):
        if by_sigmoid:
            weights[m] = float32(1 / (1 + math.exp(-scores[m])))
        else:
            weights[m] = float32(math.exp(scores[m] - most))
        total += weights[m]
    return total


@njit(inline="always")
def _largest(values):
    """Return the place of the largest value, the first of equal ones."""
    best = 0
    for m in range(values.size):
        if values[m] > values[best]:
            best = m
    return best


@compiled
def _keep_groups(choice, kept, spare):
    """Set the values of groups to -inf but for the `kept` groups whose two largest values sum to the most.

    Args:
        spare: float32 [groups].
    """
    size = choice.size // spare.size
    for g in range(spare.size):
        own = choice[g * size : (g + 1) * size]
        first = _largest(own)
        second = np.float32(-np.inf) if size > 1 else ZERO
        for m in range(size):
            if m != first:
                second = max(second, own[m])
        spare[g] = -(own[first] + second)
    for _ in range(spare.size - kept):
        least = _largest(spare)
        spare[least] = -np.inf
        choice[least * size : (least + 1) * size] = -np.inf
