"""A step of AdamW in two passes over a parameter; torch makes ten, each a call of some microseconds.

Between the passes the caller takes the root of the squares. With torch's root, which is not rounded as the processor's
is, all bits are those of torch where its vectors have fused multiply-add: `_fma` stands where torch has one. Arrays are
float32 [n], `scales` [8] as in `reference`.
"""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from ...tools.compiled import compiled


@intrinsic
def _fma(typing, a, b, c):
    """Return a b + c with one rounding."""

    def emit(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), emit


@compiled(error_model="numpy")
def average_gradient(grad, average, square, scales):
    """Bring the averages of the gradient and of its square up to date."""
    clip = scales[0]
    new = scales[2]
    beta2 = scales[3]
    new_square = scales[4]
    for i in range(grad.size):
        g = clip * grad[i]
        average[i] = _fma(new, g - average[i], average[i])
        square[i] = _fma(new_square * g, g, beta2 * square[i])


@compiled(error_model="numpy")
def move(parameter, average, root, scales):
    """Decay a parameter, and move it by its average gradient; `root` is that of the average square."""
    decay = scales[1]
    correction = scales[5]
    epsilon = scales[6]
    rate = scales[7]
    for i in range(parameter.size):
        parameter[i] = decay * parameter[i] + rate * average[i] / (root[i] / correction + epsilon)
