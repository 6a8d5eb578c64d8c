"""Packets of AEDAT4 files: FlatBuffers, plain or compressed by LZ4 or Zstandard, and the header that names streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ...base.distribution import install
from ...base.errors import NeurosimMissingError
from ...base.raw import format_error
from ...kernels.io.compressed import cpu as unpack
from .decoding import Sensor

EVENT = np.dtype(
    {"names": ["t", "x", "y", "p"], "formats": ["<i8", "<i2", "<i2", "u1"], "offsets": [0, 8, 10, 12], "itemsize": 16}
)
# Kinds of compression by the number in the header.
PLAIN = (0,)
LZ4 = (1, 2)
ZSTD = (3, 4)
# A packet may unpack to this many times its size.
MAX_RATIO = 255
LZ4_MAGIC = 0x184D2204
LZ4_SIZES = {4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22}
AGAIN = "the file is damaged: fetch it again"


class BrokenPacket(Exception):
    """Bytes that break the format; the text says what was there instead."""


@dataclass(frozen=True)
class PacketStream:
    """Kind of the packets of a stream, and shape of its sensor if it has one."""

    kind: str
    shape: Sensor | None


def packets(path: object, data: NDArray[np.uint8], byte: int, end: int) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Yield byte, stream and content of each complete packet of a piece of a file.

    Args:
        path: of the file.
        data: bytes of it.
        byte: place of the first of them.
        end: place after the last packet of the file.

    Raises:
        NeurosimFormatError: a packet that reaches beyond `end`.
    """
    # A packet: number of its stream (4 bytes), size of its content (4), content.
    at = 0
    while byte + at < end:
        place = f"byte {byte + at}"
        left = end - byte - at
        if left < 8:
            raise format_error(path, place, "the head of a packet", f"{left} bytes", AGAIN)
        if at + 8 > data.size:
            return
        number = unsigned(data, at)
        size = unsigned(data, at + 4)
        if size > left - 8:
            raise format_error(path, place, f"a packet of {size} bytes", f"{left - 8}", "it was cut short")
        if at + 8 + size > data.size:
            return
        yield byte + at, number, data[at + 8 : at + 8 + size]
        at += 8 + size


def read_header(data: NDArray[np.uint8]) -> tuple[int, int, dict[int, PacketStream]]:
    """Return the number of the compression, the byte after the last packet, and the streams by their numbers."""
    # Fields of the table IOHeader: compression, place of the table of packets, description in XML.
    table = _root(data, 0)
    at = _field(data, table, 0)
    compression = unsigned(data, at) if at else 0
    at = _field(data, table, 1)
    end = _number(data, at, 8) if at else -1
    at = _field(data, table, 2)
    if at is None:
        raise BrokenPacket("no description")
    # A string: the offset to it, then its length and its bytes.
    place = at + unsigned(data, at)
    description = slice_of(data, place + 4, unsigned(data, place))
    return compression, end, _streams(description.tobytes())


def _streams(text: bytes) -> dict[int, PacketStream]:
    """Return the streams that the description of a file names, by number."""
    # Declarations could define entities that expand to gigabytes.
    if b"<!" in text.replace(b"<!--", b""):
        raise BrokenPacket("a description with declarations")
    try:
        root = ElementTree.fromstring(text)
        streams = {}
        for node in root.findall(".//node[@name='outInfo']/node"):
            kind = node.findtext("./attr[@key='typeIdentifier']", "")
            height = node.findtext("./node[@name='info']/attr[@key='sizeY']")
            width = node.findtext("./node[@name='info']/attr[@key='sizeX']")
            if height and width:
                shape = (2, int(height), int(width))
            else:
                shape = None
            streams[int(node.get("name", ""))] = PacketStream(kind, shape)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BrokenPacket(f"no description ({error})") from None
    return streams


def events_of(data: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the events of a packet: a FlatBuffer after its size."""
    if data.size < 12 or data[8:12].tobytes() != b"EVTS":
        raise BrokenPacket("another kind of packet")
    at = _field(data, _root(data, 4), 0)
    if at is None:
        return np.empty(0, EVENT)
    place = at + unsigned(data, at)
    count = unsigned(data, place)
    return slice_of(data, place + 4, count * EVENT.itemsize).view(EVENT)


def _root(data: NDArray[np.uint8], at: int) -> int:
    """Return the place of the root table of the FlatBuffer at `at`."""
    return at + unsigned(data, at)


def _field(data: NDArray[np.uint8], table: int, index: int) -> int | None:
    """Return the place of a field of a table of a FlatBuffer; None if it is absent."""
    # A table begins with the distance back to its layout: bytes of the layout (2), bytes of the table (2), then the
    # offset of each field in the table (2 each), 0 if it is absent. Later fields may be missing at the end.
    layout = table - _number(data, table, 4)
    size = unsigned(data, layout, 2)
    if 4 + 2 * index < size:
        offset = unsigned(data, layout + 4 + 2 * index, 2)
    else:
        offset = 0
    return table + offset if offset else None


def slice_of(data: NDArray[np.uint8], at: int, size: int) -> NDArray[np.uint8]:
    if not 0 <= at <= at + size <= data.size:
        raise BrokenPacket(f"{size} bytes beyond its end")
    return data[at : at + size]


def unsigned(data: NDArray[np.uint8], at: int, size: int = 4) -> int:
    return int.from_bytes(slice_of(data, at, size).tobytes(), "little")


def _number(data: NDArray[np.uint8], at: int, size: int) -> int:
    return int.from_bytes(slice_of(data, at, size).tobytes(), "little", signed=True)


def unpacked(path: object, data: NDArray[np.uint8], compression: int, left: int) -> NDArray[np.uint8]:
    """Return the content of a packet, of at most `left` bytes: other packets were unpacked before."""
    if compression in PLAIN:
        return data
    if compression in LZ4:
        return _unpack_lz4(data, left)
    if compression not in ZSTD:
        raise BrokenPacket(f"compression {compression}")
    try:
        import zstandard
    except ImportError:
        raise NeurosimMissingError(f"{path}: is compressed with Zstandard; run: {install('aedat4')}") from None
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data.tobytes()) as stream:
            # One byte more than is allowed: enough to tell that there is more, without unpacking it.
            content = stream.read(min(MAX_RATIO * data.size, left) + 1)
    except zstandard.ZstdError as error:
        raise BrokenPacket(error) from None
    if len(content) > left:
        raise _too_large(left)
    return np.frombuffer(content, np.uint8)


def _too_large(left: int) -> BrokenPacket:
    return BrokenPacket(f"one that unpacks to more than the {left:,} bytes that are left to this file")


def _unpack_lz4(data: NDArray[np.uint8], left: int) -> NDArray[np.uint8]:
    """Return the content of an LZ4 frame, without looking at its checksums.

    Source: github.com/lz4/lz4, the LZ4 frame format, version 1.6.
    """
    # Frame: magic (4 bytes), flags (1), size of blocks (1), size of the content (8, if bit 3 of the flags is set),
    # checksum of the head (1), blocks. Bits 6 and 7 of the flags are the version, bit 0 marks a dictionary.
    flags = unsigned(data, 4, 1)
    sizes = unsigned(data, 5, 1)
    block = LZ4_SIZES.get(sizes >> 4 & 7, 0)
    if unsigned(data, 0) != LZ4_MAGIC or flags >> 6 != 1 or block == 0 or flags & 1:
        raise BrokenPacket("another kind of LZ4 frame")
    has_size = flags >> 3 & 1
    has_checksums = flags >> 4 & 1
    at = 7 + 8 * has_size
    blocks = []
    # A block: its size (4 bytes; bit 31 set: stored, not compressed), data, checksum (4). A size of 0 ends the frame.
    while word := unsigned(data, at):
        size = word & 0x7FFFFFFF
        blocks.append((slice_of(data, at + 4, size), word >> 31))
        at += 4 + size + 4 * has_checksums
    room = sum(part.size if stored else min(block, MAX_RATIO * part.size) for part, stored in blocks)
    out = np.empty(min(room, left), np.uint8)
    done = 0
    for part, stored in blocks:
        if stored and done + part.size > out.size:
            raise _too_large(left)
        if stored:
            out[done : done + part.size] = part
            done += part.size
        else:
            done = unpack.lz4(part, out, done)
        if done < 0:
            if room > left:
                raise _too_large(left)
            raise BrokenPacket("an LZ4 block that is not intact")
    return out[:done]
