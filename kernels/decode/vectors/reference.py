"""Operations on the channels of a token, in numpy: the specification that tests hold the compiled ones to.

As in all references of a decoder, a function has the name of its operation. It takes arrays instead of addresses and
returns its result; states are changed in place. x is [tokens, width].
"""

from __future__ import annotations

import itertools
import math

import numpy as np

# Kinds of `normalise`, of `pointwise` and of `feature`.
L2, SUM, SOFTMAX = range(3)
(
    IDENTITY, SILU, SIGMOID, LOGSIGMOID, RELU, SQRELU, TANH, GELU_TANH, GELU, ELU_PLUS, SOFTPLUS, EXPM1, LOG, EXP,
    SQRT, RECIPROCAL, ABS,
) = range(17)  # fmt: skip
DPFP, TAYLOR, NORM_AWARE = range(3)
ROLLS = 4  # of DPFP


def softmax(x: np.ndarray) -> np.ndarray:
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def norm(
    x: np.ndarray, size: int, weight: np.ndarray | None, bias: np.ndarray | None, eps: float, centred: bool
) -> np.ndarray:
    """Norm each group of `size` channels of a row; weight and bias of a row are repeated."""
    groups = x.reshape(len(x), -1, size)
    if centred:
        groups = groups - groups.mean(-1, keepdims=True)
    out = (groups / np.sqrt((groups**2).mean(-1, keepdims=True) + eps)).reshape(x.shape)
    if weight is not None:
        out = out * np.resize(weight, x.shape[1])
    if bias is None:
        return out
    return out + np.resize(bias, x.shape[1])


def normalise(x: np.ndarray, size: int, kind: int, eps: float) -> np.ndarray:
    """Divide each group of a row by its length or its sum, or take its softmax."""
    groups = x.reshape(len(x), -1, size)
    if kind == SOFTMAX:
        return softmax(groups).reshape(x.shape)
    if kind == L2:
        return (groups / np.sqrt((groups**2).sum(-1, keepdims=True) + eps)).reshape(x.shape)
    return (groups / (groups.sum(-1, keepdims=True) + eps)).reshape(x.shape)


def total(x: np.ndarray, size: int) -> np.ndarray:
    return x.reshape(-1, size).sum(1)


ACTIVATIONS = {
    IDENTITY: lambda x: x,
    SILU: lambda x: x * sigmoid(x),
    SIGMOID: sigmoid,
    LOGSIGMOID: lambda x: -np.logaddexp(0, -x),
    RELU: lambda x: np.maximum(x, 0),
    SQRELU: lambda x: np.maximum(x, 0) ** 2,
    TANH: np.tanh,
    GELU_TANH: lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    GELU: lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    ELU_PLUS: lambda x: np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))),
    SOFTPLUS: lambda x: np.logaddexp(0, x),
    EXPM1: np.expm1,
    LOG: np.log,
    EXP: np.exp,
    SQRT: np.sqrt,
    RECIPROCAL: np.reciprocal,
    ABS: np.abs,
}


def pointwise(
    x: np.ndarray,
    act: int,
    plus: np.ndarray | None,
    times: np.ndarray | None,
    then: np.ndarray | None,
    low: float,
    high: float,
) -> np.ndarray:
    """Return act(x + plus) * times + then, within low and high; columns of the others repeat."""

    def wide(y):
        return np.stack([np.resize(row, x.shape[1]) for row in np.atleast_2d(y)])

    out = ACTIVATIONS[act](x if plus is None else x + wide(plus))
    out = out if times is None else out * wide(times)
    return np.clip(out if then is None else out + wide(then), low, high)


def mix(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    return x + (y - x) * w


def accumulate(x: np.ndarray, factors: np.ndarray, present: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Add the rows of x of the tokens that are present, times their factors, to `out`."""
    return out + x * (factors * present)[:, None]


def ratio(x: np.ndarray, eps: float) -> np.ndarray:
    return x[:, :-1] / (x[:, -1:] + eps)


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, tails: np.ndarray, act: int) -> np.ndarray:
    """Convolve over the last tokens, weight [size, width]; x joins the tails [tokens, size - 1, width]."""
    seen = np.concatenate([tails, x[:, None]], 1)
    tails[:] = seen[:, 1:]
    out = (seen * weight).sum(1)
    return ACTIVATIONS[act](out if bias is None else out + bias)


def dilate(x: np.ndarray, earlier: list[np.ndarray], weight: np.ndarray, step: int) -> np.ndarray:
    """Add to x [width] the silu of a convolution, weight [size, width], over every `step`-th of the tokens up to it."""
    seen = [x, *earlier[::-1]]
    y = sum(w * seen[n * step] for n, w in enumerate(weight[::-1]) if n * step < len(seen))
    return x + y * sigmoid(y)


def angles(positions: np.ndarray, rates: np.ndarray, scale: float) -> np.ndarray:
    """Return [tokens, 2, n] cosines and sines of position times rate, n rates, times a scale."""
    turns = positions[:, None] * rates
    return scale * np.stack([np.cos(turns), np.sin(turns)], 1)


def rotary(x: np.ndarray, size: int, turns: np.ndarray) -> np.ndarray:
    """Turn pairs (i, i + n) of every head by the angles [tokens, 2, n] of its token."""
    heads = x.reshape(len(x), -1, size).copy()
    n = turns.shape[2]
    cos = turns[:, :1]
    sin = turns[:, 1:]
    a = heads[..., :n].copy()
    b = heads[..., n : 2 * n].copy()
    heads[..., :n] = a * cos - b * sin
    heads[..., n : 2 * n] = a * sin + b * cos
    return heads.reshape(x.shape)


def look_up(positions: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the rows of a table [count, width] at positions [tokens]; later ones have the last."""
    return table[np.minimum(positions, len(table) - 1)]


def matmul(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Multiply matrices x [.., a, b] and y [.., b, c]."""
    return x @ y


def rotations(x: np.ndarray) -> np.ndarray:
    """Return e^(X - X^T) of matrices [.., J, J]; i (X - X^T) is Hermitian, so that its eigenvalues are real."""
    values, vectors = np.linalg.eigh(1j * (x - np.swapaxes(x, -1, -2)).astype(np.complex128))
    turned = vectors * np.exp(-1j * values)[..., None, :]
    return (turned @ np.swapaxes(vectors.conj(), -1, -2)).real


def feature(x: np.ndarray, kind: int, is_query: bool, power: float = 3.0) -> np.ndarray:
    """Return the feature map of a head x [K]."""
    size = len(x)
    if kind == DPFP:
        both = np.maximum(np.concatenate([x, -x]), 0)
        return np.concatenate([both * np.roll(both, n) for n in range(1, ROLLS + 1)])
    if kind == TAYLOR:
        pairs = [x[i] * x[j] for i, j in itertools.combinations(range(size), 2)]
        return np.concatenate([[1], x / size**0.25, x**2 / math.sqrt(2 * size), np.array(pairs) / math.sqrt(size)])
    length = math.sqrt((x**2).sum() + 1e-12)
    direction = x / length
    if is_query:
        power = power * (0.5 + math.tanh(length))
    magnitude = (np.abs(direction if is_query else x) + 1e-6) ** power
    angle = direction * math.pi / 4
    return np.concatenate([magnitude * np.cos(angle), magnitude * np.sin(angle)])


def patches(x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int]) -> np.ndarray:
    """Return the patches [positions, planes rows columns] of a sensor x [planes, height, width]."""
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel, (1, 2))[:, :: stride[0], :: stride[1]]
    return np.moveaxis(seen, 0, 2).reshape(-1, len(x) * kernel[0] * kernel[1])
