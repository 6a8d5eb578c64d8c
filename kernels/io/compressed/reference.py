"""Decompression of LZF and LZ4 blocks in Python, for valid blocks: the specification."""

from __future__ import annotations


def _repeat(out: bytearray, distance: int, length: int) -> None:
    """Append `length` bytes from `distance` back, which may reach into those that are appended."""
    for _ in range(length):
        out.append(out[-distance])


def lzf_reference(data: bytes) -> bytes:
    """Unpack an LZF block.

    A byte below 32 begins a run of that many bytes and one more. Others hold 3 bits of a length, 7 meaning that a byte
    follows, and 5 bits of a distance, whose lower 8 follow.
    """
    out = bytearray()
    source = iter(data)
    for control in source:
        if control < 32:
            out += bytes(next(source) for _ in range(control + 1))
            continue
        length = control >> 5
        if length == 7:
            length += next(source)
        distance = ((control & 31) << 8 | next(source)) + 1
        _repeat(out, distance, length + 2)
    return bytes(out)


def lz4_reference(data: bytes, before: bytes = b"") -> bytes:
    """Unpack an LZ4 block; return the bytes of the block alone.

    A sequence is a token, two lengths of 4 bits each (15 meaning that bytes follow, up to the first that is not 255),
    literals, and a repetition: its distance in 2 bytes and its length less 4. The last sequence ends with its literals.

    Args:
        before: bytes unpacked before, which may be repeated.
    """
    out = bytearray(before)
    at = 0

    def extended(length: int) -> int:
        nonlocal at
        more = length == 15
        while more:
            more = data[at] == 255
            length += data[at]
            at += 1
        return length

    while at < len(data):
        token = data[at]
        at += 1
        literals = extended(token >> 4)
        out += data[at : at + literals]
        at += literals
        if at < len(data):
            distance = data[at] | data[at + 1] << 8
            at += 2
            _repeat(out, distance, extended(token & 15) + 4)
    return bytes(out[len(before) :])
