"""Maps from the state of a memory to its weights, and their derivatives: the retentions of Moneta (Miras)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

TINY = 1e-30  # keeps derivatives of roots finite where a matrix is zero


def mirror(a: Tensor, q: float) -> Tensor:
    """Return the gradient of |A|_q^2 / 2 of each matrix: sign(A) |A|^(q - 1) / |A|_q^(q - 2)."""
    total = (a.abs() ** q).sum((-2, -1), keepdim=True).clamp(min=TINY)
    # 1e-12 beside |A|_q^2: a matrix of zeros maps to zeros.
    square = total ** (2 / q) + 1e-12
    return a * a.abs().clamp(min=TINY) ** (q - 2) / square ** ((q - 2) / 2)


def printed(a: Tensor, q: float) -> Tensor:
    """Return A / |A|_q^(q - 2) of each matrix."""
    # norm is |A|_q^q
    norm = (a.abs() ** q).sum((-2, -1), keepdim=True) + 1e-12
    return a / norm ** ((q - 2) / q)


def mirror_change(a: Tensor, change: Tensor, q: float) -> Tensor:
    """Return the derivative of `mirror` at A times a change of A."""
    total = (a.abs() ** q).sum((-2, -1), keepdim=True).clamp(min=TINY)
    square = total ** (2 / q) + 1e-12
    powers = a.abs().clamp(min=TINY) ** (q - 2)
    # d total = q sum sign(A) |A|^(q - 1) dA, d square = 2 / q total^(2 / q - 1) d total
    change_of_square = 2 * total ** (2 / q - 1) * (a * powers * change).sum((-2, -1), keepdim=True)
    own = (q - 1) * powers * change - (q - 2) / 2 * a * powers * change_of_square / square
    return own / square ** ((q - 2) / 2)


def printed_change(a: Tensor, change: Tensor, q: float) -> Tensor:
    """Return the derivative of `printed` at A times a change of A."""
    norm = (a.abs() ** q).sum((-2, -1), keepdim=True) + 1e-12
    # d norm = q sum sign(A) |A|^(q - 1) dA
    change_of_norm = q * (a * a.abs().clamp(min=TINY) ** (q - 2) * change).sum((-2, -1), keepdim=True)
    power = (q - 2) / q
    return (change - power * a * change_of_norm / norm) / norm**power


RETENTIONS: Mapping[str, Callable[[Tensor, float], Tensor]] = {"mirror": mirror, "printed": printed}
CHANGES: Mapping[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "mirror": mirror_change,
    "printed": printed_change,
}
