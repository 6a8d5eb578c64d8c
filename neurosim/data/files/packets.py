"""Packets of events on a stream: a socket, a pipe, standard input. Each covers the time after the one before.

    "NSPK", version 1 (uint32), units (uint32)             once
    events n (uint32), reserved 0 (uint32), duration (float64, s), times (n float64, s from its start), units (n int32)

All little-endian. The stream ends between two packets. A reader takes one packet at a time and no byte more, so that a
slow reader holds its writer back, and memory holds one packet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, final

import numpy as np

from ...base.errors import NeurosimFormatError, NeurosimWriteError, require
from ..spikes import Spikes

MAGIC = b"NSPK"
VERSION = 1
HEAD = struct.Struct("<4sII")
PACKET = struct.Struct("<IId")
# Events of a packet (12 MiB), and units of a population.
MAX_EVENTS = 1 << 20
MAX_SIZE = 2**31 - 1


@final
class PacketWriter:
    """Writes packets to a binary stream such as `socket.makefile("wb")`; each is sent at once.

    Raises:
        NeurosimWriteError: the other side has closed the stream.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream = stream
        self.size = size
        self._send(HEAD.pack(MAGIC, VERSION, size))

    def write(self, spikes: Spikes) -> None:
        """Send one packet; waits while the other side has not read the ones before.

        Raises:
            NeurosimInputError: spikes of another number of units, or more than a packet holds.
            NeurosimWriteError: the other side has closed the stream.
        """
        require(spikes.size == self.size, "PacketWriter.write", f"must be of {self.size} units", spikes.size)
        require(len(spikes) <= MAX_EVENTS, "PacketWriter.write", f"must hold <= {MAX_EVENTS} events", len(spikes))
        times = spikes.times.astype("<f8").tobytes()
        units = spikes.units.astype("<i4").tobytes()
        self._send(PACKET.pack(len(spikes), 0, spikes.duration) + times + units)

    def _send(self, data: bytes) -> None:
        try:
            self.stream.write(data)
            self.stream.flush()
        except OSError as error:
            raise NeurosimWriteError(f"packets: the stream cannot be written to ({error})") from None


def read_packets(stream: BinaryIO, size: int | None = None) -> Iterator[Spikes]:
    """Yield the packets of a binary stream such as `socket.makefile("rb")` as they come.

    Args:
        size: number of units that the stream must have; None: any.

    Raises:
        NeurosimFormatError: the stream has another format, breaks off within one, or holds events out of their range.
    """
    magic, version, units = HEAD.unpack(_exactly(stream, HEAD.size, "header"))
    if magic != MAGIC:
        raise NeurosimFormatError(
            f"packets: must begin with {MAGIC.decode()} (got {magic!r}); write them with "
            "neurosim.data.PacketWriter, or name a recording by its file"
        )
    other_size = units > MAX_SIZE or (size is not None and units != size)
    if version != VERSION or other_size:
        expected = f"{MAGIC.decode()}, version {VERSION}"
        if size is not None:
            expected += f", {size} units"
        raise NeurosimFormatError(
            f"packets: must begin with {expected} (got {magic!r}, version {version}, {units} units)"
        )
    number = 0
    while head := _exactly(stream, PACKET.size, f"packet {number}", end=True):
        count, _, duration = PACKET.unpack(head)
        if count > MAX_EVENTS or not 0 < duration < np.inf:
            rule = f"must hold <= {MAX_EVENTS} events in > 0 s"
            raise NeurosimFormatError(f"packets: packet {number} {rule} (got {count} in {duration:g} s)")
        # 8 bytes of a time and 4 of a unit: all times first, then all units.
        data = _exactly(stream, 12 * count, f"packet {number}")
        times = np.frombuffer(data, "<f8", count)
        indices = np.frombuffer(data, "<i4", count, 8 * count)
        # NaN fails the first two comparisons.
        in_time = (times >= 0).all() and (times <= duration).all() and (np.diff(times) >= 0).all()
        if not in_time or (indices < 0).any() or (indices >= units).any():
            rule = f"must hold ascending times within {duration:g} s and units below {units}"
            raise NeurosimFormatError(f"packets: packet {number} {rule}; write it with PacketWriter")
        yield Spikes.unchecked(
            times.astype(np.float64), units=indices.astype(np.int32), size=units, duration=duration, shape=(units,)
        )
        number += 1


def _exactly(stream: BinaryIO, count: int, part: str, *, end: bool = False) -> bytes:
    """Return `count` bytes, waiting for them; b"" where the stream may end and does. `part` stands in the error."""
    data = bytearray()
    while len(data) < count:
        piece = stream.read(count - len(data))
        if not piece:
            if end and not data:
                return b""
            raise NeurosimFormatError(f"packets: the stream ends within its {part}, after {len(data)} of {count} bytes")
        data += piece
    return bytes(data)
