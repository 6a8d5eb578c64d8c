"""Products of small matrices."""

from __future__ import annotations

from ...tools.compiled import compiled
from ...tools.pointers import matrix
from ..program import FLOAT, operation


@operation("x y rows inner columns out")
def matmul(p, context, begin, end):
    """Multiply matrices x [.., rows, inner] and y [.., inner, columns], one pair after the other.

    Parts are pairs of all tokens.
    """
    for i in range(begin, end):
        x = matrix(p.x + 4 * i * p.rows * p.inner, p.rows, p.inner, FLOAT)
        y = matrix(p.y + 4 * i * p.inner * p.columns, p.inner, p.columns, FLOAT)
        _product(x, y, matrix(p.out + 4 * i * p.rows * p.columns, p.rows, p.columns, FLOAT))


# A product and a sum in one rounding where the processor has that.
@compiled(fastmath={"contract"})
def _product(x, y, out):
    """out = x @ y."""
    out[:] = 0
    for row in range(x.shape[0]):
        for k in range(x.shape[1]):
            factor = x[row, k]
            for j in range(y.shape[1]):
                out[row, j] += factor * y[k, j]
