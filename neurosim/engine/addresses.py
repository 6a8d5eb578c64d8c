"""Addresses and keys as the tables of the run loops hold them: int64."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def address(array: NDArray[Any]) -> int:
    """Return the address of the first byte. The caller keeps the array alive while the address is in use."""
    return int(array.ctypes.data)


def signed(key: int) -> int:
    """Return a 64-bit key as the signed integer with the same bits."""
    if key >= 2**63:
        return key - 2**64
    return key
